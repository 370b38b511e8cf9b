"""Which options of ``handfast connect`` go together."""

from __future__ import annotations

from dataclasses import fields

from handfast.cli import option_sources
from handfast.cli.starttls import PROTOCOLS
from handfast.cli.target import HTTPS_PORT, HttpOptions, Target, parse_target
from handfast.errors import bad_option

# The options that an https:// URL alone has.
HTTP = tuple(field.name for field in fields(HttpOptions))
# Those that --showcerts has no use for.
_OF_A_CONVERSATION = frozenset(HTTP) - {"output"} | {"key_update", "early_data"}


def wanted(text: str, asked: HttpOptions, starttls: str | None, *, show_certificates: bool, early_data: bool) -> Target:
    """The target, and that the other options make sense with it. Raises ConfigError."""
    target = parse_target(text, HTTPS_PORT if starttls is None else PROTOCOLS[starttls].port)
    if show_certificates:
        option_sources.refuse_idle(_OF_A_CONVERSATION, "--showcerts asks for nothing", "leave one of them out")
    if target.path is None and asked.given and not (show_certificates and asked.only_output):
        raise bad_option("TARGET", "-X -d -H -I -i -f -L -o are for an https:// URL", f"did you mean https://{text} ?")
    if asked.head and asked.data and asked.method is None:
        raise bad_option("--data", "what -I asks with, HEAD, has no body", "leave one of them out, or give -X METHOD")
    if early_data and target.path is not None:
        raise bad_option("--early-data", "a request is not sent early by itself", f"give {target.authority} instead")
    if starttls is not None and target.path is not None:
        raise bad_option("--starttls", "in https:// TLS starts at once", f"give {target.host}, or {target.host}:PORT")
    return target

"""Providers by name. One that is not the default is looked at before it is used: its version, and known answers."""

from __future__ import annotations

import re
from functools import cache

from handfast.crypto.provider import CRYPTOGRAPHY, CryptoProvider
from handfast.errors import bad_option

AWS_LC = "aws-lc"
PROVIDERS = (CRYPTOGRAPHY.name, AWS_LC)
# The private module of any other release may differ in anything. pyproject.toml says the same.
ACCEPTED_QH3 = ">=2.1,<2.2"
_ACCEPTED_RELEASE = re.compile(r"2\.1(?:\.\d+)*")
_INSTALL = "pip install 'handfast[aws-lc]'"


def provider_named(name: object) -> CryptoProvider:
    """The provider of this name. Raises ConfigError bad_option for what is unknown, not installed or not trusted."""
    if name == CRYPTOGRAPHY.name:
        return CRYPTOGRAPHY
    if name == AWS_LC:
        return _aws_lc()
    reason = f"{name!r} is neither of {' and '.join(PROVIDERS)}"
    raise bad_option("crypto_provider", reason, "see docs/providers.md")


@cache
def _aws_lc() -> CryptoProvider:
    """Looked at once per process; what fails is looked at anew."""
    # It takes longer to load than the rest of the engine, and few need it.
    from importlib import metadata

    try:
        found = metadata.version("qh3")
    except metadata.PackageNotFoundError:
        raise bad_option("crypto_provider", f"{AWS_LC} needs qh3, which is not installed", _INSTALL) from None
    if not _ACCEPTED_RELEASE.fullmatch(found):
        reason = f"{AWS_LC} needs qh3{ACCEPTED_QH3}, and {found} is installed"
        raise bad_option("crypto_provider", reason, _INSTALL)
    try:
        from handfast.crypto import aws_lc
    except (ImportError, AttributeError) as error:
        reason = f"qh3 {found} lacks what {AWS_LC} needs: {error}"
        raise bad_option("crypto_provider", reason, "install qh3 anew") from error
    from handfast.crypto.known_answers import wrong_answer

    wrong = wrong_answer(aws_lc.PROVIDER)
    if wrong:
        reason = f"qh3 {found} does not give the known answer for {wrong}"
        raise bad_option("crypto_provider", reason, "leave it out for the default, and report it")
    return aws_lc.PROVIDER

"""docs/troubleshooting.md, of the doctor's table: ``python -m tests.doctor.troubleshooting_page`` writes it anew."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from handfast.doctor.inputs import Input
from handfast.doctor.log_texts import alike, faults, programs, speaker, texts
from tests.syntax import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.doctor.log_texts import KnownText, Reading

_INTRODUCTION = """\
# Troubleshooting: what the errors say, and what they mean

What programs print and log when TLS, and mutual TLS above all, fails; by program, each with all that it can mean. The
short names are causes of [the doctor](doctor.md), which has what each looks like, and what to do about it for nginx,
HAProxy, Envoy, uvicorn, PostgreSQL, Go, Node and Java. Paste a line, or give it the whole log:

```console
$ handfast doctor --log 'remote error: tls: bad certificate'
$ handfast doctor --log /var/log/nginx/error.log
$ journalctl -u haproxy | handfast doctor --log -
```

Times and addresses are passed over, lines that are not known are counted, and what is known is explained, once each.
One text rarely decides: unknown_ca is said of another CA, of a CA of the same name, and of an intermediate that was not
sent. So the lists name the command that would tell, and the doctor takes the log together with a server and files:

```console
$ handfast doctor https://HOST/ --cacert ca.pem --cert client.pem --key client.key --log /var/log/nginx/error.log
```

Two rules help to read any of it. A side that *verifies* speaks of the other's certificate; a side that *receives an
alert* is told about its own. And in OpenSSL's words "sslv3 alert", "tlsv1 alert" and "ssl/tls alert" are the same: they
name the version in which an alert was invented, not the one in use.

In the texts "..." stands for what differs. Case makes no difference, and neither do "-" and "_" for a space:
NAMES_LIKE_THIS of Python, Node and Envoy are OpenSSL's words. *Seen* names the versions that our tests make print the
texts, by making them fail in just that way; what they do not print is marked with where it is from. Texts that mean the
same stand together: below them all that it can be, the likeliest first, and the command that tells more.

This file is made from `log_texts.toml` and `meanings.toml` of `handfast/doctor/` by
`python -m tests.doctor.troubleshooting_page`.
"""
WIDTH = 120
_NO_BREAK = "\N{NO-BREAK SPACE}"
PAGE = ROOT / "docs" / "troubleshooting.md"
_FILES = {"key_mismatch", "chain_order", "key_encrypted", "der_as_pem", "files_swapped", "files_unusable"}
_OF_CLIENT = "handfast doctor https://HOST/ --cert client.pem --key client.key"
_OF_SERVER = "handfast doctor https://HOST/ --cacert ca.pem"
_COMMANDS = {
    Input.SERVER_LOG: "handfast doctor --log server.log",
    Input.CLIENT_LOG: "handfast doctor --log client.log",
    Input.WHOSE_LOG: f"{_OF_CLIENT} --cacert ca.pem",
    Input.CLIENT_CA: "handfast doctor --cert client.pem --client-ca ca.pem",
    Input.CLIENT_ISSUER: "handfast doctor --cert client.pem --client-ca ca.pem --issuer intermediate.pem",
    Input.SERVER_ISSUER: f"{_OF_SERVER} --issuer intermediate.pem",
    Input.SERVER_CERTIFICATE: _OF_SERVER,
    Input.CLIENT_TRUST: _OF_SERVER,
    Input.CLIENT_CERTIFICATE: _OF_CLIENT,
    Input.TARGET: "handfast doctor https://HOST/",
}
_SIDES = ("client", "server")


def troubleshooting_page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_INTRODUCTION, *(line for name in programs() for line in _section(name))])


def _section(name: str) -> Iterator[str]:
    program = programs()[name]
    yield f"## {program.title}\n"
    if program.seen:
        yield f"Seen: {program.seen}.\n"
    groups: dict[tuple[int, str], list[KnownText]] = {}
    for text in texts():
        if text.program is program:
            groups.setdefault((id(text.readings), text.source), []).append(text)
    for same in groups.values():
        yield from _entry(same)
    yield ""


def _entry(same: list[KnownText]) -> Iterator[str]:
    """Texts that mean the same, what that is, and how to learn more."""
    first = same[0]
    yield from _wrapped("; ".join(f"`{text.shown}`" for text in same), "- ")
    for side, reading in _sides(first):
        where = f"in a {side}'s log: " if len(_sides(first)) > 1 else ""
        yield from _wrapped(f"{where}{_causes(reading)}", "  - ")
    commands = _commands(first)
    if commands:
        yield from _wrapped(f"ask {commands}", "  - ")
    if first.note:
        yield from _wrapped(first.note, "  - ")
    if first.advice:
        yield from _wrapped(first.advice, "  - ")
    if first.source:
        yield from _wrapped(f"not seen; from {first.source}", "  - ")


def _wrapped(text: str, mark: str) -> list[str]:
    """A point of a list in lines of at most WIDTH characters, where no code is longer."""
    kept = re.sub("`[^`]*`", lambda found: found[0].replace(" ", _NO_BREAK), text)
    indent = " " * len(mark)
    lines = textwrap.wrap(
        kept, WIDTH, initial_indent=mark, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def _sides(text: KnownText) -> list[tuple[str, Reading]]:
    """From whose mouth it can come, and what it then says; "" for both where it says the same."""
    readings = text.readings
    side = speaker(alike(text.shown))[1] or text.program.side
    sides = [side] if side else list(_SIDES)
    if len(sides) == 2 and set(readings["client"].causes) == set(readings["server"].causes):
        return [("", readings["client"])]
    return [(side, readings[side]) for side in sides]


def _causes(reading: Reading) -> str:
    """The causes' codes; all faults of a certificate together are said in words."""
    codes, words = list(reading.causes), []
    for side in _SIDES:
        group = {f"{side}_{fault}" for fault in faults()}
        if group <= set(codes):
            codes = [code for code in codes if code not in group]
            words.append(f"whatever can be wrong with the {side}'s certificate")
    return ", ".join([*words, *(f"`{code}`" for code in codes)]) or "nothing by itself"


def _commands(text: KnownText) -> str:
    """What tells more; of a text that either side can say what does for the client's."""
    commands = dict.fromkeys(_command_of(reading) for _, reading in _sides(text) if reading.causes)
    return " or ".join(f"`{command}`" for command in commands)


def _command_of(reading: Reading) -> str:
    side, _, fault = reading.causes[0].partition("_")
    if fault in _FILES:
        own = (
            "--cert client.pem --key client.key"
            if side == "client"
            else "--server-cert server.pem --server-key server.key"
        )
        return f"handfast doctor {own}"
    usual = _OF_CLIENT if side != "server" else _OF_SERVER
    return _COMMANDS.get(reading.tells, usual)


if __name__ == "__main__":
    PAGE.write_text(troubleshooting_page())

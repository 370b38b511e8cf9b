"""``handfast decode``: the TLS connections of a capture as text, as JSON or as a line each, checked and explained."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from handfast import limits
from handfast.cli import option_sources, options, trust_options, ui
from handfast.cli.decoding import Decoding, Wanted
from handfast.cli.lenses import open_page
from handfast.cli.live import LiveKeyLog, packets
from handfast.errors import ConfigError, bad_option
from handfast.events import SecretLevel
from handfast.passive import Reading
from handfast.passive.keylog_reader import KeyLogSecrets
from handfast.passive.rewrite import PacketIndex, rewrite
from handfast.x509 import loading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handfast.passive.capture import Packet
    from handfast.trust.verifiers import Verifier

_FILE = click.Path(path_type=Path)
_LEVELS: dict[str | None, frozenset[SecretLevel]] = {
    None: frozenset(),
    "traffic": frozenset({SecretLevel.TRAFFIC}),
    "all": frozenset(SecretLevel),
}
# What --hex has no use for.
_OF_CONNECTIONS = frozenset(
    {
        "interface", "read_keylog", "psks", "host", "port", "sni", "subject", "failed", "cacert", "write", "no_secrets",
        "summary",
    }
)  # fmt: skip
# Packets between two lines of progress.
_STEP = 1000


@click.command(
    cls=options.Verb,
    examples=(
        "handfast decode capture.pcapng",
        "handfast decode capture.pcap --keylog keys.log --cacert ca.pem",
        "handfast decode capture.pcap --summary --failed",
        "handfast decode capture.pcap --keylog keys.log --html page.html",
        "handfast decode capture.pcap --keylog keys.log --sni api.internal --write shared.pcapng",
        "handfast decode --hex paste.txt",
        "sudo handfast decode -i lo",
    ),
)
@click.argument("capture", required=False, metavar="[CAPTURE]")
@click.option("--hex", "hexadecimal", is_flag=True, help="CAPTURE is hexadecimal text: a hello, a log, a dump.")
@click.option("-i", "interface", metavar="INTERFACE", help="Capture here and now, until Ctrl-C; needs CAP_NET_RAW.")
@click.option(
    "--delay",
    type=options.Seconds(0, limits.LIVE_DELAY_MOST),
    metavar="SECONDS",
    help=f"With -i: how long packets wait for their keys to stand in the key log. Default: {limits.LIVE_DELAY:g}.",
)
@click.option("--keylog", "read_keylog", type=_FILE, metavar="FILE", help="Read keys from this key log; only read.")
@click.option(
    "--psk",
    "psks",
    multiple=True,
    metavar="IDENTITY:HEX",
    help="Check PSK binders with this key; 0x... as IDENTITY is a ticket.",
)
@click.option("--host", metavar="ADDRESS", help="Only connections of this IP address.")
@click.option("--port", type=click.IntRange(0, 65535), metavar="PORT", help="Only connections of this port.")
@click.option("--sni", metavar="NAME", help="Only those that ask for this name; *.example.com for all below it.")
@click.option("--subject", metavar="TEXT", help="Only those with a certificate whose subject or names hold this.")
@click.option("--failed", is_flag=True, help="Only those that are known to have failed.")
@click.option("--cacert", type=_FILE, metavar="FILE", help="Verify the chains that were shown against these roots.")
@click.option("--write", type=_FILE, metavar="FILE", help="Write their packets and keys to a new pcapng file.")
@click.option("--no-secrets", is_flag=True, help="Write no keys, so that the file can be shared.")
@click.option("-x", "every_byte", is_flag=True, help="Show every byte beside its field.")
@options.explain_option
@click.option("--summary", is_flag=True, help="One line per connection.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per event, the outcome last.")
@options.page_options
@click.option(
    "--secrets",
    cls=options.OptionalValue,
    bare="traffic",
    type=click.Choice(["traffic", "all"]),
    metavar="[=all]",
    help="Show traffic secrets and data; with =all those for resumption and exporters too.",
)
def command(
    capture: str | None,
    hexadecimal: bool,
    interface: str | None,
    delay: float | None,
    read_keylog: Path | None,
    psks: tuple[str, ...],
    cacert: Path | None,
    write: Path | None,
    no_secrets: bool,
    every_byte: bool,
    explain: bool,
    summary: bool,
    as_json: bool,
    secrets: str | None,
    html: Path | None,
    lang: str | None,
    **filters: Any,
) -> int:
    """Tell of every TLS connection in CAPTURE, a pcap or pcapng file, also in gzip; - for standard input.

    What can be decrypted is, with the keys of --keylog and of the file; what can be proven is checked."""
    if (capture is None) == (interface is None):
        raise bad_option("CAPTURE", "give a file, - or -i", "handfast decode capture.pcapng, or handfast decode -i lo")
    if delay is not None and interface is None:
        raise bad_option("--delay", "a file's packets wait for nothing", "leave it out, or capture with -i")
    if summary and as_json:
        raise bad_option("--json", "--summary is text", "leave one of them out")
    if explain and (summary or as_json):
        raise bad_option("--explain", "only fields and bytes are explained", "leave --summary and --json out")
    if hexadecimal and html is not None:
        raise bad_option("--html", "bytes that are pasted are no connection", "leave it out, or decode a capture")
    _refuse_idle(hexadecimal=hexadecimal, summary=summary, as_json=as_json, html=html)
    if no_secrets and write is None:
        raise bad_option("--no-secrets", "there is no --write that it speaks of", "give --write FILE too")
    known = dict(map(_psk, psks))
    view = Decoding(
        Wanted(**filters),
        form="json" if as_json else "summary" if summary else "bytes" if every_byte else "fields",
        levels=_LEVELS[secrets],
        secrets=cast(Any, secrets or "none"),
        verifier=_verifier(cacert),
        page=open_page(html, secrets, lang),
        explain=explain,
    )
    if view.page is not None:
        view.page.write_at_end()
    if hexadecimal:
        return _explain(view, cast(str, capture))
    with ExitStack() as stack:
        if interface is not None:
            wait = limits.LIVE_DELAY if delay is None else delay
            if write is not None:
                advice = "write it with tcpdump -w, and decode that"
                raise bad_option("--write", "what is captured now is read once", advice)
            return _live(view, packets(interface, wait), interface, _with_psks(LiveKeyLog(read_keylog), known))
        file = _opened(cast(str, capture), stack)
        keys = _with_psks(KeyLogSecrets(_contents(read_keylog)), known)
        return _decode(view, file, keys, write, no_secrets=no_secrets)


def _refuse_idle(*, hexadecimal: bool, summary: bool, as_json: bool, html: Path | None) -> None:
    """ConfigError for options of the command line that would do nothing."""
    refuse, either = option_sources.refuse_idle, "leave one of them out"
    if hexadecimal:
        refuse(_OF_CONNECTIONS, "bytes that are pasted are no connection", "leave it out, or decode a capture")
    if summary or as_json:
        refuse({"every_byte"}, f"{'--summary' if summary else '--json'} has another form", either)
    if summary and html is None:
        refuse({"secrets"}, "--summary shows none", "leave it out, or give --html FILE too")


def _with_psks(secrets: KeyLogSecrets, psks: Mapping[bytes, bytes]) -> KeyLogSecrets:
    for identity, psk in psks.items():
        secrets.add_psk(identity, psk)
    return secrets


def _psk(option: str) -> tuple[bytes, bytes]:
    """Identity and key of an IDENTITY:HEX. Raises ConfigError bad_option, which does not repeat what may be a key."""
    name, _, key = option.rpartition(":")
    try:
        identity = bytes.fromhex(name[2:]) if name.startswith("0x") else name.encode()
        psk = bytes.fromhex(key)
    except ValueError:
        identity = psk = b""
    if not identity or not psk:
        raise bad_option("--psk", "it is no IDENTITY:HEX", "give the identity, a colon, and the key in hexadecimal")
    return identity, psk


def _decode(view: Decoding, file: BinaryIO, keys: KeyLogSecrets, write: Path | None, *, no_secrets: bool) -> int:
    index = PacketIndex()
    if write is not None and not file.seekable():
        raise bad_option("--write", "a pipe cannot be read twice", "save the capture to a file first")
    if write is not None:
        _check_target(write, file)
    view.names_keys = write is not None and not no_secrets
    reading = Reading(file, view.watch, keys, over=view.over, packet=index.add if write is not None else lambda _: None)
    _read(view, reading, file)
    if view.count == 0:
        ui.note("no TLS connection was found" if not view.wanted else "no TLS connection fits")
    if write is not None:
        _write(view, file, write, index, no_secrets=no_secrets)
    return _damage(reading.damage)


def _read(view: Decoding, reading: Reading, file: BinaryIO) -> None:
    """Read a capture to its end, with progress where standard error is a terminal and nothing else is written there."""
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    number = 0
    for number, _ in enumerate(reading, 1):
        view.flush()
        if shown and number % _STEP == 0:
            click.echo(f"\rhandfast: {number} packets, {file.tell() >> 20} MiB", err=True, nl=False)
    if shown and number >= _STEP:
        click.echo(f"\rhandfast: {number} packets{' ' * 20}", err=True)


def _damage(damage: ConfigError | None) -> int:
    if damage is None:
        return 0
    raise ui.CommandFailed(damage.what, "the capture", damage.hint)


def _check_target(path: Path, file: BinaryIO) -> None:
    """ConfigError for what --write cannot write to, before anything is shown."""
    from handfast.cli.lenses import is_capture
    from handfast.files import check_replaceable

    if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        raise bad_option("--write", f"{path} is what is being read", "name another file")
    check_replaceable(path, replace=is_capture(path))


def _write(view: Decoding, file: BinaryIO, path: Path, index: PacketIndex, *, no_secrets: bool) -> None:
    from handfast.cli.lenses import is_capture
    from handfast.files import create_private

    secrets = b"" if no_secrets else "".join(view.lines).encode()
    with create_private(path, replace=is_capture(path)) as output:
        written = rewrite(file, output.write, index, view.openings if view.wanted else None, secrets)
    held = "without keys" if not secrets else "and their keys: whoever has that file can read the connections"
    ui.note(f"wrote {written} packets to {path}, {held}")


def _live(view: Decoding, items: Iterable[Packet], interface: str, keys: KeyLogSecrets) -> int:
    ui.note(f"capturing on {interface}, until Ctrl-C")
    reading = Reading(items, view.watch, keys, over=view.over)
    for _ in reading:
        view.flush()
        sys.stdout.flush()
    return _damage(reading.damage)


def _explain(view: Decoding, name: str) -> int:
    with ExitStack() as stack:
        text = _opened(name, stack).read(limits.PASTED_BYTES).decode("utf-8", "replace")
    if not view.explain(text):
        raise ui.CommandFailed(
            "there is no TLS record and no handshake message in it",
            "the text",
            "paste the bytes from the start of a record (16 03 ...) or of a message (01 00 ...), in hexadecimal",
        )
    return 0


def _opened(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    return stack.enter_context(open(name, "rb"))


def _contents(path: Path | None) -> bytes:
    return b"" if path is None else loading.read(path)


def _verifier(cacert: Path | None) -> Verifier | None:
    if cacert is None:
        return None
    from handfast.trust.verifiers import PathVerifier

    return PathVerifier(trust_options.roots(cacert))

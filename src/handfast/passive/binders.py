"""The PSK binders of a recorded ClientHello, checked with PSKs that were given. RFC 9846 4.3.11.2.

No key log holds a PSK, nor anything that it could be derived from: RFC 9850 has no label for the resumption secret.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from handfast.crypto.hashes import SHA256, SHA384
from handfast.events import Checked, EventDispatcher, Noted
from handfast.keys import secret_names as keylog
from handfast.keys.schedule import EarlySecret
from handfast.keys.transcript import without_binders
from handfast.limits import BINDERS_CHECKED
from handfast.roles import Direction
from handfast.text import counted, escape
from handfast.wire.extensions import OfferedPsks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handfast.crypto.hashes import Hash
    from handfast.passive.keylog_reader import KeyLogSecrets
    from handfast.wire.extensions import PskIdentity
    from handfast.wire.messages import ClientHello

_HASHES = {hash_.size: hash_ for hash_ in (SHA256, SHA384)}
_EARLY_SECRET = "client_early_traffic_secret"
# Up to this many printable bytes, an identity is shown; a ticket is longer, and says nothing.
_SHOWN = 64


def check_binders(
    watch: EventDispatcher,
    hello: ClientHello,
    raw: bytes,
    transcript_hash: Callable[[Hash, bytes], bytes],
    known: KeyLogSecrets,
) -> Mapping[str, tuple[bytes, ...]]:
    """Tell of each binder whether it is right, or that its PSK is not known.

    ``transcript_hash`` hashes what came before the hello and a part of it, b"" if that cannot be known. Returns what a
    key log would hold of the first PSK, by label: its secret of early data.
    """
    offered = hello.find(OfferedPsks)
    if offered is None:
        return {}
    truncated = without_binders(raw, offered)
    hashes = {size: transcript_hash(hash_, truncated) for size, hash_ in _HASHES.items()}
    found: dict[str, tuple[bytes, ...]] = {}
    unknown: list[PskIdentity] = []
    for number, (identity, binder) in enumerate(zip(offered.identities, offered.binders, strict=False)):
        psk = known.psk(identity.identity) if number < BINDERS_CHECKED else None
        content = hashes.get(len(binder), b"")
        if psk is None:
            unknown.append(identity)
        elif len(content) == len(binder) and _check(watch, psk, content, binder) and not number:
            hash_ = _HASHES[len(binder)]
            secret = EarlySecret(hash_, psk).client_early_traffic_secret(hash_.digest(raw))
            found[keylog.about(_EARLY_SECRET)[0]] = (secret.value,)
    if unknown:
        _note(watch, unknown)
    return found


def _check(watch: EventDispatcher, psk: bytes, content: bytes, binder: bytes) -> bool:
    """Whether it is the PSK's binder, told; whether the PSK is a ticket's or comes from outside, nothing says."""
    early_secret = EarlySecret(_HASHES[len(binder)], psk)
    expected = [early_secret.binder_key(external=external).finished(content) for external in (False, True)]
    right = [compare_digest(one, binder) for one in expected]
    watch.emit(
        Checked(
            time=watch.time,
            direction=Direction.CLIENT_TO_SERVER,
            what="PSK binder",
            content=content,
            expected=expected[right.index(True)] if any(right) else expected[0],
            received=binder,
            ok=any(right),
        )
    )
    return any(right)


def _note(watch: EventDispatcher, unknown: list[PskIdentity]) -> None:
    first = unknown[0].identity
    printable = len(first) <= _SHOWN and first.isascii() and first.decode("ascii").isprintable()
    name = f"of identity {escape(first.decode())}" if printable else f"of a ticket of {len(first)} bytes"
    name += f" and {counted(len(unknown) - 1, 'other')}" if len(unknown) > 1 else ""
    text = f"the PSK binder {name} is not checked: the PSK is not known, and no key log holds it"
    watch.emit(Noted(time=watch.time, direction=Direction.CLIENT_TO_SERVER, code="binder_not_checked", text=text))

"""What must hold before anything is measured: that all negotiate the same, and who refuses what must be refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from bench.sides import Handfast, Implementation, Maker, Pair, Pki, connect, handfast_sides
from handfast.pki.authority import CertificateAuthority
from handfast.registry import CipherSuite, NamedGroup

OTHER_NAME = "elsewhere.example"
NEGOTIATED = ("TLSv1.3", CipherSuite.TLS_AES_128_GCM_SHA256.name, False)


def pairs(implementation: Implementation, pki: Pki, *, mutual: bool) -> Iterator[tuple[str, Pair, int]]:
    """The side that is measured, both ends, and which of them is its: 0 for the client, 1 for the server."""
    if mutual and not implementation.mutual_client:
        return
    client, server = implementation.sides(pki, mutual=mutual)
    peer = (client, server) if implementation.own_peer else handfast_sides(pki, mutual=mutual)
    yield "client", (client, peer[1]), 0
    if implementation.mutual_server or not mutual:
        yield "server", (peer[0], server), 1


def check_facts(implementation: Implementation, pki: Pki) -> None:
    """It really negotiates what the table says. Ends the program if it does not."""
    for mutual in (False, True):
        for side, pair, _ in pairs(implementation, pki, mutual=mutual):
            for end in connect(*pair)[0]:
                wrong: list[object] = [end.facts()] if end.facts() != NEGOTIATED else []
                if isinstance(end, Handfast):
                    info = end.connection.info
                    seen = (info.group, info.retried, info.client_auth_requested)
                    wrong += [seen] if seen != (NamedGroup.x25519, False, mutual) else []
                if wrong:
                    sys.exit(f"handfast: error: the {side} of {implementation.name} negotiated {wrong}")


def unchecked(implementation: Implementation, pki: Pki) -> list[str]:
    """What the implementation lets pass: a leaf that a stranger issued, or one for another name."""
    strange = replace(pki, issuer=CertificateAuthority.create("Stranger"))
    renamed = replace(pki, name=OTHER_NAME)
    found = []

    def peer(wrong: Pki, *, mutual: bool) -> Pair:
        return (
            implementation.sides(wrong, mutual=mutual)
            if implementation.own_peer
            else handfast_sides(wrong, mutual=mutual)
        )

    client, _ = implementation.sides(pki, mutual=False)
    if accepts(client, peer(strange, mutual=False)[1]):
        found.append("its client verifies no chain")
    if accepts(client, peer(renamed, mutual=False)[1]):
        found.append("its client checks no name")
    if implementation.mutual_server:
        _, server = implementation.sides(pki, mutual=True)
        if accepts(peer(strange, mutual=True)[0], server):
            found.append("its server verifies no chain")
    return found


def accepts(client: Maker, server: Maker) -> bool:
    """Whether the handshake succeeds at both ends."""
    try:
        connect(client, server)
    except Exception:  # noqa: BLE001 (each implementation has errors of its own; that it works at all is checked above)
        return False
    return True


def remark(implementation: Implementation, pki: Pki) -> str:
    """All that a reader of its rows must know."""
    return "; ".join(part for part in (implementation.note, *unchecked(implementation, pki)) if part)

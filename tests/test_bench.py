"""The bench measures what its table says: each row of a short run, and who is said to leave out a check."""

from __future__ import annotations

import math
import re
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import handfast
from bench import idle, memory, others, resumption, run, tls12, waiting
from bench.checks import check_facts, remark, unchecked
from bench.scenarios import SIZES, handshakes, records
from bench.sides import (
    ALWAYS,
    HANDFAST,
    REMEMBERING,
    Implementation,
    Pki,
    Row,
    Ssl,
    pyopenssl_sides,
    ssl_contexts,
    ssl_sides,
)
from handfast.pki.authority import CertificateAuthority
from handfast.registry import NamedGroup

ALWAYS_NAMED = ["handfast", "paths remembered", "ssl", "pyOpenSSL"]
SIDES = ["client", "server"]


@pytest.fixture(scope="module")
def pki():
    made = Pki.create()
    yield made
    made.close()


def keys(rows: list[Row]) -> list[tuple[str, str, str]]:
    return [(row.scenario, row.implementation, row.side) for row in rows]


def plausible(rows: list[Row]) -> bool:
    """Every row has a time, and ssl is as quick as ssl."""
    ratios = [(row.implementation, row.ratio_to_ssl) for row in rows if row.ratio_to_ssl is not None]
    return (
        all(math.isfinite(row.median) and row.median > 0 for row in rows)
        and all(ratio > 0 for _, ratio in ratios)
        and all(ratio == 1 for name, ratio in ratios if name == "ssl")
    )


@pytest.mark.parametrize("mutual", [False, True])
def test_handshakes(pki, mutual):
    rows = list(handshakes(list(ALWAYS), pki, mutual=mutual, rounds=1, count=1))
    scenario = "mutual handshake" if mutual else "full handshake"
    assert keys(rows) == [(scenario, name, side) for name in [*ALWAYS_NAMED, "floor"] for side in SIDES]
    assert plausible(rows)


RESUMING = [*ALWAYS_NAMED, "floor"]


def test_resumed_handshakes(pki):
    rows = list(resumption.rows(pki, rounds=1, count=1))
    assert keys(rows) == [("resumed handshake", name, side) for name in RESUMING for side in SIDES]
    assert plausible(rows)


def test_tls_12(pki):
    rows = list(tls12.rows(pki, rounds=1, count=1, seconds=0))
    both = ["handfast", "ssl"]
    made = keys(rows)
    for kind in ("full", "mutual", "resumed"):
        for name in both:
            assert {(f"TLS 1.2, {kind} handshake", name, side) for side in SIDES} <= set(made)
    assert {(f"TLS 1.2, {what} 16 KiB", name, "server") for what in ("seal", "open") for name in both} <= set(made)
    assert len(made) == len(set(made)) == 24
    assert plausible(rows)


def test_a_session_that_is_not_resumed_is_no_result(pki):
    own = replace(resumption.ssl_resumable(pki), session=lambda end: None)
    with pytest.raises(SystemExit, match="not resumed"):
        resumption.Returning(own, resumption.pyopenssl_resumable(pki), index=0, judge=0)()


def test_records(pki):
    small = replace(HANDFAST, name="small", largest=1024)
    none = replace(HANDFAST, name="none", largest=0)
    rows = list(records([*ALWAYS, small, none], pki, rounds=1, seconds=0))
    having = [one.name for one in ALWAYS if one.largest]
    names = {label: [*having, *(["small"] if size <= 1024 else []), "floor"] for label, size in SIZES.items()}
    assert keys(rows) == [
        (f"{what} {label}", name, "server") for label in SIZES for what in ("seal", "open") for name in names[label]
    ]
    assert plausible(rows)
    assert run.aes_gcm(rows).startswith("alone, by cryptography: ")


def test_a_write_that_takes_only_a_part_is_no_result(pki):
    class Short(Ssl):
        def seal(self, data: bytes) -> bytes:
            return super().seal(data[:65536])

    def short(pki: Pki, *, mutual: bool):
        client, server = ssl_contexts(pki, mutual=mutual)
        return lambda: Short(client, server=False), lambda: Short(server, server=True)

    with pytest.raises(SystemExit, match="short does not carry 1048576 bytes"):
        list(records([*ALWAYS, Implementation("short", short)], pki, rounds=1, seconds=0))


def test_memory(pki, monkeypatch):
    monkeypatch.setattr(memory, "CONNECTIONS", 5)
    assert [row.implementation for row in memory.rows(pki)] == ["handfast", "handfast"]


@pytest.mark.skipif(not idle.STATM.exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize("kind", ["full", "mutual"])
def test_an_idle_server_connection_of_handfast_needs_little(pki, kind):
    """The goal of 20 KiB, with room for a process that has just started."""
    assert idle.kib_per_connection("handfast", "asyncio", kind, pki, connections=40) < 40
    assert idle.kib_per_connection("ssl", "asyncio", kind, pki, connections=10) > 200


def test_handshakes_that_wait_for_one_signer(pki):
    """It ends, so none needed another's signature to come to its own."""
    rows = list(waiting.rows(pki, rounds=1, count=waiting.WAITING))
    assert keys(rows) == [("500 waiting handshakes", "handfast", "both")]
    assert plausible(rows)


PAGE = (Path(__file__).parent.parent / "docs" / "performance.md").read_text()


def test_the_page_names_rows_that_there_are():
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall("`([^`]+)`", cell)}
    scenarios = {scenario for scenario, _ in run.GOALS} | set(run.MOST_KIB)
    assert len(named) > 6
    assert named - {REMEMBERING.name} <= scenarios


def test_the_configuration_of_the_page_makes_cheap_handshakes(tmp_path, monkeypatch):
    program = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert program is not None
    made = CertificateAuthority.create()
    server, client = made.server("localhost"), made.client("alice")
    for name, data in (
        ("ca.pem", made.certificate_pem), ("server.pem", server.cert_pem), ("server.key", server.key_pem)
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(program[1], scope)
    config = handfast.ClientConfig(
        verifier=handfast.PathVerifier(handfast.Roots.from_file("ca.pem")),
        credentials=[handfast.Credentials.from_pem(client.cert_pem, client.key_pem)],
        sessions=handfast.SessionCache(),
    )
    for resumed in (False, True):
        ends = (
            handfast.ClientConnection(config, server_name="localhost"),
            handfast.ServerConnection(scope["server"]),
        )
        for _ in range(4):
            for sender, receiver in (ends, ends[::-1]):
                receiver.receive(sender.outgoing())
        info = ends[1].info
        assert (info.complete, info.resumed, info.verified_peer is not None) == (True, resumed, True)
        assert info.group == NamedGroup.x25519


def test_goals():
    row = Row("full handshake", "server", "handfast", 100, "us", 1.0)
    assert run.verdict(row) == "goal 1.15: MISSED"
    assert run.verdict(replace(row, ratio_to_ssl=1.2)) == "goal 1.15: met"
    assert run.verdict(replace(row, implementation="ssl")) == ""
    idle_row = Row("idle connection, full", "server", "handfast, uvloop", 7.0, "KiB", 3.0)
    assert run.verdict(idle_row) == "goal 20 KiB: met"
    assert run.verdict(replace(idle_row, median=21)) == "goal 20 KiB: MISSED"


# Who checks what


def lax(pki: Pki, *, mutual: bool):
    """Its server asks for no certificate."""
    return ssl_sides(pki, mutual=mutual)[0], ssl_sides(pki, mutual=False)[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tlslite-ng imports modules of old Pythons
@pytest.mark.parametrize("implementation", [*ALWAYS, *others.installed()], ids=lambda one: one.name)
def test_all_negotiate_what_is_compared(pki, implementation):
    check_facts(implementation, pki)


def test_who_leaves_out_a_check_is_named(pki):
    def careless(pki: Pki, *, mutual: bool):
        client, server = ssl_contexts(pki, mutual=mutual)
        client.check_hostname = False
        client.verify_mode = ssl.CERT_NONE
        return lambda: Ssl(client, server=False), lambda: Ssl(server, server=True)

    assert unchecked(HANDFAST, pki) == unchecked(Implementation("ssl", ssl_sides), pki) == []
    assert unchecked(Implementation("pyOpenSSL", pyopenssl_sides), pki) == ["its client checks no name"]
    assert unchecked(Implementation("lax", lax), pki) == ["its server verifies no chain"]
    said = remark(Implementation("careless", careless, note="an example"), pki)
    assert said == "an example; its client verifies no chain; its client checks no name"


def test_a_server_that_asks_for_no_certificate_is_not_compared_as_mutual(pki):
    with pytest.raises(SystemExit, match="the server of lax negotiated"):
        check_facts(Implementation("lax", lax), pki)

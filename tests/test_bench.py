"""The bench measures what its table says: each row of a short run, and who is said to leave out a check."""

from __future__ import annotations

import json
import math
import re
import ssl
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import handfast
from bench import chart, idle, memory, others, providers, resumption, run, serving, starting, tls12, variations, waiting
from bench.build import python_build
from bench.checks import check_facts, remark, unchecked
from bench.scenarios import SIZES, handshakes, records
from bench.sides import (
    ALWAYS,
    FORGETTING,
    HANDFAST,
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
from handfast.wire.messages import ClientHello
from handfast.wire.parsing import parse_handshake

OURS = ["handfast", *(f"handfast, {name}" for name in providers.providers())]
ALWAYS_NAMED = ["handfast", "handfast, remember_paths=0", *OURS[1:], "ssl", "pyOpenSSL"]
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
    both = [*OURS, "ssl"]
    made = keys(rows)
    for kind in ("full", "mutual", "resumed"):
        for name in both:
            assert {(f"TLS 1.2, {kind} handshake", name, side) for side in SIDES} <= set(made)
    assert {(f"TLS 1.2, {what} 16 KiB", name, "server") for what in ("seal", "open") for name in both} <= set(made)
    assert len(made) == len(set(made)) == 12 * len(both)
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


def test_variations_of_the_full_handshake(pki):
    """That each is what its name says, the bench itself finds out before it measures."""
    rows = list(variations.rows(pki, rounds=1, count=1))
    named = {
        "X25519MLKEM768": [*OURS, "ssl", *(f"{name}, X25519" for name in OURS)],
        "HelloRetryRequest": [*OURS, "ssl"],
        "varying hello": [*OURS, "ssl"],
    }
    assert keys(rows) == [
        (scenario, name, side) for scenario, names in named.items() for name in names for side in SIDES
    ]
    assert plausible(rows)


def test_a_variation_that_did_not_happen_is_no_result(pki):
    made = variations.retry(pki)
    wrong = replace(made, facts=dict.fromkeys(made.pairs, (NamedGroup.secp256r1, False)))
    with pytest.raises(SystemExit, match="HelloRetryRequest: client of handfast negotiated"):
        list(variations.measure(wrong, rounds=1, count=1))


def test_no_two_varying_hellos_are_alike(pki):
    client, _ = variations.varying_hello(pki).pairs["handfast", "client"]
    hellos = [client().feed(b"") for _ in range(30)]
    names = {message.sni_name for hello in hellos if isinstance(message := parse_handshake(hello[5:]), ClientHello)}
    assert len(names) == 30
    assert len({len(hello) for hello in hellos}) > 20


def test_servers_under_asyncio(pki, monkeypatch):
    monkeypatch.setattr(serving, "installed_loops", lambda: ["asyncio"])
    monkeypatch.setattr(serving, "REQUESTS", dict.fromkeys(serving.REQUESTS, 1))
    monkeypatch.setattr(serving, "TURNS", 1)
    monkeypatch.setattr(serving, "WARMING", 1)
    rows = list(serving.rows(pki, rounds=1))
    layers = ["plain TCP", "ssl", *OURS]
    assert keys(rows) == [(f"aio, {kind}", name, "server") for kind in serving.REQUESTS for name in layers]
    assert plausible(rows)


def test_what_a_program_pays_once(pki):
    rows = list(starting.rows(pki, rounds=1))
    assert keys(rows) == [(scenario, name, "server") for scenario in starting.SCENARIOS for name in ("handfast", "ssl")]
    assert plausible(rows)


def test_a_provider_that_cannot_be_had_is_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(providers, "PROVIDERS", ("nobody's",))
    assert providers.providers.__wrapped__() == ()
    assert list(providers.missing()) == ["nobody's"]
    assert all(providers.missing().values())
    assert providers.obstacle("") == ""


# How Python was built

GCC = {"PGO_PROF_GEN_FLAG": "-fprofile-generate", "PGO_PROF_USE_FLAG": "-fprofile-use -fprofile-correction", "AR": "ar"}
PLAIN = GCC | {"CONFIG_ARGS": "'--prefix=/opt'", "PY_CORE_CFLAGS": "-DNDEBUG -O3 -Wall"}
BUILDS = {
    "plain": (PLAIN, False, False),
    "configured": (PLAIN | {"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'"}, True, True),
    "Debian": (PLAIN | {"PGO_PROF_USE_FLAG": "", "AR": "x86_64-linux-gnu-gcc-ar"}, True, True),
    "flags in the record": (PLAIN | {"PY_CORE_CFLAGS": "-O2 -fprofile-use", "LDFLAGS_NODIST": "-flto"}, True, True),
    "another compiler": (PLAIN | {"PGO_PROF_GEN_FLAG": "", "PGO_PROF_USE_FLAG": ""}, False, False),
    "for debugging": (PLAIN | {"CONFIG_ARGS": "'--enable-optimizations'", "Py_DEBUG": 1}, False, False),
    "without -O": (PLAIN | {"CONFIG_ARGS": "'--enable-optimizations'", "PY_CORE_CFLAGS": "-O3 -O0"}, False, False),
    "untold": ({"Py_DEBUG": 0}, None, False),
}


@pytest.mark.parametrize(("recorded", "optimised", "link_time"), BUILDS.values(), ids=BUILDS)
def test_whether_this_python_was_optimised(recorded, optimised, link_time):
    build = python_build(recorded)
    assert (build.optimised, build.link_time) == (optimised, link_time)
    warning = build.warning()
    assert (warning == "") is bool(optimised)
    assert bool(optimised) or ("hint: make bench PYTHON=" in warning and str(build) in warning)


def test_the_table_is_headed_by_the_builds():
    about = run.versions()
    assert about["Python"].endswith(str(python_build()))
    assert {"ssl", "cryptography", "pyOpenSSL", "uvloop", "date", "load"} <= set(about)
    assert "OpenSSL" in about["cryptography"]


# The chart

RESULTS: dict[str, Any] = {
    "about": {"date": "2026-11-29", "Python": "3.11.2, <PGO>", "handfast": "0.1", "qh3": "not installed"},
    "rows": [
        asdict(Row(scenario, side, name, 1.0, "us", ratio))
        for scenario, side, name, ratio in (
            ("full handshake", "server", "handfast", 1.5),
            ("full handshake", "server", "handfast, remember_paths=0", 0.7),
            ("full handshake", "server", "ssl", 1.0),
            ("full handshake", "server", "tls<&>", 0.0123),
            ("idle connection, full", "server", "handfast", 43.4),
            ("idle connection, full", "server", "handfast, uvloop", 3.1),
            ("tiny", "server", "handfast", 0.07),
            ("no peer", "both", "handfast", None),
        )
    ],
}
AROUND = (f"# Before\n\n{chart.BEGIN}\nold table\n{chart.END}", "\n\nAfter\n")


@pytest.fixture
def docs(tmp_path):
    (tmp_path / "performance.md").write_text("".join(AROUND))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    return tmp_path


def test_the_chart_and_the_table_are_made_of_the_results(docs):
    chart.write(docs / "results.json", docs)
    page, picture = (docs / "performance.md").read_text(), (docs / "performance.svg").read_text()
    assert page.startswith(f"# Before\n\n{chart.BEGIN}\ndate 2026-11-29; Python 3.11.2, <PGO>; handfast 0.1.\n\n|")
    assert page.endswith(f"|\n{chart.END}{AROUND[1]}")
    assert "old table" not in page
    assert "| full handshake | server | 1.50 | 0.70 | 0.01 |" in page
    assert "| idle connection, full, uvloop | server | 3.10 |  |  |" in page
    # Once more, and nothing changes.
    chart.write(docs / "results.json", docs)
    assert (page, picture) == ((docs / "performance.md").read_text(), (docs / "performance.svg").read_text())


def test_the_chart_is_a_picture_that_needs_nothing_else():
    picture = chart.svg(RESULTS["about"], chart.ratios(RESULTS["rows"]))
    root: Any = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    labels = {root.find(f"{space}{name}").get("id") for name in ("title", "desc")}
    assert set(root.get("aria-labelledby").split()) == labels
    assert "full handshake, server: handfast 1.50, handfast, remember_paths=0 0.70" in root.find(f"{space}desc").text
    bars = [one for one in root.iter(f"{space}rect") if one.get("class", "").startswith("bar")]
    assert len(bars) == 5 + 2  # and the legend
    one = [line for line in root.iter(f"{space}line") if line.get("class") == "one"]
    assert len(one) == 1
    above = next(bar for bar in bars if bar.get("x") == one[0].get("x1"))
    assert float(above.get("width")) == pytest.approx(chart.at(1.5) - chart.at(1))
    words = [text.text for text in root.iter(f"{space}text")]
    assert {"1.50", "0.70", "43 »", "« 0.07"} <= set(words)
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_a_page_without_a_place_for_the_table_is_left_alone(docs):
    for page in ("nothing", f"{chart.END}{chart.BEGIN}", chart.BEGIN * 2 + chart.END):
        (docs / "performance.md").write_text(page)
        with pytest.raises(ValueError, match="the page needs one line"):
            chart.write(docs / "results.json", docs)
        assert (docs / "performance.md").read_text() == page
        assert not (docs / "performance.svg").exists()


def test_a_chart_without_results_says_what_makes_them(docs, monkeypatch):
    monkeypatch.setattr("sys.argv", ["chart", "--results", str(docs / "none.json"), "--docs", str(docs)])
    with pytest.raises(SystemExit, match="hint: `make bench` writes"):
        chart.main()


PAGE = (Path(__file__).parent.parent / "docs" / "performance.md").read_text()


def test_the_page_names_rows_that_there_are():
    cells = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall("`([^`]+)`", cell)}
    scenarios = {scenario for scenario, _ in run.GOALS} | set(run.MOST_KIB)
    assert len(named) > 6
    measured = {"X25519MLKEM768", "HelloRetryRequest", "varying hello", *starting.SCENARIOS}
    measured |= {f"aio, {kind}" for kind in serving.REQUESTS}
    assert named <= scenarios | measured | {FORGETTING.name}


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

"""The key schedule of the page: its openssl commands give the values that the page shows."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from handfast import limits
from handfast.lens.page.story_data import told
from tests.certificates import require_peer
from tests.lens.page.stories import scenario, story_of
from tests.waiting import LIMIT


def keys(name: str, secrets: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = told(story_of(scenario(name).client_side, secrets))["keys"]
    return nodes


def run_all(lines: list[str]) -> list[str]:
    """What a shell makes of the lines: the last word that each prints, in lower case without colons."""
    shown = subprocess.run(["sh", "-ec", "\n".join(lines)], capture_output=True, text=True, timeout=LIMIT)
    assert shown.stderr == ""
    return [line.replace(":", "").lower() for line in shown.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("name", "secrets", "without"),
    [
        ("mutual", "traffic", {"shared_secret", "exporter_secret", "resumption_secret"}),
        ("early data", "all", {"psk", "shared_secret"}),
        ("TLS 1.2", "traffic", {"shared_secret"}),
        ("KeyUpdate", "all", {"shared_secret"}),
    ],
)
def test_openssl_computes_what_is_shown(name: str, secrets: str, without: set[str]) -> None:
    require_peer("openssl")
    nodes = keys(name, secrets)
    told_how = [node for node in nodes if "shell" in node]
    parts_of_the_block = {
        node["name"] for node in nodes if "key_block" in node["formula"] and node["name"] != "key_block"
    }
    assert {node["name"] for node in nodes} - {node["name"] for node in told_how} == without | parts_of_the_block
    assert run_all([line for node in told_how for line in node["shell"]]) == [node["value"] for node in told_how]


def test_openssl_computes_a_finished() -> None:
    require_peer("openssl")
    data = told(story_of(scenario("mutual").client_side, "traffic"))
    checks = [item for item in data["items"] if item["k"] == "check" and "shell" in item]
    assert len(checks) == 2
    assert run_all([line for check in checks for line in check["shell"]]) == [check["expected"] for check in checks]


@pytest.mark.parametrize(
    ("name", "secrets"), [("mutual", "traffic"), ("HelloRetryRequest", "traffic"), ("resumed", "all")]
)
def test_openssl_computes_the_transcript_hashes(name: str, secrets: str) -> None:
    require_peer("openssl")
    told_how = [node for node in keys(name, secrets) if "hashing" in node]
    # Both hellos, then up to the server's Finished, and up to the client's where that secret is shown.
    assert len(told_how) == (3 if secrets == "all" else 2)
    lines = [node["hashing"] for node in told_how]
    shown = subprocess.run(["bash", "-ec", "\n".join(lines)], capture_output=True, text=True, timeout=LIMIT)
    assert shown.stderr == ""
    assert [line.split()[-1] for line in shown.stdout.splitlines()] == [node["context"] for node in told_how]


def test_a_transcript_with_something_hidden_is_not_in_a_command() -> None:
    """The identity of a PSK crosses the wire in the client's hello."""
    nodes = keys("resumed", "traffic")
    assert any("shell" in node for node in nodes)
    assert [node["name"] for node in nodes if "hashing" in node] == []
    assert [node["name"] for node in keys("mutual", "none") if "hashing" in node] == []


def test_a_long_transcript_is_not_in_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_TRANSCRIPT_BYTES", 100)
    assert [node["name"] for node in keys("mutual", "traffic") if "hashing" in node] == []


def test_hidden_values_have_no_commands() -> None:
    nodes = keys("mutual", "none")
    assert len(nodes) > 20
    assert [node["name"] for node in nodes if node.get("value") or "shell" in node] == []
    assert {node["level"] for node in nodes} == {"traffic", "all"}


def test_what_each_was_made_of() -> None:
    nodes = keys("mutual", "none")
    by_name = {node["name"]: node for node in nodes}
    handshake = by_name["handshake_secret"]
    assert [nodes[at]["name"] for at in handshake["inputs"]] == ["derived_from_early_secret", "shared_secret"]
    traffic = by_name["client_handshake_traffic_secret"]
    assert (traffic["label"], traffic["covers"]) == ("c hs traffic", ["ClientHello", "ServerHello"])
    assert len(by_name["shared_secret"]["parts"]) == 2
    assert nodes[by_name["server handshake write_key"]["inputs"][0]]["name"] == "server_handshake_traffic_secret"

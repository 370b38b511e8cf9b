"""What a story tells besides bytes: how it ended, who they are, and within which bounds it is kept."""

from __future__ import annotations

from typing import Any

import pytest

from handfast import limits
from handfast.lens.page.story import Story
from handfast.lens.page.story_data import told
from handfast.roles import Role
from tests.lens.page.stories import scenario, story_of
from tests.passive.test_same_stream import REFUSED, SCENARIOS


def items(data: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in data["items"] if item["k"] == kind]


@pytest.mark.parametrize(
    ("name", "line", "hint"),
    [
        ("certificate_required", "server refused: certificate_required (116)", "give one with --cert and --key"),
        ("a server of another CA", "client refused the server's certificate, unknown_ca (48)", "--cacert"),
        ("no common suite", "server refused: handshake_failure (40)", "compare versions, suites"),
        ("an end in the handshake", "TLS 1.3 without an answer: the server closed", "the server's log"),
    ],
)
def test_a_failure_is_told_with_its_cause_and_what_to_do(name: str, line: str, hint: str) -> None:
    end = told(story_of(scenario(name).client_side))["end"]
    assert end["failed"]
    assert end["line"].startswith(line)
    assert hint in end["hint"]


def test_only_what_was_refused_failed() -> None:
    for name in ("mutual", "declined", "TLS 1.2", "KeyUpdate", "early data", "certificate_required"):
        assert name in SCENARIOS
        assert told(story_of(scenario(name).client_side))["end"]["failed"] is (name in REFUSED)


def test_the_alert_that_ends_it_is_in_the_story() -> None:
    data = told(story_of(scenario("certificate_required").server_side))
    (alert,) = items(data, "alert")
    assert (alert["d"], alert["name"], alert["fatal"]) == ("S>C", "certificate_required (116)", True)
    assert "the client sent no certificate" in alert["why"]


def test_who_they_are() -> None:
    data = told(story_of(scenario("mutual").client_side))
    client, server = data["people"]["client"], data["people"]["server"]
    assert client["asked"] == ["CN=Test CA,O=handfast"]
    assert client["choice"]["why"] == "its issuer is among the CA names that the server sent"
    assert client["chain"][0][0] == "subject: CN=alice,O=handfast"
    assert server["verdict"]["ok"]
    assert server["verdict"]["path"][-1].startswith("CN=Test CA")
    assert dict(data["facts"])["version"] == "TLS 1.3"


def test_what_is_special_is_told() -> None:
    def names(name: str) -> list[str]:
        return [message["id"] for message in told(story_of(scenario(name).client_side))["messages"]]

    assert names("HelloRetryRequest")[1:3] == ["HelloRetryRequest", "ClientHello"]
    assert "EndOfEarlyData" in names("early data")
    assert names("KeyUpdate").count("KeyUpdate") == 6
    assert names("authentication after the handshake").count("CertificateRequest") == 4
    assert "ServerKeyExchange" in names("TLS 1.2")
    facts = dict(told(story_of(scenario("early data").client_side))["facts"])
    assert (facts["session"], facts["early data"]) == ("resumed", "accepted")


def test_times_count_from_the_first_record() -> None:
    """Secrets of a session that is resumed come before any record."""
    data = told(story_of(scenario("early data").client_side))
    times = [item["at"] for item in items(data, "record")]
    assert (data["items"][0]["k"], data["items"][0]["at"]) == ("secret", 0)
    assert times[0] == 0
    assert times == sorted(times)
    assert max(item["at"] for item in data["items"]) < 10


def test_nonce_and_additional_data() -> None:
    def opened(name: str, secrets: str) -> list[list[str]]:
        data = told(story_of(scenario(name).client_side, secrets))
        return [item["opened"] for item in items(data, "record") if "inner" in item]

    for nonce, _, additional, _ in opened("mutual", "none"):
        assert nonce == ""
        assert additional.startswith("170303")
    shown = opened("mutual", "traffic")
    assert all(len(nonce) == 24 for nonce, *_ in shown)
    assert shown[0][1] == "IV XOR record number 0"
    assert all(len(additional) == 26 for _, _, additional, _ in opened("TLS 1.2", "traffic"))


def test_bytes_of_one_connection_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    side = scenario("mutual").client_side
    monkeypatch.setattr(limits, "PAGE_CONNECTION_BYTES", 3000)
    data = told(story_of(side), strict=True)
    assert 0 < len(items(data, "record")) < 5
    assert data["left_out"] > 3
    # How it ended is told all the same.
    assert len(items(data, "closed")) == 2
    assert not data["end"]["failed"]


def test_application_data_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_DATA_BYTES", 4)
    data = told(story_of(scenario("mutual").client_side, "traffic"), strict=True)
    question = next(item for item in items(data, "record") if item["type"] == "application_data")
    content = question["inner"][0]
    assert (content["x"], content["h"], content["e"]) == (b"a qu".hex(), "cut", len(b"a question"))
    assert all(len(item["opened"][0]) == 24 for item in items(data, "record") if "inner" in item)


def test_events_of_one_connection_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_EVENTS", 10)
    story = story_of(scenario("mutual").client_side)
    assert len(story.kept) <= 2 * limits.PAGE_EVENTS
    assert story.left_out > 0


def test_a_connection_that_never_was_is_told() -> None:
    data = told(Story(Role.CLIENT))
    assert data["end"]["failed"]
    assert data["items"] == []

"""``--session FILE``: sessions between runs, in a file that is ours alone."""

from __future__ import annotations

import json
import os
import stat

import pytest

from handfast import limits
from handfast.cli.session_file import SessionFile
from handfast.engine import ClientAuth
from handfast.errors import ConfigError
from handfast.sessions.state import ClientSession
from handfast.sessions.state12 import ClientSession12
from handfast.sessions.tickets import SealedTickets
from tests.cli.conftest import https_server
from tests.cli.test_connect import url

SESSION = ClientSession(b"ticket", b"psk", 0x1301, 1.5, 1.25, 7200, 5, 0, None, (b"leaf", b"ca"), identified=False)
SESSION_12 = ClientSession12(b"", b"id", b"main", 0xC02B, 1.0, 1.0, 300, (b"leaf",), identified=True)
HERE, THERE = bytes(32), bytes([1]) * 32


def test_sessions_are_found_again_each_once_and_the_newest_first(tmp_path):
    path = tmp_path / "sessions"
    kept = SessionFile(path)
    kept.put(HERE, SESSION)
    kept.put(HERE, SESSION_12)
    kept.put(THERE, SESSION)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["sessions"]
    again = SessionFile(path)
    assert (again.found, again.take(HERE)) == (3, SESSION_12)
    # Taken is taken, also for another process.
    assert SessionFile(path).take(HERE) == SESSION
    assert SessionFile(path).take(HERE) is None
    assert SessionFile(path).take(THERE) == SESSION
    assert "psk" not in repr(again)


def test_a_resumed_connection_in_another_run(run, pki, tmp_path):
    path = tmp_path / "sessions"
    for version in ("1.3", "1.2"):
        with https_server(ClientAuth.REQUIRE_AND_VERIFY, tickets=SealedTickets()) as port:
            arguments = ("--session", path, "--tls", version)
            first = run("connect", url(port), *pki.alice, *arguments)
            second = run("connect", url(port), *pki.alice, *arguments)
        assert not first.complaints[-1].endswith("resumed")
        assert second.complaints[-1].endswith("resumed")
        assert (first.status, second.status) == (0, 0)


def test_a_session_is_bound_to_the_name_and_to_who_is_trusted(run, pki, tmp_path):
    path = tmp_path / "sessions"
    with https_server(tickets=SealedTickets()) as port:
        assert run("connect", url(port), *pki.trust, "--session", path).status == 0
        rule = ("--connect-to", f"::127.0.0.1:{port}")
        other = run("connect", "https://server.example.com/", *pki.trust, *rule, "--session", path)
        assert not other.complaints[-1].endswith("resumed")
        insecure = run("connect", url(port), "-k", *pki.trust, "--session", path)
        assert not insecure.complaints[-1].endswith("resumed")
        assert run("connect", url(port), *pki.trust, "--session", path).complaints[-1].endswith("resumed")


def test_a_server_that_gives_no_session_is_told(run, pki, tmp_path):
    with https_server() as port:
        result = run("connect", url(port), *pki.trust, "--session", tmp_path / "sessions")
    assert result.status == 0
    assert result.complaints[-1].startswith("handfast: warning: the server gave no session while")


def tampered(path):
    """Files that are not what was written, by what was done to them."""
    content = json.loads(path.read_text())
    (entry,) = content["sessions"]
    return {
        "text": b"not JSON",
        "bytes": b"\xff\xfe",
        "list": b"[]",
        "nested": b"[" * 100_000,
        "changed": path.read_bytes().replace(b'"suite": 4865', b'"suite": 4866'),
        "format": json.dumps(content | {"format": "2"}).encode(),
        "missing": json.dumps({"format": content["format"]}).encode(),
        "cut": path.read_bytes()[:-20],
        "long": path.read_bytes() + b" " * limits.SESSION_FILE_BYTES,
        **{name: _resealed(content, entry, change) for name, change in CHANGES.items()},
    }


# Whole files, with a right sum, whose session has another shape.
CHANGES = {
    "no suite": lambda session: session.pop("suite"),
    "a text": lambda session: session.update(suite="x"),
    "a bool": lambda session: session.update(suite=True),
    "negative": lambda session: session.update(lifetime=-1),
    "no base64": lambda session: session.update(psk={"base64": "!"}),
    "text for bytes": lambda session: session.update(psk="psk"),
    "a chain of text": lambda session: session.update(chain=["x"]),
    "more": lambda session: session.update(other=1),
}


def _resealed(content, entry, change):
    from handfast.cli.session_file import _digest

    session = dict(entry["session"])
    change(session)
    sessions = [entry | {"session": session}]
    return json.dumps({"format": content["format"], "sha256": _digest(sessions), "sessions": sessions}).encode()


def test_a_tampered_file_is_a_clear_error(run, pki, tmp_path):
    path = tmp_path / "sessions"
    SessionFile(path).put(HERE, SESSION)
    for name, content in tampered(path).items():
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="was changed since handfast wrote it"):
            SessionFile(path)
        assert path.read_bytes() == content, name
    assert run("connect", url(1), *pki.trust, "--session", path).is_error(2, "--session", "remove it")


def test_a_file_of_others_is_not_used(run, pki, tmp_path):
    path = tmp_path / "sessions"
    SessionFile(path).put(HERE, SESSION)
    path.chmod(0o640)
    assert run("connect", url(1), *pki.trust, "--session", path).is_error(2, "open to others")
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "a symbolic link"), ("pipe", "a pipe"), (".", "a directory")):
        refused = run("connect", url(1), *pki.trust, "--session", tmp_path / name)
        assert refused.is_error(2, f"{tmp_path / name}: is {words}")
    assert run("connect", url(1), *pki.trust, "--session", tmp_path / "no" / "file").is_error(2, "cannot be written")


def test_the_file_is_bounded(tmp_path):
    kept = SessionFile(tmp_path / "sessions")
    for number in range(limits.SESSIONS_IN_FILE + 1):
        kept.put(bytes([number]) * 32, SESSION)
    assert len(kept) == limits.SESSIONS_IN_FILE
    assert kept.take(HERE) is None
    large = ClientSession(**{name: getattr(SESSION, name) for name in SESSION.__slots__} | {"ticket": bytes(400_000)})
    for _ in range(3):
        kept.put(THERE, large)
    assert (tmp_path / "sessions").stat().st_size <= limits.SESSION_FILE_BYTES
    assert SessionFile(tmp_path / "sessions").take(THERE) == large


def test_what_cannot_be_stored_is_told_and_ends_nothing(tmp_path, monkeypatch):
    kept = SessionFile(tmp_path / "sessions")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    kept.put(HERE, SESSION)
    assert "No space left" in kept.failure
    assert [entry.name for entry in tmp_path.iterdir()] == ["sessions"]

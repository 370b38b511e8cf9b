"""``--html``: what ``connect``, ``serve`` and ``decode`` write, and what ``demo`` leaves."""

from __future__ import annotations

import json
import re
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from handfast.cli import lenses, page_file
from handfast.engine import ClientAuth
from handfast.lens.page.page import Page
from handfast.roles import Role
from tests.cli.conftest import finish, https_server, start
from tests.waiting import LIMIT


def pages(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a page knows of all connections, and of each."""
    found = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text("utf-8"))
    summary, *stories = map(json.loads, found)
    return summary, stories


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_connect_writes_its_connection(run, pki, tmp_path):
    path = tmp_path / "page.html"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", f"https://localhost:{port}/whoami", *pki.alice, "--html", path, "--lang", "zh")
    assert result.status == 0
    assert f"handfast: wrote the page {path}, to be opened in a browser" in result.complaints
    summary, (story,) = pages(path)
    assert summary["language"] == "zh"
    assert story["end"]["line"].startswith("mutual TLS 1.3 OK: server CN=localhost")
    assert "answered HTTP 200 OK" in story["end"]["line"]
    assert story["server"].endswith(f":{port}")
    assert b"/whoami".hex() not in path.read_text()
    assert not mode(path) & 0o022


def test_with_secrets_it_is_its_owners_alone(run, pki, tmp_path):
    path = tmp_path / "page.html"
    with https_server() as port:
        result = run("connect", f"https://localhost:{port}/whoami", *pki.trust, "--html", path, "--secrets")
    assert result.status == 0
    assert "whoever has that file can read the connection" in result.err
    assert mode(path) == 0o600
    assert b"/whoami".hex() in path.read_text()


def test_a_refusal_is_told_with_its_cause(run, pki, tmp_path):
    path = tmp_path / "page.html"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        result = run("connect", f"https://localhost:{port}/", *pki.trust, "--html", path)
    assert result.is_error(1, "certificate_required")
    _, (story,) = pages(path)
    assert story["end"]["failed"]
    assert "because the client sent no certificate" in story["end"]["line"]
    assert "give one with --cert and --key" in story["end"]["hint"]


def test_a_connection_that_is_not_made_is_told(run, pki, tmp_path):
    path = tmp_path / "page.html"
    assert run("connect", "https://localhost:1/", *pki.trust, "--html", path).status == 1
    _, (story,) = pages(path)
    assert "cannot connect" in story["end"]["line"]


def test_serve_writes_while_it_goes_on(run, pki, tmp_path):
    path = tmp_path / "page.html"
    server = start("serve", "--listen", "127.0.0.1:0", *pki.server, "--html", path)
    assert server.stdout is not None
    port = re.findall(r":(\d+)/", server.stdout.readline())[0]
    for _ in range(2):
        assert run("connect", f"https://localhost:{port}/", *pki.trust).status == 0
    server.send_signal(signal.SIGINT)
    result = finish(server)
    assert "wrote the page" in result.err
    summary, stories = pages(path)
    assert [one["failed"] for one in summary["connections"]] == [False, False]
    assert [story["role"] for story in stories] == ["server", "server"]


def test_a_page_is_written_after_each_connection(tmp_path, monkeypatch):
    written: list[int] = []
    file = page_file.PageFile(tmp_path / "page.html", None)
    monkeypatch.setattr(file, "write", lambda: written.append(len(file._stories)))
    monkeypatch.setattr("threading.Timer", _AtOnce)
    for _ in range(3):
        story = file.story(Role.SERVER)
        file.add(story)
        file._ended(story)
    assert written == [1, 2, 3]


class _AtOnce:
    """A timer that does not wait."""

    daemon = False

    def __init__(self, seconds: float, work: Any) -> None:
        assert seconds <= LIMIT
        self.start = work


def test_decode_writes_what_it_shows(run, pki, tmp_path):
    capture, path = tmp_path / "capture.pcapng", tmp_path / "page.html"
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        run("connect", f"https://localhost:{port}/", *pki.alice, "--pcapng", capture)
        run("connect", f"https://localhost:{port}/", *pki.trust, "--pcapng", tmp_path / "other")
    result = run("decode", capture, "--summary", "--html", path)
    assert result.status == 0
    _, (story,) = pages(path)
    assert story["role"] == ""
    assert story["end"]["line"] in result.out
    assert [message["id"] for message in story["messages"]][:2] == ["ClientHello", "ServerHello"]
    assert run("decode", capture, "--summary", "--failed", "--html", path).status == 0
    assert pages(path)[1] == []


def test_the_demo_leaves_both_connections(run, tmp_path):
    out = tmp_path / "demo"
    result = run("demo", "--port", "0", "--out", out, "--lang", "zh")
    assert result.status == 0
    assert re.search(r"handshake\.html +both connections side by side", result.out)
    summary, stories = pages(out / "handshake.html")
    assert (summary["compared"], summary["language"]) == (True, "zh")
    assert [story["title"] for story in stories] == ["A client with a certificate", "A client without a certificate"]
    assert [story["end"]["failed"] for story in stories] == [False, False]
    # It replaces its own.
    assert run("demo", "--port", "0", "--out", out).status == 0
    assert pages(out / "handshake.html")[0]["language"] == "en"


@pytest.mark.parametrize("kind", ["other", "link", "directory", "nowhere"])
def test_nothing_else_is_written_over(run, tmp_path, pki, kind):
    path = tmp_path / "page.html"
    if kind == "other":
        path.write_text("<!doctype html><title>mine</title>")
    elif kind == "link":
        (tmp_path / "aim").write_text("")
        path.symlink_to(tmp_path / "aim")
    elif kind == "directory":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "page.html"
    before = sorted(tmp_path.rglob("*"))
    assert run("connect", "https://localhost:1/", *pki.trust, "--html", path).is_error(2, str(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_options_that_have_nothing_to_speak_of(run, pki, monkeypatch):
    assert run("connect", "https://localhost:1/", *pki.trust, "--lang", "zh").is_error(2, "--lang", "--html")
    assert run("connect", "https://localhost:1/", *pki.trust, "--secrets").is_error(2, "--secrets", "--html")
    assert run("decode", "--hex", "paste.txt", "--html", "page.html").is_error(2, "--html", "pasted")
    monkeypatch.setattr(page_file, "setuid", lambda: True)
    with pytest.raises(Exception, match="another user's rights"):
        lenses.open_page(Path("page.html"), None, None)


def test_a_page_that_cannot_be_written_at_the_end_is_said(run, pki, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    with https_server() as port:
        monkeypatch.setattr(Page, "render", lambda *_args, **_options: folder.rmdir() or "")
        result = run("connect", f"https://localhost:{port}/", *pki.trust, "--html", folder / "page.html")
    assert result.status == 0
    assert "the page is not written" in result.err

"""``handfast serve --www``: which files it gives, which it does not, and in what words."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from handfast.cli.http import Request
from handfast.cli.static import Files
from handfast.errors import ConfigError


@pytest.fixture
def www(tmp_path):
    root = tmp_path / "www"
    (root / "sub").mkdir(parents=True)
    (root / "index.html").write_text("<p>home")
    (root / "sub" / "index.html").write_text("<p>sub")
    (root / "a b.txt").write_text("0123456789")
    (root / "data.tar.gz").write_bytes(b"\x1f\x8b")
    (root / "script.js").write_text("1")
    (root / "noext").write_text("?")
    (root / "empty").mkdir()
    (root / ".htpasswd").write_text("secret")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "acme").write_text("token")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (root / "inside").symlink_to("a b.txt")
    (root / "out").symlink_to(tmp_path / "outside.txt")
    (root / "up").symlink_to("..")
    (root / "hidden").symlink_to(".htpasswd")
    (root / "loop").symlink_to("loop")
    (root / "passwd").symlink_to("/etc/passwd")
    os.mkfifo(root / "fifo")
    return root


def ask(www, path, method="GET", **headers):
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    reply = Files(www).answer(Request(method, path, fields))
    about = dict(reply.fields())
    with closing(reply.opened()) as body:
        return reply.status, body.read(1000), about


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/", b"<p>home", "text/html; charset=utf-8"),
        ("/?x=/../y", b"<p>home", "text/html; charset=utf-8"),
        ("/index.html", b"<p>home", "text/html; charset=utf-8"),
        ("//index.html", b"<p>home", "text/html; charset=utf-8"),
        ("/sub/", b"<p>sub", "text/html; charset=utf-8"),
        ("/a%20b.txt", b"0123456789", "text/plain; charset=utf-8"),
        ("/inside", b"0123456789", "text/plain; charset=utf-8"),
        ("/data.tar.gz", b"\x1f\x8b", "application/gzip"),
        ("/script.js", b"1", "text/javascript; charset=utf-8"),
        ("/noext", b"?", "application/octet-stream"),
        ("/.well-known/acme", b"token", "application/octet-stream"),
    ],
)
def test_files(www, path, content, kind):
    status, body, headers = ask(www, path)
    assert (status, body) == (200, content)
    assert headers["content-type"] == kind
    assert headers["content-length"] == str(len(content))
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/nothing/", "/empty/", "/empty", "/index.html/", "/../outside.txt", "/%2e%2e/outside.txt",
        "/sub/../../outside.txt", "/sub/..%2f..%2foutside.txt", "/..%5coutside.txt", "/out", "/up/outside.txt", "/up/",
        "/up/www/index.html/..", "/hidden", "/loop", "/passwd", "/fifo", "/.htpasswd", "/.git/config", "/%2egit/config",
        "/./index.html", "/index.html%00.txt", "/%00", "/%ff", "/" + "a" * 5000, "*", "index.html", "",
        "https://localhost/index.html", "/sub/%2findex.html",
    ],
)  # fmt: skip
def test_what_is_not_there(www, path):
    status, body, _ = ask(www, path)
    assert (status, body) == (404, b"there is no such file\n")


def test_a_link_that_leads_back_in(www):
    assert ask(www, "/up/www/index.html")[0] == 200


def test_a_folder_without_its_slash(www):
    status, _, headers = ask(www, "/sub")
    assert (status, headers["location"]) == (301, "/sub/")
    (www / "example.com").mkdir()
    (www / "example.com" / "index.html").write_text("x")
    assert ask(www, "//example.com")[2]["location"] == "/example.com/"
    assert ask(www, "/%0d%0aexample.com")[0] == 404


def test_a_file_that_is_swapped_for_a_link_after_it_was_looked_up(www, monkeypatch):
    """Somebody who may change the directory wins nothing: what is opened is what was checked."""
    looked_up = Files._within

    def swapped(self, path):
        real = looked_up(self, path)
        os.remove(www / "noext")
        (www / "noext").symlink_to("/etc/passwd")
        return real

    monkeypatch.setattr(Files, "_within", swapped)
    assert ask(www, "/noext")[0] == 404


def test_a_folder_that_is_swapped(www, monkeypatch, tmp_path):
    (tmp_path / "index.html").write_text("secret")
    looked_up = Files._within

    def swapped(self, path):
        real = looked_up(self, path)
        os.rename(www / "sub", www / "moved")
        (www / "sub").symlink_to(tmp_path)
        return real

    monkeypatch.setattr(Files, "_within", swapped)
    assert ask(www, "/sub/")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods(www, method):
    status, _, headers = ask(www, "/", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_a_file_that_is_known_is_not_sent_again(www):
    _, _, headers = ask(www, "/index.html")
    tag, changed = headers["etag"], headers["last-modified"]
    for known in (
        {"If_None_Match": tag},
        {"if_none_match": f'"other", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": changed},
        {"If_Modified_Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ):
        status, body, answered = ask(www, "/index.html", **known)
        assert (status, body, answered["etag"]) == (304, b"", tag)
        assert "content-length" not in answered
    for stale in (
        {"If_None_Match": '"other"'},
        {"If_None_Match": '"other"', "If_Modified_Since": changed},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_Modified_Since": "yesterday"},
        {"If_Modified_Since": ""},
    ):
        assert ask(www, "/index.html", **stale)[0] == 200


@pytest.mark.parametrize(
    ("wanted", "status", "part", "where"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, b"no such part\n", "bytes */10"),
        ("bytes=-0", 416, b"no such part\n", "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        ("bytes=" + "9" * 30 + "-", 200, b"0123456789", None),
    ],
)
def test_parts(www, wanted, status, part, where):
    answered, body, headers = ask(www, "/a%20b.txt", Range=wanted)
    assert (answered, body, headers.get("content-range")) == (status, part, where)


def test_a_part_of_what_the_client_has_the_rest_of(www):
    _, _, headers = ask(www, "/a%20b.txt")
    assert ask(www, "/a%20b.txt", Range="bytes=0-1", If_Range=headers["etag"])[0] == 206
    assert ask(www, "/a%20b.txt", Range="bytes=0-1", If_Range=headers["last-modified"])[0] == 206
    assert ask(www, "/a%20b.txt", Range="bytes=0-1", If_Range='"other"')[0] == 200
    assert ask(www, "/a%20b.txt", "HEAD", Range="bytes=0-1")[0] == 200


def test_an_empty_file(www):
    (www / "nothing.txt").write_text("")
    assert ask(www, "/nothing.txt")[:2] == (200, b"")
    assert ask(www, "/nothing.txt", Range="bytes=0-")[0] == 416


@pytest.mark.parametrize("name", ["nowhere", "www/noext"])
def test_what_is_no_directory(tmp_path, www, name):
    with pytest.raises(ConfigError, match="--www"):
        Files(tmp_path / name)


def test_keys_are_not_served(run, pki):
    refused = run("serve", *pki.server, "--www", pki.directory, "--listen", "127.0.0.1:0")
    assert refused.is_error(2, "--www", "server.key is in it")
    (pki.directory / "www").mkdir()
    log = ("--keylog", pki.directory / "www" / "keys.log")
    refused = run("serve", *pki.server, "--www", pki.directory / "www", *log, "--listen", "127.0.0.1:0")
    assert refused.is_error(2, "--www", "keys.log is in it")

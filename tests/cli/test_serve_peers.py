"""``handfast serve`` and clients of others: curl and Node, in HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.cli.serving import serving
from tests.peers.base import missing, require_peer
from tests.peers.node import program as node
from tests.waiting import LIMIT

pytest.importorskip("h2")


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, timeout=LIMIT, env=CLEAN_ENVIRONMENT)


def curl(pki, port, path, *arguments):
    if arguments[0] == "--http2" and b"HTTP2" not in run(require_peer("curl"), "--version").stdout:
        missing("curl was built without HTTP/2")
    mine = ("--cacert", pki.ca, "--cert", pki.client_cert, "--key", pki.client_key, "--noproxy", "*")
    found = run(require_peer("curl"), "-sS", *mine, *arguments, f"https://localhost:{port}{path}")
    assert found.stderr == b""
    return found.stdout


VERSIONS = [("--http1.1", "1.1", "http/1.1"), ("--http2", "2", "h2")]


@pytest.mark.parametrize(("option", "version", "alpn"), VERSIONS)
def test_curl(pki, option, version, alpn):
    with serving(*pki.server, "--client-ca", pki.ca) as server:
        whoami = json.loads(curl(pki, server.port, "/whoami", option))
        assert (whoami["subject"], whoami["alpn"]) == ("CN=alice,O=handfast", alpn)
        body = bytes(range(256)) * 3000
        (pki.directory / "body").write_bytes(body)
        printed = curl(pki, server.port, "/print", option, "--data-binary", f"@{pki.directory / 'body'}")
        assert printed == body
        told = curl(pki, server.port, "/", option, "-I", "-w", "%{http_version} %{http_code}")
        assert told.endswith(f"{version} 200".encode())
        (pki.directory / "body").write_bytes(bytes(2_000_000))
        large = ("--data-binary", f"@{pki.directory / 'body'}", "-w", "%{http_code}", "-o", pki.directory / "out")
        assert curl(pki, server.port, "/print", option, *large) == b"413"
        server.hears("GET /whoami 200 CN=alice,O=handfast")


@pytest.mark.parametrize(("option", "version", "alpn"), VERSIONS)
def test_curl_and_files(pki, tmp_path, option, version, alpn):
    www = tmp_path / "www"
    www.mkdir()
    content = bytes(range(256)) * 8000
    (www / "large.bin").write_bytes(content)
    with serving(*pki.server, "--client-ca", pki.ca, "--www", www) as server:
        assert curl(pki, server.port, "/large.bin", option) == content
        assert curl(pki, server.port, "/large.bin", option, "-r", "1000-1999") == content[1000:2000]
        etags = ("--etag-save", tmp_path / "etag", "-o", tmp_path / "out")
        curl(pki, server.port, "/large.bin", option, *etags)
        known = ("--etag-compare", tmp_path / "etag", "-w", "%{http_code} %{http_version}")
        assert curl(pki, server.port, "/large.bin", option, *known) == f"304 {version}".encode()
        status = ("-w", "%{http_code}", "-o", tmp_path / "out", "--path-as-is")
        assert curl(pki, server.port, "/../pki/server.key", option, *status) == b"404"


NODE = """
import http2 from "node:http2"; import fs from "node:fs";
const [port, ca, cert, key] = process.argv.slice(2);
const read = (name) => fs.readFileSync(name);
const session = http2.connect(`https://localhost:${port}`, {ca: read(ca), cert: read(cert), key: read(key)});
const ask = (head, body) => new Promise((done, failed) => {
  const stream = session.request(head); const parts = []; let status;
  stream.on("response", (headers) => { status = headers[":status"]; });
  stream.on("data", (part) => parts.push(part)); stream.on("error", failed);
  stream.on("end", () => done([status, Buffer.concat(parts)]));
  stream.end(body);
});
const body = Buffer.alloc(30000, "x");
const posts = Array.from({length: 50}, () => ask({":path": "/print", ":method": "POST"}, body));
const answers = await Promise.all([ask({":path": "/whoami"}), ...posts]);
const pinged = await new Promise((done) => session.ping((error) => done(error === null)));
session.close();
console.log(JSON.stringify({
  who: JSON.parse(answers[0][1]).subject, pinged,
  right: answers.slice(1).filter(([status, got]) => status === 200 && got.equals(body)).length,
}));
"""


def test_node(pki, tmp_path):
    (tmp_path / "client.mjs").write_text(NODE)
    with serving(*pki.server, "--client-ca", pki.ca) as server:
        files = (pki.ca, pki.client_cert, pki.client_key)
        found = run(node(), tmp_path / "client.mjs", server.port, *files)
    assert found.stderr == b""
    assert json.loads(found.stdout) == {"who": "CN=alice,O=handfast", "pinged": True, "right": 50}


def test_without_h2_there_is_http_1_only(pki, tmp_path):
    """h2 is an extra: where it is not installed, nothing but http/1.1 is offered."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys\nfind = importlib.util.find_spec\nsys.modules['h2'] = None\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'h2' else find(name, *more)\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{CLEAN_ENVIRONMENT.get('PYTHONPATH', '')}"}
    with serving(*pki.server, "--client-ca", pki.ca, env=environment) as server:
        assert json.loads(curl(pki, server.port, "/whoami", "--http2"))["alpn"] == "http/1.1"

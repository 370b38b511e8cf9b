"""Programs that fetch an https:// URL and say by their exit status whether they trusted the server, each as its users
have it: with nothing said of trust but what the environment says."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.peers import golang, node
from tests.peers.base import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAMS = Path(__file__).parent / "programs"
# The Python that has requests and httpx: `make consumers` makes it.
CONSUMERS = os.environ.get("HANDFAST_CONSUMERS", "")
VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "JAVA_TOOL_OPTIONS",
    "HANDFAST_CACERT",
)
HEEDED = {*VARIABLES, "NODE_OPTIONS", "HANDFAST_CONFIG", "SSLKEYLOGFILE", "https_proxy", "HTTPS_PROXY"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in HEEDED}


@cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where what is compiled is, until the tests are over."""
    return tempfile.TemporaryDirectory()


@cache
def go_program() -> str:
    program = Path(folder().name) / "fetch"
    golang.build(PROGRAMS / "fetch.go", program)
    return str(program)


@cache
def java_classes() -> str:
    compiler = [require_peer("javac"), "-d", folder().name, str(PROGRAMS / "Fetch.java")]
    subprocess.run(compiler, check=True, capture_output=True, timeout=LIMIT, env=ENVIRONMENT)
    return folder().name


def python(executable: str, program: str) -> list[str]:
    return [executable, "-c", f"import sys; url = sys.argv[1]; {program}"]


TOOLS: dict[str, Callable[[], list[str]]] = {
    "curl": lambda: [require_peer("curl"), "-sS"],
    "requests": lambda: python(CONSUMERS, "import requests; requests.get(url)"),
    "httpx": lambda: python(CONSUMERS, "import httpx; httpx.get(url)"),
    "Python": lambda: python(sys.executable, "import urllib.request; urllib.request.urlopen(url)"),
    "Go": lambda: [go_program()],
    "Node": lambda: [node.program(), str(PROGRAMS / "fetch.cjs")],
    "Java": lambda: [require_peer("java"), "-XX:TieredStopAtLevel=1", "-cp", java_classes(), "Fetch"],
    "handfast": lambda: [sys.executable, "-m", "handfast", "connect"],
}


def fetch(
    tool: str, url: str, variables: Mapping[str, str], around: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """What the tool does with these variables set, and no others that it may heed; ``around`` runs the command."""
    command = [*around, *TOOLS[tool](), url]
    environment = {**ENVIRONMENT, **variables}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=environment)

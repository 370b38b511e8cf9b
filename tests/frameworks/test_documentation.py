"""docs/asgi.md: its programs serve, and tell who the client is."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.frameworks.support import ROOT, get, write_files
from tests.ports import own_port
from tests.waiting import LIMIT, until

PAGE = (ROOT / "docs" / "asgi.md").read_text()
FILES = dict(re.findall(r"<!-- ([\w.]+) -->\n```python\n(.*?)```", PAGE, re.DOTALL))
by_context = pytest.mark.skipif(
    importlib.util.find_spec("handfast.io.sslcontext") is None, reason="handfast has no SSLContext"
)
PYTHON = [sys.executable, "-W", "error"]


@contextmanager
def serving(folder, command):
    """The page's files in a folder, and one of them run; gives its port once somebody listens there."""
    write_files(folder)
    with own_port() as port:
        for name, text in FILES.items():
            (folder / name).write_text(text.replace("8443", str(port)))
        process = subprocess.Popen(command, cwd=folder)
        try:
            assert until(lambda: process.poll() is not None or listens(port))
            yield port
        finally:
            process.terminate()
            process.wait(LIMIT)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), LIMIT).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([*PYTHON, "direct.py"], marks=pytest.mark.needs("uvicorn")),
        pytest.param([*PYTHON, "factory.py"], marks=[pytest.mark.needs("uvicorn"), by_context]),
        pytest.param([*PYTHON, "on_hypercorn.py"], marks=[pytest.mark.needs("hypercorn"), by_context]),
    ],
    ids=lambda command: command[3],
)
def test_asgi_programs(tmp_path, command):
    with serving(tmp_path, command) as port:
        assert get(port).body == b"hello, CN=alice,O=handfast, over TLS 0x0304\n"


@by_context
@pytest.mark.needs("gunicorn")
def test_the_wsgi_program(tmp_path):
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "wsgi:app"]
    with serving(tmp_path, command) as port:
        assert get(port).body == b"hello, CN=alice,O=handfast\n"


def test_every_program_is_one_of_these():
    assert set(FILES) == {"main.py", "direct.py", "factory.py", "on_hypercorn.py", "wsgi.py", "gunicorn.conf.py"}
    assert PAGE.count("```python\n") == len(FILES)

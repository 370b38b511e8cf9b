"""``manage.py runserver_tls``: Django's development server with our context."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from handfast.errors import PeerRejected
from tests import certificates
from tests.aio.support import identity
from tests.frameworks.support import ask, connection, get, write_files
from tests.ports import own_port
from tests.waiting import LIMIT, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("django")

MANAGE = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

def home(request):
    told = request.META
    names = ("SSL_CLIENT_VERIFY", "SSL_CLIENT_S_DN", "SSL_PROTOCOL")
    return HttpResponse(" ".join([request.scheme, *(told.get(name, "-") for name in names)]))

urlpatterns = [path("", home)]
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost"], SECRET_KEY="none", INSTALLED_APPS=[{apps}],
    # It says how long an answer is, so that a connection can be kept.
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
OURS = '"handfast.contrib.django"'


@contextmanager
def runserver(folder: Path, *options: str, apps: str = OURS) -> Iterator[int]:
    """The command in a process of its own; its port."""
    write_files(folder)
    (folder / "manage.py").write_text(MANAGE.replace("{apps}", apps))
    with own_port() as port:
        process = subprocess.Popen(command(port, *options), cwd=folder)
        try:
            assert until(lambda: process.poll() is not None or listens(port))
            yield port
        finally:
            process.terminate()
            process.wait(LIMIT)


def command(port: int, *options: str) -> list[str]:
    files = ["--cert", "server.pem", "--key", "server.key", "--client-ca", "ca.pem"]
    return [sys.executable, "manage.py", "runserver_tls", "--noreload", f"127.0.0.1:{port}", *files, *options]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), LIMIT).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("apps", [OURS, f'"django.contrib.staticfiles", {OURS}'], ids=["alone", "with static files"])
def test_the_views_know_the_client(tmp_path: Path, apps: str) -> None:
    with runserver(tmp_path, apps=apps) as port:
        assert get(port).body == b"https SUCCESS CN=alice,O=handfast TLSv1.3"
        with connection(port) as tls:
            assert ask(tls).body == ask(tls).body
            # The end is one in order.
            ask(tls, headers="Connection: close\r\n")
            assert tls.recv() == b""


def test_a_client_without_a_certificate(tmp_path: Path) -> None:
    with runserver(tmp_path) as port:
        with pytest.raises(PeerRejected, match="certificate"):
            get(port, anonymous=True)
        # And the next one is served.
        assert get(port).status == 200


def test_the_modes(tmp_path: Path) -> None:
    mallory: dict[str, Any] = {"credentials": [identity(certificates.other_ca().client("alice"))]}
    with runserver(tmp_path, "--client-auth", "request") as port:
        assert get(port, anonymous=True).body == b"https NONE - TLSv1.3"
        assert get(port, **mallory).body == b"https FAILED:unknown_issuer - TLSv1.3"


def test_one_that_says_nothing_holds_up_nobody(tmp_path: Path) -> None:
    with runserver(tmp_path) as port, socket.create_connection(("127.0.0.1", port), LIMIT):
        assert get(port).status == 200


def test_wrong_files_are_told(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "manage.py").write_text(MANAGE.replace("{apps}", OURS))
    (tmp_path / "server.key").write_text("no key")
    done = subprocess.run(command(1, "--traceback")[:-1], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 1
    assert done.stderr.startswith("CommandError: ")
    assert "server.key" in done.stderr

"""What Chromium shows when TLS fails."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from handfast.pki.fault_scene import general_names
from tests.doctor.matrix import Cast
from tests.doctor.servers import nginx, ourselves, s_server
from tests.doctor.written import Written, answering_in_http, by_command
from tests.peers.base import missing, require_peer
from tests.race.servers import threaded
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


def _visit(cast: Cast, port: int) -> str:
    """What the browser makes of https://localhost, as a page; its store trusts the CA."""
    program = shutil.which("chromium")
    if program is None:
        missing("chromium is not installed")
    store = cast.directory / ".pki" / "nssdb"
    if not store.is_dir():
        store.mkdir(parents=True)
        certutil = require_peer("certutil")
        by_command(certutil, "-N", "-d", f"sql:{store}", "--empty-password")
        by_command(certutil, "-A", "-d", f"sql:{store}", "-n", "ca", "-t", "CT,C,C", "-i", cast.ca)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={cast.directory}/profile"]
    environment = {**os.environ, "HOME": str(cast.directory)}
    return by_command(program, *options, "--dump-dom", f"https://localhost:{port}/", **environment)


def _refused(cast: Cast, port: int) -> Iterator[Written]:
    """All that it says of its missing certificate, until it has named it.

    Its handshake is over before it is refused. It names the refusal when it reads that in place of an answer, and no
    more than a lost connection when it learns of it before it has sent its request: which one is first is luck.
    """
    told: list[str] = []

    def named() -> bool:
        told.append(_visit(cast, port))
        return "ERR_BAD_SSL_CLIENT_AUTH_CERT" in told[-1]

    until(named)
    for one in told:
        yield Written("Chromium refused: none", "no_certificate", one)


def of_chromium(cast: Cast) -> Iterator[Written]:
    """Its pages about servers, and about its own missing certificate."""
    scene = cast.scene
    for case, truth, issued in (
        ("wrong-ca", "server_wrong_ca", scene.server(scene.other_ca())),
        ("wrong-san", "server_wrong_name", scene.server(names=general_names(scene.names.other_host))),
        ("expired", "server_expired", scene.server(**scene.expired())),
        ("name-constraints", "server_name_constraint", scene.server(scene.constrained_ca())),
    ):
        setting = replace(cast.setting("1.3", cast.identity("faulty", issued)), client_ca=None)
        with s_server(setting) as running:
            yield Written(f"Chromium of a server: {case}", truth, _visit(cast, running.port))
    # It waits until the browser has read why: others reset the connection.
    with ourselves(cast.setting("1.3")) as running:
        yield from _refused(cast, running.port)
    with nginx(cast.setting("1.3"), "ssl_reject_handshake on") as running:
        yield Written("Chromium: unknown name", "sni_refused", _visit(cast, running.port))
    with threaded(answering_in_http) as port:
        yield Written("Chromium: plain HTTP", "plain_http", _visit(cast, port))

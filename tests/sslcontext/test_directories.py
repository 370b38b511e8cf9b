"""Directories of CAs and of revocation lists: what is there counts at each judgement, and is read when it changed."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handfast import limits
from handfast.io.sslcontext import directories
from tests import certificates
from tests.sslcontext.pairs import OURS, Files, Pair, client_context, hashed

NAME = hashed(certificates.ca().certificate_pem)
EARLIER = datetime.now(UTC) - timedelta(hours=2)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the CA and a list of its that revokes nothing."""
    made = tmp_path / "directory"
    made.mkdir()
    (made / f"{NAME}.0").write_bytes(certificates.ca().certificate_pem)
    (made / f"{NAME}.r0").write_bytes(certificates.ca().crl(last_update=EARLIER))
    return made


def revoking() -> bytes:
    return certificates.ca().crl([certificates.client().certificate])


@pytest.fixture
def server(files: Files, directory: Path) -> Any:
    context = OURS(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server, files.server_key)
    context.load_verify_locations(capath=directory)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


@pytest.fixture
def connect(server: Any, files: Files) -> Callable[..., Any]:
    """Connect with the client's certificate; the server's code of what is wrong with it, None where nothing is."""
    client = client_context(OURS, files, certificate=True)

    def act(session: Any = None, pair: Pair | None = None) -> Any:
        pair = Pair(server, client) if pair is None else pair
        if session is not None:
            pair.client.session = session
        try:
            pair.shake_hands()
            pair.server.write(b"x")
            pair.client.read()
        except ssl.SSLCertVerificationError as error:
            return error.verify_code
        return pair.client

    return act


def test_a_client_that_is_revoked_while_its_handshake_goes_on(directory, server, files, connect) -> None:
    pair = Pair(server, client_context(OURS, files, certificate=True))
    with suppress(ssl.SSLWantReadError):
        pair.client.do_handshake()
    with suppress(ssl.SSLWantReadError):
        pair.server.do_handshake()
    (directory / f"{NAME}.r1").write_bytes(revoking())
    assert connect(pair=pair) == 23


def test_a_revoked_client_resumes_no_session(directory, connect) -> None:
    session = connect().session
    assert connect(session=session).session_reused
    (directory / f"{NAME}.r1").write_bytes(revoking())
    assert connect(session=session) == 23


def test_a_list_in_the_place_of_another_one(directory, connect) -> None:
    assert connect().version()
    (directory / "new").write_bytes(revoking())
    (directory / "new").rename(directory / f"{NAME}.r0")
    assert connect() == 23


def test_what_is_taken_out_does_not_count(directory, connect) -> None:
    assert connect().version()
    (directory / f"{NAME}.r0").unlink()
    assert connect() == 3
    (directory / f"{NAME}.0").unlink()
    assert connect() == 20


def test_a_directory_that_cannot_be_read_any_more_counts_as_it_was(directory, connect, tmp_path) -> None:
    assert connect().version()
    directory.rename(tmp_path / "away")
    assert connect().version()
    (tmp_path / "away" / f"{NAME}.r1").write_bytes(revoking())
    (tmp_path / "away").rename(directory)
    assert connect() == 23


def test_a_list_that_is_not_implemented_refuses(directory, connect) -> None:
    assert connect().version()
    text = ssl.DER_cert_to_PEM_cert(bytes.fromhex("3003020100")).replace("CERTIFICATE", "X509 CRL")
    (directory / f"{NAME}.r1").write_text(text)
    assert connect() == 50


def test_a_file_half_written_counts_once_it_is_whole(directory, connect) -> None:
    whole = revoking()
    (directory / f"{NAME}.r1").write_bytes(whole[:-40])
    assert connect().version()
    (directory / f"{NAME}.r1").write_bytes(whole)
    assert connect() == 23


def test_files_are_read_again_when_they_changed_and_while_another_change_could_go_unseen(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    open_file = directories._found_in

    def note(path: str) -> Any:
        read.append(os.path.basename(path))
        return open_file(path)

    monkeypatch.setattr(directories, "_found_in", note)
    now = [os.stat(directory / f"{NAME}.r0").st_ctime]
    monkeypatch.setattr(time, "time", lambda: now[0])
    looked_at = directories.Directories([str(directory)])
    found = looked_at.found()
    assert [one.certificate for one in found] == [True, False]
    assert looked_at.found() is found
    assert read == [f"{NAME}.0", f"{NAME}.r0"] * 2
    now[0] += limits.FILE_TIMES + 1
    assert looked_at.found() is found
    read.clear()
    assert looked_at.found() is found
    assert read == []
    (directory / f"{NAME}.r0").write_bytes(revoking())
    assert looked_at.found() is not found
    assert read == [f"{NAME}.r0"]

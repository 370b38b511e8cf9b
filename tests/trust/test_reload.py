"""Reloading: what takes effect, what is refused with a warning, and what a handshake in the middle sees of it."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

import handfast
from handfast import limits
from handfast.errors import CertificateRejected, ConfigError, HandfastError
from handfast.pki.authority import CertificateAuthority, Issued
from handfast.sessions.cache import SessionCache
from handfast.sessions.tickets import SealedTickets
from tests import certificates
from tests.test_sockets import Doing
from tests.waiting import LIMIT

OLD = certificates.server()
NEW = certificates.ca().server("localhost")
BELOW = certificates.server_below_intermediate()


class Files:
    """A server's pair of files."""

    def __init__(self, folder: Path, issued: Issued = OLD) -> None:
        self.cert, self.key = folder / "server.pem", folder / "server.key"
        self.write(issued)

    def write(self, issued: Issued) -> None:
        self.cert.write_bytes(issued.cert_pem)
        self.key.write_bytes(issued.key_pem)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("handfast"), "propagate", True)
    return caplog


def verifier(ca: CertificateAuthority | None = None) -> handfast.PathVerifier:
    return handfast.PathVerifier(handfast.Roots.from_der([(ca or certificates.ca()).certificate_der]))


def exchange(client: handfast.ClientConnection, server: handfast.ServerConnection) -> None:
    """Everything that the two have to say to each other now."""
    while data := client.outgoing():
        server.receive(data)
        client.receive(server.outgoing())
    client.receive(server.outgoing())


def handshake(client: handfast.ClientConfig, server: handfast.ServerConfig) -> tuple[Any, Any]:
    ends = handfast.ClientConnection(client, server_name="localhost"), handfast.ServerConnection(server)
    exchange(*ends)
    return ends


# Credentials


def test_new_handshakes_show_the_new_certificate_and_live_connections_go_on(files):
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    server_config = handfast.ServerConfig(credentials=[handle])
    client_config = handfast.ClientConfig(verifier=verifier())
    live_client, live_server = handshake(client_config, server_config)
    files.write(NEW)
    assert handle.reload()
    client, _ = handshake(client_config, server_config)
    assert (live_client.info.peer_chain, client.info.peer_chain) == (OLD.chain, NEW.chain)
    live_client.send(b"still here")
    [data] = live_server.receive(live_client.outgoing())
    assert isinstance(data, handfast.Data)
    assert bytes(data.data) == b"still here"
    assert handle.generation == 2


def test_a_client_shows_the_new_certificate(tmp_path):
    files = Files(tmp_path, certificates.client())
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    server_config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_pem(OLD.cert_pem, OLD.key_pem)],
        verifier=verifier(),
        client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY,
    )
    client_config = handfast.ClientConfig(verifier=verifier(), credentials=[handle])
    renewed = certificates.ca().client("alice")
    for issued in (certificates.client(), renewed):
        files.write(issued)
        handle.reload()
        assert handshake(client_config, server_config)[1].info.peer_chain == issued.chain


def test_a_handshake_in_the_middle_stays_with_what_it_chose(files):
    """The reload comes between choosing the certificate and signing for it."""
    signers = {}

    class Later:
        def __init__(self, of: handfast.Credentials) -> None:
            self.schemes = of.signer.schemes
            signers[self] = of.signer

        def sign(self, scheme: int, message: bytes) -> Any:
            return handfast.DEFERRED

    def load() -> handfast.Credentials:
        loaded = handfast.Credentials.from_files(files.cert, files.key)
        return handfast.Credentials(loaded.chain, Later(loaded))

    handle: handfast.Reloading[handfast.Credentials] = handfast.Reloading(load, files.cert, files.key)
    client = handfast.ClientConnection(handfast.ClientConfig(verifier=verifier()), server_name="localhost")
    server = handfast.ServerConnection(handfast.ServerConfig(credentials=[handle]))
    server.receive(client.outgoing())
    files.write(NEW)
    assert handle.reload()
    need: Any = server.need
    server.answer(need, signers[need.credentials.signer].sign(need.scheme, need.content))
    client.receive(server.outgoing())
    assert client.connected
    assert client.info.peer_chain == OLD.chain


@pytest.mark.parametrize("resumed", [False, True])
def test_a_session_of_who_we_were_is_not_resumed_by_who_we_are(resumed, tmp_path):
    """The client's certificate changes after it was chosen, or a session offered, and before the ticket comes."""
    files = Files(tmp_path, certificates.client())
    bob = certificates.ca().client("bob")
    changes: list[Issued] = []

    def change() -> None:
        if changes:
            files.write(changes.pop())
            handle.reload()

    class Signer:
        def __init__(self, of: handfast.Credentials) -> None:
            self.schemes, self._sign = of.signer.schemes, of.signer.sign

        def sign(self, scheme: int, message: bytes) -> Any:
            change()
            return self._sign(scheme, message)

    class Server:
        policy_id = b"always the same"

        def verify(self, presented: Any) -> handfast.Verdict:
            change()
            return verifier().verify(presented)

    def load() -> handfast.Credentials:
        loaded = handfast.Credentials.from_files(files.cert, files.key)
        return handfast.Credentials(loaded.chain, Signer(loaded))

    handle: handfast.Reloading[handfast.Credentials] = handfast.Reloading(load, files.cert, files.key)
    server_config = handfast.ServerConfig(
        credentials=[handfast.Credentials.from_pem(OLD.cert_pem, OLD.key_pem)],
        verifier=Server(),
        client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY,
        tickets=SealedTickets(),
    )
    client_config = handfast.ClientConfig(verifier=verifier(), credentials=[handle], sessions=SessionCache())
    if resumed:
        handshake(client_config, server_config)
    changes.append(bob)
    client, server = handshake(client_config, server_config)
    assert (client.info.resumed, server.info.peer_chain) == (resumed, certificates.client().chain)
    client, server = handshake(client_config, server_config)
    assert (client.info.resumed, server.info.peer_chain) == (False, bob.chain)


def cut(text: bytes, share: float) -> bytes:
    return text[: int(len(text) * share)]


HALF_DONE = {
    "certificate first": (NEW.cert_pem, OLD.key_pem, "server.key"),
    "key first": (OLD.cert_pem, NEW.key_pem, "server.key"),
    "certificate emptied": (b"", OLD.key_pem, "server.pem"),
    "key emptied": (OLD.cert_pem, b"", "server.key"),
    "certificate cut off": (cut(OLD.cert_pem, 0.7), OLD.key_pem, "server.pem"),
    "key cut off": (OLD.cert_pem, cut(OLD.key_pem, 0.7), "server.key"),
    "key cut off in its last line": (OLD.cert_pem, OLD.key_pem.rstrip()[:-3], "server.key"),
    # The leaf is whole and fits; only the intermediate is missing, and nothing else would notice.
    "chain cut off": (cut(BELOW.cert_pem, 0.8), BELOW.key_pem, "server.pem"),
    "no certificate": (b"hello", OLD.key_pem, "server.pem"),
}


@pytest.mark.parametrize("name", HALF_DONE)
def test_what_is_half_done_keeps_the_old_pair_and_warns_in_one_line(name, files, log):
    cert, key, blamed = HALF_DONE[name]
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    before = handle.current
    files.cert.write_bytes(cert)
    files.key.write_bytes(key)
    assert not handle.check()
    assert handle.current is before
    assert handle.generation == 1
    [record] = log.records
    assert record.levelno == logging.WARNING
    assert blamed in record.getMessage()
    assert "\n" not in record.getMessage()
    # The same state is not told twice, unless somebody asks for it to be loaded.
    handle.check()
    assert len(log.records) == 1
    handle.reload()
    assert len(log.records) == 2
    files.write(NEW)
    assert handle.check()
    assert handle.current.chain == NEW.chain


def test_a_file_that_is_gone_keeps_what_there_was(files, log):
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    files.cert.unlink()
    assert not handle.check()
    assert re.search(r"server\.pem: no such file", log.text)
    files.write(OLD)
    assert not handle.check()
    assert handle.generation == 1


def test_the_same_bytes_are_no_new_generation(files):
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    before = handle.current
    files.write(OLD)
    assert not handle.reload()
    assert handle.current is before


def test_a_key_under_another_password_is_read_when_its_password_has_come_too(files, log):
    password = files.key.with_name("password")
    files.key.write_bytes(OLD.encrypted_key_pem(b"old"))
    password.write_text("old\n")
    handle = handfast.ReloadingCredentials.from_files(files.cert, files.key, password)
    files.cert.write_bytes(NEW.cert_pem)
    files.key.write_bytes(NEW.encrypted_key_pem(b"new"))
    assert not handle.check()
    assert "does not open the key" in log.text
    password.write_text("new\n")
    assert handle.check()
    assert handle.current.chain == NEW.chain


def test_a_pair_that_is_bad_from_the_start_is_an_error(files):
    files.key.write_bytes(NEW.key_pem)
    with pytest.raises(ConfigError) as caught:
        handfast.ReloadingCredentials.from_files(files.cert, files.key)
    assert caught.value.code == "key_mismatch"


def test_files_that_change_while_they_are_read_are_read_again(tmp_path):
    path = tmp_path / "file"
    path.write_text("0")
    reads = []

    def load() -> str:
        text: str = path.read_text()
        reads.append(text)
        if len(reads) < 3:
            path.write_text(str(len(reads)))
        return text

    assert handfast.Reloading(load, path).current == "2"
    assert reads == ["0", "1", "2"]


def test_who_asks_in_the_middle_of_loading_waits_for_nobody_and_is_heard(tmp_path):
    """A signal's handler runs in the thread that it interrupts."""
    path = tmp_path / "word"
    path.write_text("first")
    asked: list[bool] = []

    def load() -> str:
        word: str = path.read_text()
        if word == "second" and not asked:
            asked.append(handle.reload())
        return word

    handle = handfast.Reloading(load, path)
    path.write_text("second")
    changed: list[bool] = []
    loading = Doing(lambda: changed.append(handle.reload()))
    assert loading.ends_within(LIMIT)
    assert (asked, changed, handle.current, handle.generation) == ([False], [True], "second", 2)


def test_files_that_become_whole_while_half_of_them_fails_to_load_are_seen(tmp_path, log):
    path = tmp_path / "file"
    path.write_text("1")

    def load() -> int:
        text = path.read_text()
        if text == "half":
            path.write_text("2")
        return int(text)

    handle = handfast.Reloading(load, path)
    path.write_text("half")
    assert not handle.check()
    assert handle.check()
    assert handle.current == 2


def test_files_that_never_settle_are_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")

    def load() -> str:
        path.write_text(path.read_text() + "x")
        return "never"

    with pytest.raises(ConfigError) as caught:
        handfast.Reloading(load, path)
    assert caught.value.code == "unsettled"


def test_a_loader_that_fails_in_its_own_way_keeps_the_old_and_names_the_file(tmp_path, log):
    path = tmp_path / "settings"
    path.write_text("1")
    handle = handfast.Reloading(lambda: int(path.read_text()), path)
    path.write_text("one")
    assert not handle.reload()
    assert handle.current == 1
    assert str(path) in log.text


# Trust


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(certificates.ca().certificate_pem)
    return path


def mutual(handle: Any, **options: Any) -> tuple[handfast.ClientConfig, handfast.ServerConfig]:
    own = certificates.client()
    return (
        handfast.ClientConfig(
            verifier=verifier(),
            credentials=[handfast.Credentials.from_pem(own.cert_pem, own.key_pem)],
            sessions=SessionCache(),
            post_handshake_auth=True,
        ),
        handfast.ServerConfig(
            credentials=[handfast.Credentials.from_pem(OLD.cert_pem, OLD.key_pem)],
            verifier=handle,
            tickets=SealedTickets(),
            **{"client_auth": handfast.ClientAuth.REQUIRE_AND_VERIFY, **options},
        ),
    )


def test_roots_that_are_taken_away_hold_for_handshakes_and_sessions_and_leave_connections_alone(trust):
    handle = handfast.ReloadingVerifier.from_files(trust)
    configs = mutual(handle)
    live_client, live_server = handshake(*configs)
    assert handshake(*configs)[1].info.resumed
    trust.write_bytes(certificates.other_ca().certificate_pem)
    assert handle.reload()
    with pytest.raises(CertificateRejected) as caught:
        handshake(*configs)
    assert caught.value.code == "unknown_issuer"
    live_client.send(b"x")
    assert live_server.receive(live_client.outgoing())


def test_more_trust_makes_the_next_handshake_a_full_one(trust):
    """The client is trusted before and after, but under another generation."""
    handle = handfast.ReloadingVerifier.from_files(trust)
    configs = mutual(handle)
    handshake(*configs)
    before = handle.policy_id
    trust.write_bytes(certificates.ca().certificate_pem + certificates.other_ca().certificate_pem)
    handle.reload()
    assert handle.policy_id != before
    resumed = [handshake(*configs)[1].info.resumed for _ in range(2)]
    assert resumed == [False, True]


def test_a_revocation_holds_for_the_next_resumption(tmp_path, trust):
    ca, lists = certificates.ca(), tmp_path / "crls"
    lists.mkdir()
    (lists / "ca.crl").write_bytes(ca.crl())
    handle = handfast.ReloadingVerifier.from_files(trust, crls=lists)
    configs = mutual(handle)
    handshake(*configs)
    assert handshake(*configs)[1].info.resumed
    (lists / "ca.crl").write_bytes(ca.crl([certificates.client()]))
    assert handle.check()
    with pytest.raises(CertificateRejected) as caught:
        handshake(*configs)
    assert caught.value.code == "revoked"


def test_the_verdict_after_the_handshake_is_by_what_is_trusted_then(trust):
    handle = handfast.ReloadingVerifier.from_files(trust)
    client, server = handshake(*mutual(handle, client_auth=handfast.ClientAuth.NONE))
    trust.write_bytes(certificates.other_ca().certificate_pem)
    handle.reload()
    server.request_client_certificate(client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY)
    client.receive(server.outgoing())
    with pytest.raises(HandfastError) as caught:
        server.receive(client.outgoing())
    assert caught.value.code == "unknown_issuer"


@pytest.mark.parametrize("text", [b"", b"junk", cut(certificates.other_ca().certificate_pem, 0.9)])
def test_roots_that_cannot_be_read_keep_the_old_ones(trust, text, log):
    handle = handfast.ReloadingVerifier.from_files(trust)
    trust.write_bytes(certificates.ca().certificate_pem + text if text.startswith(b"-") else text)
    before = handle.policy_id
    assert not handle.reload()
    assert "ca.pem" in log.text
    assert handle.policy_id == before


def test_a_directory_of_roots_is_watched_for_what_comes_into_it(tmp_path, trust):
    handle = handfast.ReloadingVerifier.from_files(tmp_path)
    (tmp_path / "other.pem").write_bytes(certificates.other_ca().certificate_pem)
    assert handle.check()
    assert not handle.check()


def test_the_names_of_the_roots_follow_them(trust):
    handle = handfast.ReloadingVerifier.from_files(trust)
    configs = mutual(handle, ca_names=handle.ca_names)
    first = handshake(*configs)[0].info.ca_names
    trust.write_bytes(certificates.ca().certificate_pem + certificates.other_ca().certificate_pem)
    handle.reload()
    assert handshake(*configs)[0].info.ca_names == (*first, *verifier(certificates.other_ca()).roots.names())
    assert (len(handle.ca_names), handle.ca_names[0], handle.ca_names[:1]) == (2, first[0], first)


def test_verifiers_of_other_kinds_have_names_too(trust):
    ours, other = verifier().roots, verifier(certificates.other_ca()).roots
    workloads = handfast.SpiffeVerifier({"a.example": ours, "b.example": other, "c.example": ours})
    pinned = handfast.Pinned([handfast.key_pin(NEW.chain[0])])
    both = handfast.AllOf(pinned, verifier(), workloads)
    assert tuple(handfast.ReloadingVerifier(lambda: workloads, trust).ca_names) == ours.names() + other.names()
    assert tuple(handfast.ReloadingVerifier(lambda: both, trust).ca_names) == ours.names()
    assert tuple(handfast.ReloadingVerifier(lambda: pinned, trust).ca_names) == ()


def test_too_many_names_are_none(trust, monkeypatch):
    handle = handfast.ReloadingVerifier.from_files(trust)
    monkeypatch.setattr(limits, "MAX_AUTOMATIC_CA_NAMES", 1)
    assert list(handle.ca_names) == []


def test_a_verifier_of_ones_own_changes_its_id_with_the_files(tmp_path):
    path = tmp_path / "allowed"
    path.write_text("alice")

    class Own:
        def verify(self, presented: Any) -> handfast.Verdict:
            return handfast.accept()

    one, other = (handfast.ReloadingVerifier(Own, path) for _ in range(2))
    before = one.policy_id
    assert before == one.policy_id != other.policy_id
    path.write_text("bob")
    assert one.check()
    assert one.policy_id != before


def test_the_same_files_are_trusted_alike_by_every_process(trust):
    one, other = (handfast.ReloadingVerifier.from_files(trust) for _ in range(2))
    assert one.policy_id == other.policy_id != verifier().policy_id


def test_what_needs_an_ocsp_response_asks_for_one(trust):
    for ocsp, asks in (("check", False), ("require", True)):
        handle = handfast.ReloadingVerifier.from_files(trust, ocsp=ocsp)
        assert handfast.ClientConfig(verifier=handle).asks_for_ocsp_response == asks


class Raising(logging.Handler):
    """Of a program: it raises for every line."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


def test_a_handler_of_the_log_that_raises_keeps_nothing_from_being_reloaded(files: Files) -> None:
    credentials = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    logger, handler = logging.getLogger("handfast"), Raising()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        files.cert.write_text("half a line")
        assert not credentials.reload()
        files.write(NEW)
        assert credentials.reload()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_never_ends_is_not_read_and_changes_nothing(
    files: Files, log: pytest.LogCaptureFixture, kind: str
) -> None:
    credentials = handfast.ReloadingCredentials.from_files(files.cert, files.key)
    files.cert.unlink()
    if kind == "pipe":
        os.mkfifo(files.cert)
    else:
        files.cert.symlink_to("/dev/zero")
    assert not credentials.reload()
    assert f"{files.cert}: is " in log.messages[-1]
    assert "not a regular file" in log.messages[-1]
    files.cert.unlink()
    files.write(NEW)
    assert credentials.reload()
    assert credentials.current.chain == NEW.chain

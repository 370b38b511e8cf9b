"""Every fault case of certificates with OpenSSL on the faulty side: s_server shows its to our client, s_client to our
server, and it tells which alert it got."""

from __future__ import annotations

import re
import select
from typing import TYPE_CHECKING, Any

import pytest

from handfast.errors import CertificateRejected, HandfastError
from handfast.io.sockets import TLSSocket, connect, listen
from handfast.pki.faults import FAULTS, Fault, FaultNames, FaultSet, Role, build_fault
from tests.peers import REQUEST, RESPONSE, ClientAuth, OpenSSLClient, OpenSSLServer, Options, Outcome
from tests.waiting import LIMIT

from .meeting import Settings, new_seed, random_names

if TYPE_CHECKING:
    from handfast.pki.authority import Issued
    from tests.conftest import Files

LOCALHOST = "127.0.0.1"
HEALTHY = [fault for fault in FAULTS.values() if fault.error is None]
SERVERS = [fault for fault in FAULTS.values() if fault.role is Role.SERVER and fault.error is CertificateRejected]
CLIENTS = [fault for fault in FAULTS.values() if fault.role is Role.CLIENT and fault.error is CertificateRejected]


def options(made: FaultSet, files: Files, issued: Issued | None, **more: Any) -> Options:
    identity: dict[str, Any] = {} if issued is None else files.identity(issued)
    # At its usual security level OpenSSL would not load a key of 1024 bits.
    weakest = ("-cipher", "DEFAULT@SECLEVEL=0")
    return Options(**identity, trust=files.write(made.files["ca.pem"]), extra=weakest, **more)


def told(outcome: Outcome, fault: Fault) -> bool:
    """Whether OpenSSL got the alert that belongs to the case."""
    assert fault.alert is not None
    return not outcome.ok and re.search(rf"alert number {int(fault.alert)}$", outcome.text, re.MULTILINE) is not None


def read_to_end(tls: TLSSocket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end) and (data := tls.recv(4096)):
        received += data
    return received


def ask(server: OpenSSLServer, made: FaultSet) -> bytes:
    """What our client hears from a server."""
    config = Settings(made).client
    with connect(LOCALHOST, server.port, config, server_name=made.host, timeout=LIMIT) as tls:
        tls.sendall(REQUEST)
        return read_to_end(tls, RESPONSE)


def serve(made: FaultSet, client_options: Options) -> tuple[bytes | HandfastError, Outcome]:
    """What our server hears from a client, or raises, and what the client says afterwards."""
    with (
        listen(LOCALHOST, 0, Settings(made).server, timeout=LIMIT) as listener,
        OpenSSLClient(listener.address[1], client_options) as client,
    ):
        assert select.select([listener], [], [], LIMIT)[0], "the client does not come"
        try:
            with listener.accept() as tls:
                heard: bytes | HandfastError = read_to_end(tls, b"\r\n\r\n")
                tls.sendall(RESPONSE)
        except HandfastError as error:
            heard = error
        return heard, client.outcome()


@pytest.fixture
def names() -> FaultNames:
    return random_names(new_seed())


@pytest.mark.parametrize("fault", SERVERS, ids=lambda fault: fault.name)
def test_a_server_certificate(fault: Fault, names: FaultNames, files: Files) -> None:
    made = build_fault(fault.name, names)
    with OpenSSLServer(options(made, files, made.server, client_auth=ClientAuth.REQUIRE)) as server:
        with pytest.raises(CertificateRejected) as caught:
            ask(server, made)
        outcome = server.outcome()
    assert caught.value.code == fault.code
    assert told(outcome, fault), outcome.text


@pytest.mark.parametrize("fault", CLIENTS, ids=lambda fault: fault.name)
def test_a_client_certificate(fault: Fault, names: FaultNames, files: Files) -> None:
    made = build_fault(fault.name, names)
    error, outcome = serve(made, options(made, files, made.client, server_name=made.host))
    assert isinstance(error, CertificateRejected), error
    assert error.code == fault.code
    assert told(outcome, fault), outcome.text


@pytest.mark.parametrize("fault", HEALTHY, ids=lambda fault: fault.name)
def test_what_is_healthy(fault: Fault, names: FaultNames, files: Files) -> None:
    made = build_fault(fault.name, names)
    with OpenSSLServer(options(made, files, made.server, client_auth=ClientAuth.REQUIRE)) as server:
        assert ask(server, made) == RESPONSE
        outcome = server.outcome()
    assert outcome.ok, outcome.text
    assert outcome.received == REQUEST
    heard, outcome = serve(made, options(made, files, made.client, server_name=made.host))
    assert heard == REQUEST
    assert outcome.ok, outcome.text
    assert outcome.received == RESPONSE

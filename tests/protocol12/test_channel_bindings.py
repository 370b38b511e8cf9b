"""Channel bindings of TLS 1.2: what OpenSSL has, and only with the extended main secret. RFC 5929, 7627 and 9266."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import suppress

import pytest
from OpenSSL import SSL

from handfast.engine import ClientAuth
from handfast.errors import ApiMisuse
from handfast.roles import Role
from handfast.wire.messages import Finished
from tests import certificates
from tests.lies import Lie, kept
from tests.protocol.ours import both_roles, client, server
from tests.protocol.theirs import client_end, server_end, shake_hands
from tests.protocol12.ours12 import BOTH, TLS12, meet12

OLD = {"require_extended_main_secret": False}
EXPORTER = "EXPORTER-Channel-Binding"
# SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL, which Python gives no name.
NO_EXTENDED_MAIN_SECRET = 1


def pyopenssl(role, *, options=0):
    """OpenSSL as the other end of our connection, which plays this role."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD if role is Role.CLIENT else SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(TLS12)
    context.set_options(options)
    return server_end(context) if role is Role.CLIENT else client_end(context)


def ours_as(role, **settings):
    return client(**BOTH, **settings) if role is Role.CLIENT else server(**BOTH, **settings)


@both_roles
def test_they_are_what_openssl_has(role):
    ours, theirs = ours_as(role), pyopenssl(role)
    shake_hands(ours, theirs)
    first = theirs.get_peer_finished() if role is Role.CLIENT else theirs.get_finished()
    assert ours.channel_binding("tls-unique") == first
    assert len(ours.channel_binding("tls-unique")) == 12
    exported = theirs.export_keying_material(EXPORTER.encode(), 32, b"")
    assert ours.channel_binding("tls-exporter") == exported


@pytest.mark.parametrize("client_auth", [ClientAuth.NONE, ClientAuth.REQUEST])
def test_tls_unique_is_what_python_has(client_auth):
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=certificates.ca().certificate_pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    ours = server(**BOTH, client_auth=client_auth)
    while not ours.connected:
        with suppress(ssl.SSLWantReadError):
            theirs.do_handshake()
        ours.receive(outgoing.read())
        incoming.write(ours.outgoing())
    theirs.do_handshake()
    assert ours.channel_binding("tls-unique") == theirs.get_channel_binding("tls-unique")


@both_roles
def test_tls_unique_is_the_clients_finished(role):
    seen: list[Finished] = []
    lies: dict[str, Lie] = {"Finished": kept(seen)}
    peer = meet12(role, lies=lies).run()
    assert peer.complete
    theirs = [message.verify_data for message in seen]
    assert (theirs == [peer.connection.channel_binding("tls-unique")]) == (role is Role.SERVER)


@pytest.mark.parametrize(("kind", "code"), [("tls-unique", "no_channel_binding"), ("tls-exporter", "no_exporter_12")])
@both_roles
def test_without_the_extended_main_secret_nothing_binds_to_the_connection(role, kind, code):
    ours = ours_as(role, **OLD)
    shake_hands(ours, pyopenssl(role, options=NO_EXTENDED_MAIN_SECRET))
    with pytest.raises(ApiMisuse) as caught:
        ours.channel_binding(kind)
    assert caught.value.code == code
    # The certificate is what it is.
    digest = hashlib.sha256(certificates.server().chain[0]).digest()
    assert ours.channel_binding("tls-server-end-point") == digest
    assert ours.connected


@both_roles
def test_there_is_none_before_the_handshake_and_after_an_error(role):
    ours = ours_as(role)
    failed = meet12(role, lies={"Finished": Finished(bytes(12))}).run().connection
    for end in (ours, failed):
        with pytest.raises(ApiMisuse) as caught:
            end.channel_binding("tls-unique")
        assert caught.value.code == "no_exporter"

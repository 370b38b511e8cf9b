"""A server's handshake from the first hello to the fork on the version. RFC 9846 4.2."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from handfast.crypto.suites import SUITES_13
from handfast.handshake import negotiate, versions
from handfast.handshake.early_data import reject_for_retry
from handfast.handshake.server13 import server13
from handfast.handshake.server_names import policy_of
from handfast.handshake.server_resumption import find_session
from handfast.keys.established import Established
from handfast.keys.transcript import Transcript
from handfast.wire.extensions import (
    Cookie,
    Extensions,
    KeyShareHelloRetryRequest,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import HELLO_RETRY_REQUEST_RANDOM, ClientHello, HelloRetryRequest

if TYPE_CHECKING:
    from handfast.handshake.context import ServerHandshake, Step
    from handfast.keys.established12 import Established12


def server(hs: ServerHandshake) -> Generator[Step, Any, Established | Established12]:
    """RFC 9846 figure 1 from the server's side, up to the version."""
    hello = yield from hs.expect(ClientHello)
    hs.require_boundary(ClientHello)
    hs.client_random = hello.random
    # Before anybody hears of it: those who choose by it, observers, logs.
    hs.info.server_name = sni_name = negotiate.sni_name(hello)
    base = hs.config
    if base.choose_config is not None:
        versions.check_decoded(hello, None)
        hs.config = yield from hs.choose(base.choose_config, negotiate.seen(hello))
        hs.use(hs.config.crypto)
    config = hs.config
    hs.info.policy = policy_of(base, config, sni_name)
    if versions.choose_version(config.enabled_versions, hello) == negotiate.TLS12:
        from handfast.handshake.tls12.server import server12

        hs.takes_warnings = True
        sentinel = negotiate.DOWNGRADE_SENTINELS[0] if negotiate.TLS13 in config.enabled_versions else b""
        return (yield from server12(hs, hello, sentinel))
    hs.records.accepts_change_cipher_spec = True
    negotiated, offer = negotiate.negotiate_parameters(config, hello)
    hs.info.post_handshake_auth = offer.parameters.post_handshake_auth
    suite, group = negotiated.suite, negotiated.group
    before = None
    if group not in offer.shares:
        if offer.parameters.early_data:
            reject_for_retry(hs)
        offer, before = yield from retry(hs, offer, suite, group)
    resumption = yield from find_session(hs, offer, SUITES_13[suite], before)
    return (yield from server13(hs, offer, negotiated, resumption))


def retry(
    hs: ServerHandshake, offer: negotiate.Offer, suite: int, group: int
) -> Generator[Step, Any, tuple[negotiate.Offer, Transcript]]:
    """Ask for a key share of ``group`` and for our cookie, and check the hello that comes. RFC 9846 4.2.4.

    The second value is the transcript before that hello.
    """
    cookie = hs.seams.random_bytes(32)
    first = offer.hello
    hs.transcript.start_over_with_message_hash(SUITES_13[suite].hash)
    hs.info.retried = True
    extensions = Extensions.of(
        SupportedVersionsServerHello(negotiate.TLS13), KeyShareHelloRetryRequest(group), Cookie(cookie)
    )
    hs.send(
        HelloRetryRequest(negotiate.TLS12, HELLO_RETRY_REQUEST_RANDOM, first.legacy_session_id, suite, 0, extensions)
    )
    hs.flush()
    if first.legacy_session_id:
        hs.records.write_change_cipher_spec()
    before = hs.transcript.copy()
    second = yield from hs.expect(ClientHello)
    hs.require_boundary(ClientHello)
    versions.check_decoded(second, negotiate.TLS13)
    return negotiate.check_second_hello(offer, second, group, cookie), before

"""Proving who we are and checking who the peer is in TLS 1.2. RFC 5246 7.4.2 to 7.4.8, RFC 8422 5.4 and 5.8.

A server signs the parameters of its key exchange, a client all messages so far. As in ``identity``, possession of the
key is checked here whenever a certificate is shown, and what the chain is worth is for ``judge_identity`` to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from handfast.credentials.signers import LocalSigner
from handfast.crypto import signatures
from handfast.errors import BadMessage, PeerIncompatible, PeerMisbehaved
from handfast.handshake.identity import ProvenChain, leaf_key, record_peer_chain, tell_chosen
from handfast.handshake.negotiate import choose_scheme
from handfast.handshake.selection import Choice, name_fit
from handfast.handshake.tls12 import negotiate as negotiate12
from handfast.handshake.tls12.negotiate import CERTIFICATE_TYPES
from handfast.registry import SCHEMES, CertificateStatusType, CipherSuite, NamedGroup, SignatureScheme
from handfast.wire.codec import encode
from handfast.wire.extensions import SignedCertificateTimestampList
from handfast.wire.messages import CertificateVerify
from handfast.wire.messages12 import (
    Certificate,
    CertificateStatus,
    ServerECDHParams,
    ServerHello,
    ServerKeyExchange,
)

if TYPE_CHECKING:
    from handfast.credentials.credentials import Credentials
    from handfast.crypto.signatures import PublicKey
    from handfast.crypto.suites12 import Suite12
    from handfast.handshake.context import HandshakeContext, Step


# Choosing


def signing_schemes(credentials: Credentials) -> tuple[SignatureScheme, ...]:
    """The schemes that these credentials can sign with; of a foreign signer, those it names and its key allows."""
    key = credentials.public_key
    if type(credentials.signer) is LocalSigner:
        return _own_schemes(key)
    usable = (scheme for scheme in credentials.signer.schemes if scheme not in signatures.LEGACY_CLIENT_SCHEMES)
    return tuple(SCHEMES[scheme] for scheme in usable if signatures.scheme_fits(key, scheme))


# Of the same few keys each time.
@cache
def _own_schemes(key: PublicKey) -> tuple[SignatureScheme, ...]:
    return tuple(SCHEMES[scheme] for scheme in signatures.schemes_for_12(key))


def choose_server_credentials(
    candidates: Sequence[Credentials],
    suites: Sequence[Suite12],
    offer: negotiate12.Offer,
    server_name: str | None,
    allowed: Collection[int] | None = None,
) -> tuple[Suite12, Choice]:
    """The most wanted suite for which there is a certificate, and that certificate. RFC 5246 7.4.2, RFC 8422 5.1.

    Of several that fit, one made for the name that the client asked for comes first. ``allowed`` are the schemes that
    we may sign with; None allows all.
    """
    usable = [
        (one, scheme)
        for one in candidates
        if (scheme := choose_scheme(signing_schemes(one), offer.schemes, allowed)) is not None
        and _curve_is_known(one.public_key, offer.groups)
    ]
    if not usable:
        key = " or ".join(one.key_description for one in candidates)
        makes = (scheme for one in candidates for scheme in signing_schemes(one))
        ours = SignatureScheme.describe_all(scheme for scheme in makes if allowed is None or scheme in allowed)
        theirs = SignatureScheme.describe_all(offer.schemes)
        raise PeerIncompatible("no_common_scheme", theirs=theirs, ours=ours, key=key)
    if server_name is not None and len(usable) > 1:
        name = server_name
        usable.sort(key=lambda pair: name_fit(pair[0], name), reverse=True)
    for suite in suites:
        for one, scheme in usable:
            if suite.fits(one.public_key.kind):
                return suite, Choice(one, scheme, f"it is the first whose key the client accepts for {suite.name}")
    key = " or ".join(one.key_description for one, _ in usable)
    wanted_suites = CipherSuite.describe_all(suite.id for suite in suites)
    raise PeerIncompatible(
        "no_common_certificate", theirs=CipherSuite.describe_all(offer.suites), ours=wanted_suites, key=key
    )


def _curve_is_known(key: PublicKey, groups: Collection[int]) -> bool:
    """Whether the client can verify with this key: an ECDSA key's curve is among its groups. RFC 8422 5.3."""
    group = _GROUPS.get(key.kind)
    return group is None or group in groups


_GROUPS = {
    "ECDSA P-256": NamedGroup.secp256r1,
    "ECDSA P-384": NamedGroup.secp384r1,
    "ECDSA P-521": NamedGroup.secp521r1,
}


def schemes_for(wanted: negotiate12.CertificateWanted12) -> Callable[[Credentials], tuple[SignatureScheme, ...]]:
    """What our credentials can sign with for this request: none with a key of a type that it does not name."""

    def schemes_of(credentials: Credentials) -> tuple[SignatureScheme, ...]:
        fits = _certificate_type(credentials.public_key) in wanted.certificate_types
        return signing_schemes(credentials) if fits else ()

    return schemes_of


def _certificate_type(key: PublicKey) -> int:
    return CERTIFICATE_TYPES["RSA" if key.kind.startswith("RSA") else "ECDSA"]


# Proving


def show_certificate(hs: HandshakeContext, choice: Choice, hints: tuple[bytes, ...] | None) -> None:
    """Send Certificate. RFC 5246 7.4.2 and 7.4.6."""
    chain = () if choice.credentials is None else choice.credentials.chain
    if hs.watch.active:
        tell_chosen(hs, choice, hints)
    hs.send(Certificate(chain))


def prove_params(
    hs: HandshakeContext, choice: Choice, params: ServerECDHParams, randoms: bytes
) -> Generator[Step, Any, None]:
    """Send ServerKeyExchange. RFC 8422 5.4."""
    content = randoms + encode(params)
    scheme, signature = yield from _sign(hs, choice, content)
    sent = hs.send(ServerKeyExchange(params, scheme, signature))
    _tell_signed(hs, choice, "ServerKeyExchange", content, sent.algorithm, sent.signature)


def prove_possession(hs: HandshakeContext, choice: Choice) -> Generator[Step, Any, None]:
    """Send CertificateVerify, over all messages so far. RFC 5246 7.4.8."""
    content = hs.transcript.messages
    scheme, signature = yield from _sign(hs, choice, content)
    sent = hs.send(CertificateVerify(scheme, signature))
    _tell_signed(hs, choice, "CertificateVerify", content, sent.algorithm, sent.signature)


def _sign(hs: HandshakeContext, choice: Choice, content: bytes) -> Generator[Step, Any, tuple[int, bytes]]:
    if choice.credentials is None or choice.scheme is None:
        raise ValueError("no credentials were chosen")
    signature = yield from hs.sign(choice.credentials, choice.scheme, content)
    hs.info.certificate_sent, hs.info.own_chain = True, choice.credentials.chain
    hs.info.own_scheme = choice.scheme
    return choice.scheme, signature


def _tell_signed(
    hs: HandshakeContext, choice: Choice, what: str, content: bytes, scheme: int, signature: bytes
) -> None:
    if hs.watch.active and choice.credentials is not None:
        ok = signatures.verify_12(choice.credentials.public_key, scheme, signature, content)
        hs.checked(hs.role.sends, what, content, b"", signature, ok)


# Checking


def receive_chain(hs: HandshakeContext) -> Generator[Step, Any, tuple[bytes, ...]]:
    """Wait for the peer's Certificate. RFC 5246 7.4.2 and 7.4.6."""
    certificate = yield from hs.expect(Certificate)
    record_peer_chain(hs, certificate.certificate_list)
    return certificate.certificate_list


def note_staple(hs: HandshakeContext, hello: ServerHello, status: CertificateStatus | None) -> None:
    """Keep what the server presents beside its chain; nothing here says that it is true. RFC 6066 8, RFC 6962 3.3.1."""
    if status is not None:
        if status.status_type != CertificateStatusType.ocsp:
            raise BadMessage("bad_value", message="CertificateStatus", field="status_type", value=status.status_type)
        hs.info.ocsp_response = status.response
    timestamps = hello.find(SignedCertificateTimestampList)
    if timestamps is not None:
        hs.info.signed_certificate_timestamps = timestamps.sct_list


def check_params_signature(
    hs: HandshakeContext,
    chain: tuple[bytes, ...],
    exchange: ServerKeyExchange,
    randoms: bytes,
    suite: Suite12,
    offered: Collection[int],
) -> ProvenChain:
    """The server's key, which is of the suite's kind, signed its parameters and our random. RFC 8422 5.4."""
    key = leaf_key(chain[0])
    if not suite.fits(key.kind):
        raise PeerMisbehaved("key_for_other_suite", key=key.name, suite=suite.name)
    content = randoms + encode(exchange.params)
    return _check_signature(hs, chain, key, exchange, content, offered)


def verify_possession(
    hs: HandshakeContext, chain: tuple[bytes, ...], proof: CertificateVerify, content: bytes, offered: Collection[int]
) -> ProvenChain:
    """The client's key signed all messages before its CertificateVerify. RFC 5246 7.4.8."""
    return _check_signature(hs, chain, leaf_key(chain[0]), proof, content, offered)


def _check_signature(
    hs: HandshakeContext,
    chain: tuple[bytes, ...],
    key: PublicKey,
    proof: ServerKeyExchange | CertificateVerify,
    content: bytes,
    offered: Collection[int],
) -> ProvenChain:
    what = type(proof).__name__
    if proof.algorithm not in offered:
        scheme, ours = SignatureScheme.describe(proof.algorithm), SignatureScheme.describe_all(offered)
        raise PeerMisbehaved("scheme_not_offered", message=what, scheme=scheme, ours=ours)
    if not signatures.scheme_fits_12(key, proof.algorithm):
        scheme = SignatureScheme.describe(proof.algorithm)
        raise PeerMisbehaved("scheme_for_other_key", message=what, scheme=scheme, key=key.name)
    ok = hs.crypto.verify_12(key, proof.algorithm, proof.signature, content)
    hs.checked(hs.role.peer.sends, what, content, b"", proof.signature, ok)
    if not ok:
        raise PeerMisbehaved("bad_signature", message=what)
    hs.info.peer_scheme = SCHEMES[proof.algorithm]
    return ProvenChain(chain)

"""OCSP responses with whatever is wanted in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handfast.der import element, elements

from .crafting import DAY, NOW, Extension, Made, eku, make, sequence, usage, with_sha1_instead

SECOND = timedelta(seconds=1)
STATUSES = ocsp.OCSPCertStatus
NO_CHECK = (x509.OCSPNoCheck(), False)
FOR_OCSP = eku(ExtendedKeyUsageOID.OCSP_SIGNING)


def must_staple(*features: x509.TLSFeatureType) -> Extension:
    return x509.TLSFeature(features or [x509.TLSFeatureType.status_request]), False


def responder(issuer: Made | None, *extensions: Extension, **options: Any) -> Made:
    given = extensions or ((usage("digital_signature"), True), FOR_OCSP, NO_CHECK)
    return make("Responder", issuer, *given, **options)


def response(
    leaf: Made,
    issuer: Made,
    status: ocsp.OCSPCertStatus = STATUSES.GOOD,
    *,
    this_update: datetime = NOW - DAY,
    next_update: datetime | None = NOW + DAY,
    reason: x509.ReasonFlags | None = None,
    id_hash: Any = None,
    signer: Made | None = None,
    embedded: tuple[Made, ...] | None = None,
    key: Any = None,
    by_name: bool = False,
    extensions: tuple[Extension, ...] = (),
    signature_hash: Any = None,
) -> bytes:
    """A response signed by the issuer or by ``signer``, or by another ``key`` in either's name."""
    signing = signer or issuer
    if key is not None:
        # The builder takes a key only with its certificate: one that calls itself like the other's.
        signing, by_name = Made(_namesake(signing.certificate, key), key), True
    revoked = status is STATUSES.REVOKED
    encoding = ocsp.OCSPResponderEncoding.NAME if by_name else ocsp.OCSPResponderEncoding.HASH
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            leaf.certificate,
            issuer.certificate,
            id_hash or hashes.SHA1(),
            status,
            this_update,
            next_update,
            NOW - 2 * DAY if revoked else None,
            reason,
        )
        .responder_id(encoding, signing.certificate)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    came = embedded if embedded is not None else (signer,) if signer else ()
    if came:
        builder = builder.certificates([one.certificate for one in came])
    edwards = isinstance(signing.key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
    return builder.sign(signing.key, None if edwards else signature_hash or hashes.SHA256()).public_bytes(Encoding.DER)


def _namesake(certificate: x509.Certificate, key: Any) -> x509.Certificate:
    common_name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return make(str(common_name), None, key=key).certificate


def error_message(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def signed_with_sha1(leaf: Made, issuer: Made) -> bytes:
    """A response of an RSA issuer, signed again with a hash that the builder refuses."""
    encoded = response(leaf, issuer)
    parsed = ocsp.load_der_ocsp_response(encoded)
    signature = issuer.key.sign(parsed.tbs_response_bytes, padding.PKCS1v15(), hashes.SHA1())
    return with_sha1_instead(encoded).replace(parsed.signature, signature)


def about_several(leaf: Made, issuer: Made, *others: Made) -> bytes:
    """A response of a P-256 issuer that speaks of further certificates too, which the builder cannot make."""
    return _basic(issuer, leaf, *(_single(one, issuer) for one in (leaf, *others)))


def with_single_extension(leaf: Made, issuer: Made, *, critical: bool) -> bytes:
    """A response of a P-256 issuer with an unknown extension in what it says of the leaf."""
    value = bytes.fromhex("06032a0304"), b"\x01\x01\xff" if critical else b"", _tagged(0x04, b"\x05\x00")
    extensions = _tagged(0xA1, sequence(sequence(*value)))
    return _basic(issuer, leaf, sequence(element(_single(leaf, issuer)).content, extensions))


def _fields(leaf: Made, issuer: Made) -> list[bytes]:
    """What the ResponseData of a good response consists of."""
    signed = ocsp.load_der_ocsp_response(response(leaf, issuer)).tbs_response_bytes
    return [field.encoded for field in elements(element(signed).content)]


def _single(leaf: Made, issuer: Made) -> bytes:
    return element(_fields(leaf, issuer)[-1]).content


def _basic(issuer: Made, leaf: Made, *singles: bytes) -> bytes:
    """An OCSPResponse with these SingleResponses, signed by a P-256 issuer. RFC 6960 4.2.1."""
    signed = sequence(*_fields(leaf, issuer)[:-1], sequence(*singles))
    signature = b"\0" + issuer.key.sign(signed, ec.ECDSA(hashes.SHA256()))
    algorithm = sequence(bytes.fromhex("06082a8648ce3d040302"))
    basic = sequence(signed, algorithm, _tagged(0x03, signature))
    kind = bytes.fromhex("06092b0601050507300101")
    return sequence(b"\x0a\x01\x00", _tagged(0xA0, sequence(kind, _tagged(0x04, basic))))


def _tagged(tag: int, content: bytes) -> bytes:
    return bytes([tag]) + sequence(content)[1:]

"""What the OCSP response beside a leaf does to a verified path. RFC 6960, RFC 6066 8, RFC 7633.

The peer sends it, so nothing in it is believed before its signature is: by the key that issued the leaf in the verified
path, or by a responder whose certificate that very key signed, for OCSP, and that is valid now. It must be about this
leaf and for no other, and current; what it says of a revoked certificate counts for ever. Refused is also

- one without nextUpdate: none could tell for how long the peer has been showing it;
- one about several certificates, of which the library does not show all;
- a critical extension, of which none is processed, and a signature that does not rest on SHA-2.

A path of one certificate, a leaf that is itself a root, is not to be revoked: it is looked up no more than in lists.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha1
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from handfast import der, limits
from handfast.crypto import signatures
from handfast.crypto.new_keys import DER
from handfast.text import reported
from handfast.trust.path.paths import issued
from handfast.trust.path.rules import instant, span, title
from handfast.trust.revocation.crl_check import revocation_problems
from handfast.trust.revocation.crl_store import OcspPolicy
from handfast.verdict import Reason
from handfast.x509.certificates import Parsed, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from handfast.trust.path.path_context import PathContext

# In a responder's certificate.
_PROCESSED = frozenset(
    (
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.OCSP_NO_CHECK,
    )
)
_SKEW = timedelta(seconds=limits.OCSP_CLOCK_SKEW)


class Unacceptable(ValueError):
    """A response that proves nothing; the message goes on after "the OCSP response"."""


@dataclass(frozen=True, eq=False)
class Response:
    """A response about one certificate, its signature not yet checked.

    ``responder_name`` is DER; it or ``responder_key_hash`` (SHA-1) says whose signature it is. ``certificates`` are
    those that came in it.
    """

    parsed: ocsp.OCSPResponse = field(repr=False)
    status: ocsp.OCSPCertStatus
    this_update: datetime
    next_update: datetime
    responder_name: bytes | None
    responder_key_hash: bytes | None
    certificates: tuple[Parsed, ...] = field(repr=False)

    def is_about(self, certificate: Parsed, issuer: Parsed) -> bool:
        """Whether its CertID is this certificate's. RFC 6960 4.1.1."""
        theirs = self.parsed
        builder = ocsp.OCSPRequestBuilder()
        ours = builder.add_certificate(certificate.certificate, issuer.certificate, theirs.hash_algorithm).build()
        return (theirs.serial_number, theirs.issuer_name_hash, theirs.issuer_key_hash) == (
            ours.serial_number,
            ours.issuer_name_hash,
            ours.issuer_key_hash,
        )

    def names(self, signer: Parsed) -> bool:
        """Whether it says that this certificate's key signed it. RFC 6960 4.2.2.3."""
        if self.responder_name is not None:
            return self.responder_name == signer.subject
        # SHA-1 of the key's bits. The key is not loaded: any certificate may stand in a response.
        _, bits = der.elements(der.expect(der.element(signer.public_key_info), der.SEQUENCE))
        digest = sha1(der.expect(bits, der.BIT_STRING)[1:], usedforsecurity=False).digest()
        return self.responder_key_hash == digest

    def is_signed_by(self, signer: Parsed) -> bool:
        algorithm = self.parsed.signature_algorithm_oid.dotted_string
        key = signatures.load_public_key(signer.public_key_info)
        return signatures.verify_x509(key, algorithm, self.parsed.signature, self.parsed.tbs_response_bytes)


def ocsp_problems(path: Sequence[Parsed], case: PathContext) -> Iterator[Reason]:
    """What the response, or its absence, says against a path that was verified, leaf first and root last."""
    if case.ocsp is OcspPolicy.IGNORE or len(path) == 1:
        return
    leaf, issuer = path[:2]
    if not case.presented.ocsp_response:
        yield from _missing(leaf, case)
        return
    try:
        response = _believable(leaf, issuer, case)
    except Unacceptable as error:
        yield Reason("ocsp_bad", 0, f"the OCSP response that came with {title(leaf, 0)} {error}")
        return
    this = f"the OCSP response of {instant(response.this_update)} that came with it"
    yield from _status_problems(response, title(leaf, 0), this)
    yield from _date_problems(response, this, case.presented.at)


def _missing(leaf: Parsed, case: PathContext) -> Iterator[Reason]:
    promise = leaf.extension(x509.TLSFeature)
    promised = promise is not None and x509.TLSFeatureType.status_request in promise
    if promised and case.presented.asked_for_ocsp_response:
        words = "says that it comes with an OCSP response (must-staple), and came without"
        yield Reason("ocsp_missing", 0, f"{title(leaf, 0)} {words}")
    elif case.ocsp is OcspPolicy.REQUIRE:
        yield Reason("ocsp_missing", 0, f"{title(leaf, 0)} came without an OCSP response, and one is required here")


# Reading


def _believable(leaf: Parsed, issuer: Parsed, case: PathContext) -> Response:
    """The response, if it is about this leaf and signed by who may; Unacceptable whatever is wrong with it."""
    if (size := len(case.presented.ocsp_response)) > limits.MAX_OCSP_RESPONSE:
        raise Unacceptable(f"has {size} bytes; {limits.MAX_OCSP_RESPONSE} are the most")
    try:
        response = _read(case.presented.ocsp_response)
        if not response.is_about(leaf, issuer):
            raise Unacceptable("is about another one")
        _check_signature(response, issuer, case)
    except Unacceptable:
        raise
    except Exception as error:  # noqa: BLE001 (the library raises errors of many kinds at whatever it cannot read)
        raise Unacceptable(f"cannot be read: {reported(error, limits.MAX_PEER_TEXT)}") from None
    return response


def _read(encoded: bytes) -> Response:
    parsed = ocsp.load_der_ocsp_response(encoded)
    if parsed.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Unacceptable(f"is an error message of its responder: {parsed.response_status.name}")
    count = sum(1 for _ in parsed.responses)
    if count != 1:
        raise Unacceptable(f"is about {count} certificates; one that is about this alone is needed")
    for extension in (*parsed.extensions, *parsed.single_extensions):
        if extension.critical:
            dotted = extension.oid.dotted_string
            raise Unacceptable(f"has the critical extension {dotted}, which handfast does not process")
    next_update = parsed.next_update_utc
    if next_update is None:
        raise Unacceptable("has no nextUpdate, so nobody can tell whether it is out of date")
    name = parsed.responder_name
    return Response(
        parsed=parsed,
        status=parsed.certificate_status,
        this_update=parsed.this_update_utc,
        next_update=next_update,
        responder_name=None if name is None else name.public_bytes(),
        responder_key_hash=parsed.responder_key_hash,
        certificates=tuple([parse(one.public_bytes(DER)) for one in parsed.certificates]),
    )


# The signature


def _check_signature(response: Response, issuer: Parsed, case: PathContext) -> None:
    """RFC 6960 3.2 and 4.2.2.2."""
    obstacle = f"names a signer that is neither {issuer.subject_text} nor has its certificate in it"
    candidates = [one for one in (issuer, *response.certificates) if response.names(one)]
    for signer in candidates[: limits.MAX_OCSP_RESPONDERS]:
        obstacle = "" if signer is issuer else _responder_obstacle(signer, issuer, case)
        if not obstacle and not response.is_signed_by(signer):
            obstacle = f"has a signature that is not {signer.subject_text}'s, or rests on another hash than SHA-2"
        if not obstacle:
            return
    raise Unacceptable(obstacle)


def _responder_obstacle(responder: Parsed, issuer: Parsed, case: PathContext) -> str:
    """Why a responder may not speak for the issuer; "" if it may."""
    who = f"is signed by {responder.subject_text}"
    purposes = responder.extension(x509.ExtendedKeyUsage)
    key_usage = responder.extension(x509.KeyUsage)
    if purposes is None or ExtendedKeyUsageOID.OCSP_SIGNING not in purposes:
        return f"{who}, which is not made for that (OCSPSigning)"
    if key_usage is not None and not key_usage.digital_signature:
        return f"{who}, whose keyUsage lacks digitalSignature"
    if not _PROCESSED.issuperset(responder.critical):
        return f"{who}, which has a critical extension that handfast does not process"
    if not responder.not_before <= case.presented.at <= responder.not_after:
        return f"{who}, which is valid from {instant(responder.not_before)} to {instant(responder.not_after)} only"
    bits, exponent = responder.rsa or (limits.MIN_RSA_BITS, 3)
    if bits < limits.MIN_RSA_BITS:
        return f"{who}, which has an RSA key of {bits} bits; {limits.MIN_RSA_BITS} are the least"
    if obstacle := signatures.rsa_obstacle(bits, exponent):
        return f"{who}, which has {obstacle}"
    if responder.weak_hash or not issued(responder, issuer):
        return f"{who}, for which {issuer.subject_text} does not vouch"
    if responder.extension(x509.OCSPNoCheck) is None:
        found = revocation_problems((responder, issuer), case)
        if any(reason.code == "revoked" for reason in found):
            return f"{who}, which is revoked"
    return ""


# What it says


def _status_problems(response: Response, who: str, this: str) -> Iterator[Reason]:
    if response.status is ocsp.OCSPCertStatus.UNKNOWN:
        yield Reason("ocsp_unknown", 0, f"{who} is unknown to its CA, says {this}")
    elif response.status is not ocsp.OCSPCertStatus.GOOD:
        since, reason = response.parsed.revocation_time_utc, response.parsed.revocation_reason
        date = "" if since is None else f" on {instant(since)}"
        why = "no reason is given" if reason is None else reason.value
        yield Reason("revoked", 0, f"{who} was revoked{date} ({why}), says {this}")


def _date_problems(response: Response, this: str, at: datetime) -> Iterator[Reason]:
    if at > response.next_update + _SKEW:
        when = f"ended {span(at - response.next_update)} ago, on {instant(response.next_update)}"
    elif at < response.this_update - _SKEW:
        when = f"begins only in {span(response.this_update - at)}"
    else:
        return
    yield Reason("ocsp_stale", 0, f"{this} {when}; the time here is {instant(at)}")

"""What is wrong among several things: order, missing intermediates, keys that fit nothing, what lists say.

Who issued whom is decided by names and signatures. Signatures are checked within a budget, as files may be large.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from cryptography import x509

from handfast.crypto.signatures import may_verify
from handfast.limits import MAX_ANALYSIS_SIGNATURES
from handfast.lint.contents import Item, Kind
from handfast.lint.facts import public_key_of
from handfast.trust.path.paths import issued
from handfast.trust.path.rules import instant
from handfast.x509.certificates import Malformed, Parsed, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.lint.certificate_checks import Case, Found

    ItemFound = tuple[Item, Found]


class Certificates:
    """The certificates among the things, and who issued whom."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.parsed: list[tuple[Item, Parsed]] = []
        for item in items:
            if item.kind is Kind.CERTIFICATE:
                try:
                    self.parsed.append((item, parse(item.encoded)))
                except Malformed:
                    continue
        self._budget = MAX_ANALYSIS_SIGNATURES
        self._by_subject: dict[bytes, list[tuple[Item, Parsed]]] = {}
        for pair in self.parsed:
            self._by_subject.setdefault(pair[1].subject, []).append(pair)

    def of_file(self, file: str) -> list[tuple[Item, Parsed]]:
        """Those of one file, in its order."""
        return [pair for pair in self.parsed if pair[0].file == file]

    def named(self, subject: bytes) -> list[tuple[Item, Parsed]]:
        """Those with this DER subject."""
        return self._by_subject.get(subject, [])

    def signed(self, certificate: Parsed, issuer: Parsed) -> bool | None:
        """Whether one issued the other; None where that is not computed."""
        if certificate.weak_hash or self._budget <= 0 or not may_verify(issuer.public_key_info):
            return None
        self._budget -= 1
        return issued(certificate, issuer)


def set_problems(items: Sequence[Item], case: Case) -> Iterator[ItemFound]:
    """Everything found among the things, each with the one that it is about."""
    held = Certificates(items)
    for file in dict.fromkeys(item.file for item in items):
        yield from _order(held.of_file(file))
    for item, certificate in held.parsed:
        if not certificate.self_issued:
            yield from _issuer(item, certificate, held)
    yield from _keys(items)
    yield from _lists(items, held, case)


def _order(chain: list[tuple[Item, Parsed]]) -> Iterator[ItemFound]:
    """One file's certificates, if they are a chain: one leaf and what is above it; PKCS#7 and PKCS#12 have no order."""
    leaves = [pair for pair in chain if not pair[1].is_ca]
    if len(chain) < 2 or len(leaves) != 1 or chain[0][0].form.startswith("PKCS#"):
        return
    if chain[0][1].is_ca:
        number = leaves[0][0].number
        yield chain[0][0], ("leaf_not_first", f"stands before the leaf, no. {number}, which must come first")
        return
    for below, following in pairwise(chain):
        above = [pair for pair in chain if pair[1].subject == below[1].issuer]
        if above and not below[1].self_issued and following not in above:
            number = above[0][0].number
            yield below[0], ("issuer_order", f"is issued by no. {number}, which must stand right behind it")
    for item, certificate in chain[1:]:
        if certificate.self_issued:
            yield item, ("root_sent", "is a root behind a leaf: peers have it themselves, or do not trust it")


def _issuer(item: Item, certificate: Parsed, held: Certificates) -> Iterator[ItemFound]:
    candidates = held.named(certificate.issuer)
    answers = [(pair, held.signed(certificate, pair[1])) for pair in candidates]
    above = next((pair for pair, answer in answers if answer), None)
    if above is None:
        if candidates and all(answer is False for _, answer in answers):
            other = candidates[0][0]
            words = f"is issued by {certificate.issuer_text}; {other.place} has that name, and another key"
            yield item, ("same_name_other_key", words)
        return
    issuer_item, issuer = above
    if not issuer.is_ca:
        yield item, ("issuer_not_a_ca", f"is issued by {issuer_item.place}, which is no CA")
    if certificate.is_ca or issuer.self_issued:
        return
    if all(pair[0].file != item.file for pair, answer in answers if answer):
        yield item, ("missing_intermediate", f"is issued by the intermediate in {issuer_item.place}")


def _keys(items: Sequence[Item]) -> Iterator[ItemFound]:
    """Keys that fit nothing, where there is something that they could fit."""
    certified = {public_key_of(item) for item in items if item.kind in (Kind.CERTIFICATE, Kind.REQUEST)} - {b""}
    for item in items:
        if item.kind is Kind.KEY and certified and item.encoded not in certified:
            yield item, ("key_mismatch", "fits no certificate among these files")


def _lists(items: Sequence[Item], held: Certificates, case: Case) -> Iterator[ItemFound]:
    for item in items:
        if item.kind is not Kind.REVOCATION_LIST:
            continue
        found = x509.load_der_x509_crl(item.encoded)
        until = found.next_update_utc
        if until is not None and until < case.at:
            yield item, ("revocation_list_expired", f"ended on {instant(until)}")
        name = found.issuer.public_bytes()
        issuers = held.named(name)
        if issuers and not any(_signed_list(found, issuer) for _, issuer in issuers):
            words = f"is a list of {issuers[0][1].subject_text}; {issuers[0][0].place} has that name, and another key"
            yield item, ("same_name_other_key", words)
            continue
        for about, certificate in held.parsed:
            serial = certificate.certificate.serial_number
            if certificate.issuer == name and found.get_revoked_certificate_by_serial_number(serial) is not None:
                yield about, ("revoked", f"is revoked, says {item.place}")


def _signed_list(found: x509.CertificateRevocationList, issuer: Parsed) -> bool:
    """Whether a list is signed with this key; False for one that is not computed with."""
    if not may_verify(issuer.public_key_info):
        return False
    try:
        # The library's type leaves out the kinds of keys that sign nothing, for which it raises.
        return found.is_signature_valid(issuer.certificate.public_key())  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 (a key of another kind than the signature's)
        return False

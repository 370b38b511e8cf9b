"""One side's certificates examined: by themselves, and by what the other side trusts where that is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from handfast.doctor.evidence import Identity, Problem
from handfast.doctor.path_rules import objection
from handfast.lint.certificate_checks import Case
from handfast.lint.contents import Item, Kind
from handfast.lint.findings import look
from handfast.lint.rule_table import APPLE, CHROMIUM, EVERYONE, REFUSERS
from handfast.outcome.diagnosed import causes_of_verdict
from handfast.roles import Role
from handfast.text import listed
from handfast.trust.path.paths import issued
from handfast.trust.presented import PresentedChain
from handfast.trust.verifiers import PathVerifier
from handfast.x509.certificates import Malformed, Parsed, parse
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from handfast.errors import HandfastError
    from handfast.lint.findings import Finding
    from handfast.trust.revocation.crl_store import Crls
    from handfast.trust.roots import Roots
    from handfast.verdict import Verdict

# Of a rule of lint: the cause, an entry of the catalogue without its side. What is not named here lets no connection
# fail.
_BY_RULE = {
    "expired": "expired",
    "expired_root": "expired",
    "not_yet_valid": "not_yet_valid",
    "wrong_purpose": "wrong_purpose",
    "any_purpose_only": "wrong_purpose",
    "key_may_not_sign": "key_may_not_sign",
    "weak_key": "weak_key",
    "weak_signature_hash": "weak_hash",
    "issuer_not_a_ca": "issuer_not_a_ca",
    "ca_without_key_cert_sign": "issuer_not_a_ca",
    "same_name_other_key": "twin_ca",
    "no_names": "no_san",
    "no_subject_alternative_name": "no_san",
    "no_host_in_subject_alternative_name": "no_san",
    "address_as_dns_name": "wrong_name",
    "unsupported_key": "unsuitable",
    "version_1": "unsuitable",
    "unknown_critical_extension": "unsuitable",
    "malformed": "damaged",
    "leaf_not_first": "chain_order",
    "critical_key_identifier": "form",
    "no_authority_key_identifier": "form",
    "no_subject_key_identifier": "form",
    "ca_without_key_usage": "form",
    "basic_constraints_not_critical": "form",
    "path_length_without_key_cert_sign": "form",
    "key_cert_sign_without_ca": "form",
    "empty_subject": "form",
}
_NAMES = frozenset({"wrong_name", "no_san"})
_OF_LEAVES = _NAMES | {"wrong_purpose", "key_may_not_sign"}
# By how much a clock that is not set by NTP is behind in most cases: a time zone, a day.
_NEW = timedelta(days=2)
# Above the leaf and below the root. nginx's ssl_verify_depth is 1 by default.
_MANY_INTERMEDIATES = 2
# They refuse what no other program does: worth a remark.
_BROWSERS = frozenset({CHROMIUM, APPLE})
# Of an error about files: the cause.
_BY_FILE_ERROR = {
    "key_mismatch": "key_mismatch",
    "chain_order": "chain_order",
    "issuer_order": "chain_order",
    "password_needed": "key_encrypted",
    "password_wrong": "key_encrypted",
    "der_as_pem": "der_as_pem",
    "swapped": "files_swapped",
    "weak_key": "weak_key",
    "unsupported_key": "unsuitable",
}
_IN_TOKENS = frozenset({"token_mechanism", "token_pkcs1_only"})
# Errors about files that the doctor explains; others are about what it cannot read at all.
DIAGNOSED = frozenset(
    {*_BY_FILE_ERROR, *_IN_TOKENS, "bad_key", "no_key", "bad_certificate", "no_certificate", "bad_pkcs12"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What the other side goes by.

    Attributes:
        roots: what it trusts. None where that is not known.
        policy: the rules that certificates are held to.
        crls: its revocation lists, None where it has none or they are not known.
        server_name: the name that a server must have; "" where no name is compared.
        known: further certificates, DER, that may stand in the chain's place where it has gaps.
        at: the time to judge by.
    """

    at: datetime
    roots: Roots | None = None
    policy: str = "handfast"
    crls: Crls | None = None
    server_name: str = ""
    known: tuple[bytes, ...] = ()

    def verdict(self, chain: Sequence[bytes], role: Role, *, completed: Sequence[bytes] = ()) -> Verdict | None:
        """What it says of a chain, with the certificates ``completed`` behind it; None where its roots are unknown."""
        if self.roots is None:
            return None
        name = self.server_name if role is Role.SERVER else ""
        verifier = PathVerifier(self.roots, policy=self.policy, check_name=bool(name), crls=self.crls)
        presented = PresentedChain(
            chain=(*chain, *completed), purpose=Purpose(str(role)), server_name=name or None, at=self.at
        )
        return verifier.verify(presented)


def unusable(role: Role, source: str, error: HandfastError, advice: str) -> Identity:
    """The identity of a side whose files cannot be used; ``advice``: what the error says that can be done, escaped."""
    if error.code in _IN_TOKENS and role is Role.CLIENT:
        causes: tuple[str, ...] = ("token_mechanism",)
    else:
        causes = (_BY_FILE_ERROR.get(error.code, "files_unusable"),)
    # The catalogue has what to do about the others.
    known = advice if causes == ("files_unusable",) else ""
    problem = Problem(causes=causes, explanation=error.what, advice=known)
    return Identity(side=role, source=source, problems=(problem,))


def examined(
    role: Role, source: str, chain: tuple[bytes, ...], judge: Judge, schemes: tuple[int, ...] = ()
) -> Identity:
    """One side's chain, looked at by itself and by the other side's rules."""
    items = tuple(
        Item(file=source, number=number, count=len(chain), kind=Kind.CERTIFICATE, form="TLS", encoded=one)
        for number, one in enumerate(chain, 1)
    )
    report = look(items, Case(judge.at, Purpose(str(role))))
    path, is_complete = _upwards(chain, judge)
    verdict = judge.verdict(chain, role)
    judged = [] if verdict is None else list(_judged(verdict, chain, role, judge, path, is_complete=is_complete))
    objected = _objection(chain, judge) if verdict is not None and verdict.accepted else ""
    if objected and role is Role.CLIENT:
        judged = [Problem(causes=("path_not_built",), explanation=objected, spares=True)]
    identity = Identity(
        side=role,
        source=source,
        chain=chain,
        issuers=tuple(one.issuer for one in path),
        ends_in_root=is_complete,
        accepted=None if verdict is None else verdict.accepted,
        accepted_by="" if judge.roots is None else judge.roots.source,
        revocation_checked=judge.crls is not None and verdict is not None and verdict.accepted,
        schemes=schemes,
        is_new=bool(path) and timedelta() <= judge.at - path[0].not_before < _NEW,
    )
    needed = {*chain[:1], *(one.encoded for one in path)}
    found = [(finding, one.item) for one in report.shown for finding in one.findings if _counts(finding, one.item)]
    spare = [
        f"the {role} also sends a certificate that no path needs: it {finding.explanation}"
        for finding, item in found
        if item.encoded not in needed and finding.code in _BY_RULE
    ]
    identity = _with_findings(identity, judged, [pair for pair in found if pair[1].encoded in needed])
    # Whether a client is such a program is known to who runs it.
    others = [objected] if objected and role is Role.SERVER else []
    return replace(identity, remarks=(*identity.remarks, *spare, *others, *_depth(identity, path)))


def _counts(finding: Finding, item: Item) -> bool:
    """Whether a finding is about what the certificate is used for: what speaks against a leaf does not above it."""
    return item.number == 1 or _BY_RULE.get(finding.code) not in _OF_LEAVES


def _objection(chain: tuple[bytes, ...], judge: Judge) -> str:
    """What other verifiers have against a path that is there; "" for nothing."""
    leaf, *sent = _parsed(chain)
    trusted = () if judge.roots is None else tuple(_parsed(judge.roots.certificates))
    return objection(leaf, sent, trusted)


def _depth(identity: Identity, path: list[Parsed]) -> Iterator[str]:
    """What some servers have to be told of a client's path."""
    between = [one for one in path[1:] if not one.self_issued]
    if identity.side is Role.CLIENT and len(between) >= _MANY_INTERMEDIATES:
        names = listed([one.subject_text for one in between])
        yield f"there are {len(between)} intermediates, {names}: nginx allows one unless ssl_verify_depth says more"


def _with_findings(identity: Identity, judged: list[Problem], found: list[tuple[Finding, Item]]) -> Identity:
    problems, remarks = {problem.causes: problem for problem in judged}, []
    known = {cause for problem in judged for cause in problem.causes}
    named = bool(known & _NAMES)
    for finding, item in found:
        cause = _BY_RULE.get(finding.code)
        others = tuple(one for one in finding.refused_by if one not in _BROWSERS)
        words = f"the {identity.side}'s certificate {finding.explanation}"
        if not finding.refused_by:
            continue
        if cause is None or not others:
            who = listed([REFUSERS[one] for one in finding.refused_by])
            remarks.append(f"{words}; refused by {who}")
        elif (cause,) in problems:
            # What was judged stays; who else refuses it is worth knowing where not all do.
            problem = problems[(cause,)]
            problems[(cause,)] = replace(problem, refused_by=problem.refused_by or _refusers(finding))
        elif cause not in known and not (cause in _NAMES and named):
            above = item.number > 1
            problems[(cause,)] = Problem(
                causes=(cause,), explanation=words, refused_by=_refusers(finding), spares=above
            )
    return replace(identity, problems=tuple(problems.values()), remarks=tuple(remarks))


def _refusers(finding: Finding) -> tuple[str, ...]:
    """Who refuses it, in words; () for everyone."""
    return () if set(EVERYONE) <= set(finding.refused_by) else tuple(REFUSERS[one] for one in finding.refused_by)


def _upwards(chain: Sequence[bytes], judge: Judge) -> tuple[list[Parsed], bool]:
    """The certificates from the leaf upwards, also known ones that were not sent; and whether they end in a root.

    Of several that issued the same, one that is valid now comes first.
    """
    pool = list(_parsed((*chain, *judge.known)))
    if not chain or not pool or pool[0].encoded != chain[0]:
        return [], False
    path = [pool[0]]
    while not path[-1].self_issued:
        above = [one for one in pool if one not in path and issued(path[-1], one)]
        if not above:
            return path, False
        path.append(next((one for one in above if one.not_before <= judge.at <= one.not_after), above[0]))
    return path, True


def _parsed(certificates: Sequence[bytes]) -> Iterator[Parsed]:
    for one in certificates:
        try:
            yield parse(one)
        except Malformed:
            continue


def _judged(
    verdict: Verdict, chain: tuple[bytes, ...], role: Role, judge: Judge, path: list[Parsed], *, is_complete: bool
) -> Iterator[Problem]:
    seen: set[tuple[str, ...]] = set()
    for reason in verdict.reasons:
        causes, words = causes_of_verdict(reason.code), reason.explanation
        if reason.code == "unknown_issuer":
            causes, words = _unknown_issuer(words, chain, role, judge, path, is_complete=is_complete)
        if causes not in seen:
            seen.add(causes)
            yield Problem(causes=causes, explanation=words)


def _unknown_issuer(
    words: str, chain: tuple[bytes, ...], role: Role, judge: Judge, path: list[Parsed], *, is_complete: bool
) -> tuple[tuple[str, ...], str]:
    """Whether another CA issued it or an intermediate is missing, as far as the certificates that are known tell."""
    unsent = [one for one in path if one.encoded not in chain and not one.self_issued]
    if unsent:
        completed = judge.verdict(chain, role, completed=[one.encoded for one in unsent])
        codes = () if completed is None else tuple(reason.code for reason in completed.reasons)
        if completed is not None and (completed.accepted or "unknown_issuer" not in codes):
            names = listed([one.subject_text for one in unsent])
            return (
                "missing_intermediate",
            ), f"{words}; with the intermediate {names} the chain leads to a trusted root"
    if is_complete:
        return ("wrong_ca",), f"{words}; its root is {path[-1].subject_text}"
    return causes_of_verdict("unknown_issuer"), words


def named(identity: Identity, ca_names: Sequence[bytes]) -> bool:
    """Whether one of the CAs that a server names issued a certificate of this chain. Names are compared by bytes."""
    return not set(identity.issuers).isdisjoint(ca_names)

"""The judgement of one presented chain: accept or refuse, and why.

In this order, so that a stranger's chain costs little before anything is known of it: how many certificates, whether
they parse, keys and hashes; then a path; then the rules along the path and the name; then, of a path without a fault,
whether it is revoked, by our lists and by the OCSP response that came with it. Accepting takes a path and no complaint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.errors import ConfigError
from handfast.limits import MAX_PATH_SIGNATURES, MAX_PEER_TEXT, MAX_PRESENTED_CERTIFICATES
from handfast.text import reported
from handfast.trust.path import analysis, paths, rules
from handfast.trust.revocation.crl_check import revocation_problems
from handfast.trust.revocation.ocsp import ocsp_problems
from handfast.verdict import Reason, Verdict, accept, refuse
from handfast.x509 import names
from handfast.x509.certificates import Malformed, Parsed, parse_all
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handfast.trust.path.path_context import PathContext


def judge(case: PathContext) -> Verdict:
    chain, purpose, anchors = case.presented.chain, case.presented.purpose, case.anchors
    if (count := len(chain)) == 0:
        return _refusal([Reason("certificate_required", None, "no certificate was presented")], purpose)
    if count > MAX_PRESENTED_CERTIFICATES:
        words = f"{count} certificates were presented; {MAX_PRESENTED_CERTIFICATES} are the most"
        return _refusal([Reason("too_many_certificates", None, words)], purpose)
    parsed: list[Parsed] = []
    for index, certificate in enumerate(parse_all(chain)):
        if isinstance(certificate, Malformed):
            return _refusal([Reason("malformed", index, f"certificate no. {index + 1}: {certificate}")], purpose)
        parsed.append(certificate)
    if weak := list(rules.weaknesses(parsed, anchors)):
        return _refusal(weak, purpose, parsed[0])
    if not len(anchors.roots):
        words = f"no root is trusted here: {anchors.roots.source}"
        return _refusal([Reason("no_roots", None, words)], purpose, parsed[0])
    name_problems = list(_name_problems(parsed[0], case))
    try:
        path, problems = _usable_path(parsed, case)
    except paths.NoPath as error:
        return _refusal([*_unconnected(error, parsed, case), *name_problems], purpose, parsed[0])
    return _judge_path(path, [*problems, *name_problems], case)


def _usable_path(parsed: list[Parsed], case: PathContext) -> tuple[list[Parsed], list[Reason]]:
    """The first path without a fault, else the first of all with its faults. Raises NoPath."""
    faulty: tuple[list[Parsed], list[Reason]] | None = None
    for path in paths.find_paths(parsed, case):
        problems = list(rules.path_problems(path, case, trusted=True))
        if paths.rests_on_edwards(path):
            problems += paths.line_problems(path)
        if not problems:
            case.anchors.memory.keep(path, case.presented, case.policy)
            return path, problems
        faulty = faulty or (path, problems)
    if faulty is None:
        raise paths.NoPath
    return faulty


def _unconnected(error: paths.NoPath, parsed: list[Parsed], case: PathContext) -> list[Reason]:
    """Why there is no path."""
    walk = analysis.follow(parsed, case.anchors, case.policy, case.known_intermediates)
    found = [walk.end] if walk.end else []
    found += rules.path_problems(walk.path, case, trusted=walk.end is None)
    found = found or list(paths.key_problems(walk.path))
    return found or [_unexplained(error)]


def _judge_path(path: list[Parsed], problems: list[Reason], case: PathContext) -> Verdict:
    """The verdict on a path to a root; ``problems`` is what is wrong along it, and with the names."""
    leaf = path[0]
    if not problems:
        problems += revocation_problems(path, case)
    if not problems:
        problems += ocsp_problems(path, case)
    if problems:
        return _refusal(problems, case.presented.purpose, leaf)
    return accept(
        (certificate.encoded for certificate in path),
        explanation=f"{leaf.subject_text}, trusted through {path[-1].subject_text}",
        names=leaf.names.labelled(),
        subject=leaf.subject_text,
        not_after=leaf.not_after,
    )


def _unexplained(error: paths.NoPath) -> Reason:
    """The library refuses what we find nothing wrong with: constraints on addresses, odd encodings."""
    if not error.args:
        return Reason("policy", None, f"no way to a root was found by trying {MAX_PATH_SIGNATURES} signatures")
    code = "name_constraint" if "name constraint" in str(error) else "policy"
    words = reported(error, MAX_PEER_TEXT).removeprefix("validation failed: ").removeprefix("candidates exhausted: ")
    return Reason(code, None, f"the path check refuses it: {words}")


def _name_problems(leaf: Parsed, case: PathContext) -> Iterator[Reason]:
    name, policy = case.presented.server_name, case.policy
    if case.presented.purpose is not Purpose.SERVER or not case.check_name:
        return
    if name is None:
        yield Reason("name_mismatch", 0, "there is no name to compare the server's certificate with")
        return
    try:
        fits = names.matches(leaf.names, name, common_name_fallback=policy.common_name_fallback)
    except ConfigError as error:
        yield Reason("name_mismatch", 0, error.what)
        return
    if not fits:
        yield analysis.name_problem(leaf, name, policy)


def _refusal(reasons: Sequence[Reason], purpose: Purpose, leaf: Parsed | None = None) -> Verdict:
    first = reasons[0]
    return refuse(
        first.code,
        first.explanation,
        advice=analysis.advice(first.code, purpose),
        certificate_index=first.certificate_index,
        further=analysis.further_than(first, reasons),
        names=() if leaf is None else leaf.names.labelled(),
        subject="" if leaf is None else leaf.subject_text,
        not_after=None if leaf is None else leaf.not_after,
    )

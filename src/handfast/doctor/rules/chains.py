"""What is wrong with certificates and files, which each side can know by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.doctor.catalogue import causes
from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.lint.rule_table import EVERYONE, PYTHON, PYTHON_313, REFUSERS
from handfast.outcome.cause import ABOUT_CERTIFICATES
from handfast.outcome.diagnosed import BY_CLIENT_ALERT
from handfast.registry import AlertDescription
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.doctor.evidence import Attempt, Evidence, Identity, Problem

_ISSUER = {Role.CLIENT: Input.CLIENT_ISSUER, Role.SERVER: Input.SERVER_ISSUER}


def certificate_problems(evidence: Evidence) -> Iterator[Finding]:
    """What is wrong with either side's certificates or files."""
    for identity in (evidence.server, evidence.client):
        if identity is not None:
            for problem in identity.problems:
                if is_spared(identity, problem, evidence):
                    continue
                found = _finding(identity, problem, evidence)
                yield found if found.causes != ("server_wrong_name",) else _of_names(found, evidence)


def is_spared(identity: Identity, problem: Problem, evidence: Evidence) -> bool:
    """Whether a server that lets the client in shows that it does not go by this."""
    return problem.spares and identity.side is Role.CLIENT and any(one.let_in for one in evidence.attempts)


def _of_names(found: Finding, evidence: Evidence) -> Finding:
    """The finding that a certificate is for other names: it may be the one for hellos whose name is not known."""
    ours = [one for one in evidence.attempts if one.live and one.server_chain]
    with_name = next((one for one in ours if one.server_name), None)
    without = next((one for one in ours if not one.server_name), None)
    if with_name is None or without is None or with_name.server_chain[0] != without.server_chain[0]:
        return found
    said = f"asked for {with_name.server_name!r} and asked for no name, the server sends the same certificate"
    if not evidence.server_file:
        causes: tuple[str, ...] = ("server_wrong_name", "default_certificate")
    elif evidence.server_file[0] == with_name.server_chain[0]:
        causes = found.causes
    else:
        causes, said = ("default_certificate",), f"{said}, which is not that of the server's file"
    separates = Input.SERVER_CERTIFICATE if len(causes) > 1 else Input.NOTHING
    return Finding(causes=causes, evidence=(*found.evidence, said), separates=separates)


def shadowed_bundle(evidence: Evidence) -> Iterator[Finding]:
    """A CA bundle of the environment that would verify the server, behind one that does not."""
    found = evidence.shadowed
    if found is not None:
        words = f"the server is not verified by {found.used}, which is in use, and would be by {found.verifies}"
        yield Finding(causes=("bundle_shadowed",), evidence=(words,))


def server_refused(evidence: Evidence) -> Iterator[Finding]:
    """A recorded client that refuses the server's certificate, where nothing is known against it."""
    one = next((one for one in evidence.attempts if not one.live and one.server_chain and _refused_by(one)), None)
    server = evidence.server
    if one is None or (server is not None and server.problems):
        return
    alert = one.alerts[Role.CLIENT]
    codes = BY_CLIENT_ALERT.get(alert, ("server_certificate_refused",))
    if server is not None and server.signs_itself and "server_wrong_ca" in codes:
        codes = ("server_self_signed",)
    said = f"{one.title}: the client sent the alert {AlertDescription.describe(alert)} ({alert})"
    unknown = len(codes) > 1 or codes == ("server_certificate_refused",)
    yield Finding(causes=codes, evidence=(said,), separates=Input.CLIENT_TRUST if unknown else Input.NOTHING)


def _refused_by(one: Attempt) -> bool:
    return one.alerts.get(Role.CLIENT) in ABOUT_CERTIFICATES


def _finding(identity: Identity, problem: Problem, evidence: Evidence) -> Finding:
    side = str(identity.side)
    codes = tuple(code_of(side, cause) for cause in problem.causes)
    said = [problem.explanation]
    if problem.refused_by:
        said.append(_who_refuses(problem.refused_by))
    if skew := _clock(evidence, problem):
        said.append(skew)
    separates = _ISSUER[identity.side] if len(codes) > 1 else Input.NOTHING
    return Finding(causes=codes, evidence=tuple(said), separates=separates, advice=problem.advice)


def _who_refuses(refused_by: tuple[str, ...]) -> str:
    others = [REFUSERS[one] for one in EVERYONE if REFUSERS[one] not in refused_by]
    if REFUSERS[PYTHON_313] in refused_by:
        others = [f"{one} before 3.13" if one == REFUSERS[PYTHON] else one for one in others]
    return f"refused by {', '.join(refused_by)}; accepted by {', '.join(others)}"


def code_of(side: str, cause: str) -> str:
    """The code of a cause that both sides may have: "client_expired"; some are one side's only."""
    code = f"{side}_{cause}"
    return code if code in causes() else cause


def _clock(evidence: Evidence, problem: Problem) -> str:
    """What is known of the clocks, where dates are wrong."""
    if not {"expired", "not_yet_valid", "crl_stale"} & set(problem.causes):
        return ""
    ahead = [one.clock_ahead for one in evidence.attempts if one.clock_ahead is not None]
    if not ahead:
        return "as of the time here; is the clock right?"
    return f"the server's clock is {abs(ahead[0]):.0f} s {'ahead' if ahead[0] >= 0 else 'behind'}"

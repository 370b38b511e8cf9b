"""From evidence to causes. Nothing here guesses: what the evidence does not decide stays a set of causes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from handfast.doctor.evidence import NAMING_HTTP_2
from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.doctor.rules import behind, chains, hello, protocols, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handfast.doctor.evidence import Attempt, Evidence, Identity, LogLine
    from handfast.doctor.finding import Rule

# In the order in which findings are told: what comes first on the wire is first.
RULES: tuple[Rule, ...] = (
    hello.before_certificates,
    hello.after_the_hello,
    chains.shadowed_bundle,
    chains.certificate_problems,
    chains.server_refused,
    refusal.asked_later,
    refusal.none_shown,
    refusal.refused,
    refusal.never_asked,
    behind.failed_behind,
    behind.failed_itself,
    refusal.closed_later,
)
# A clock that is a few minutes wrong changes nothing for most certificates.
_MOST_SKEW = 300.0
# What a line is of that our own connections leave.
_OWN_LINES = MappingProxyType(
    {
        "no certificate": "a connection without a certificate leaves such a line, such as the doctor's first;"
        " if it is your client's, that client shows none",
        "HTTP/2": f"a connection {NAMING_HTTP_2} leaves such a line, such as the doctor's last",
    }
)
# What a line can mean that a finding explains: the server behind another one has the latter for its client.
_EXPLAINED: Mapping[tuple[str, ...], frozenset[str]] = MappingProxyType(
    {("behind_the_server",): frozenset({"no_certificate", "certificate_withheld"})}
)
# What no server's certificate is that one program accepts, no matter what else trusts it and by which name.
_SEEN_BY_VERIFYING = frozenset(
    {
        "server_expired", "server_not_yet_valid", "server_damaged", "server_issuer_not_a_ca", "server_path_too_long",
        "server_name_constraint", "server_wrong_purpose", "server_key_may_not_sign",
    }
)  # fmt: skip
# Causes that say only whose certificate was refused, and how the codes of the reasons for it begin.
_ANY_FAULT = MappingProxyType({"certificate_refused": "client_", "server_certificate_refused": "server_"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is wrong.

    Attributes:
        findings: the faults. remarks: for people; they change nothing in whether it works.
        undecided: whether there was nothing to judge by, so that no finding means nothing.
    """

    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    undecided: bool = False

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, as far as the evidence goes."""
        return not self.findings and not self.undecided


def diagnose(evidence: Evidence) -> Diagnosis:
    """The causes that fit the evidence."""
    found, remarks = list(_findings(evidence)), list(_remarks(evidence))
    for line in evidence.log:
        seen = _seen_here(line, evidence)
        narrowed = _narrowed(found, seen, evidence.client)
        if narrowed is not None:
            found = narrowed
        elif not line.causes:
            remarks.append(f"{_quoted(line)}: {line.note}")
        elif _ours(line, evidence):
            remarks.append(f"{_quoted(line)}: {_OWN_LINES[line.left_by]}")
        else:
            found.append(_of_line(seen, evidence))
    undecided = evidence.says_nothing and not found
    return Diagnosis(findings=tuple(_without_repetitions(found)), remarks=tuple(remarks), undecided=undecided)


def _findings(evidence: Evidence) -> Iterator[Finding]:
    """What the connections and the certificates show."""
    left = protocols.considered(evidence)
    found = [*protocols.protocol_named(evidence), *(finding for rule in RULES for finding in rule(left))]
    yield from found or hello.unexplained(left)
    for one in evidence.unread:
        yield Finding(causes=(f"{one.side}_files_unusable",), evidence=(one.explanation,), advice=one.advice)


def _narrowed(found: Sequence[Finding], line: LogLine, client: Identity | None) -> list[Finding] | None:
    """The findings, with those narrowed that a log line speaks of; None where none is."""
    for causes in (line.causes, line.otherwise):
        told = [_told(finding, causes, line, client) for finding in found]
        if any(told):
            return [one or finding for one, finding in zip(told, found, strict=True)]
    return None


def _told(finding: Finding, causes: tuple[str, ...], line: LogLine, client: Identity | None) -> Finding | None:
    """The finding with what a line that can have these causes says of it; None where it speaks of something else."""
    evidence = tuple(dict.fromkeys((*finding.evidence, *_said(line))))
    left = _common(finding, causes) if _agree(finding, line) else ()
    if left:
        separates = _still_separating(finding, left, line, client)
        return Finding(causes=left, evidence=evidence, separates=separates, advice=finding.advice or line.advice)
    if causes and set(causes) <= _EXPLAINED.get(finding.causes, frozenset()):
        return replace(finding, evidence=evidence)
    return None


def _agree(finding: Finding, line: LogLine) -> bool:
    """Whether both can be mended by one thing; of a file, what is known of the file itself tells more than a line."""
    one = not (finding.advice and line.advice) or finding.advice == line.advice
    return one or any(code.endswith("files_unusable") for code in finding.causes)


def _of_line(line: LogLine, evidence: Evidence) -> Finding:
    given = {Input.CLIENT_CERTIFICATE: evidence.client, Input.TARGET: next(_ours_of(evidence), None)}
    separates = Input.NOTHING if given.get(line.tells) is not None else line.tells
    return Finding(causes=line.causes, evidence=_said(line), separates=separates, advice=line.advice)


def _ours(line: LogLine, evidence: Evidence) -> bool:
    """Whether one of our own connections leaves such a line, and what it speaks of was tried otherwise too."""
    if line.left_by == "no certificate":
        return any(one.client_chain for one in _ours_of(evidence))
    return line.left_by == "HTTP/2" and any(NAMING_HTTP_2 in one.title for one in _ours_of(evidence))


def _ours_of(evidence: Evidence) -> Iterator[Attempt]:
    return (one for one in evidence.attempts if one.live)


def _said(line: LogLine) -> tuple[str, ...]:
    return (_quoted(line), line.note) if line.note else (_quoted(line),)


def _seen_here(line: LogLine, evidence: Evidence) -> LogLine:
    """The line without what our own connection excludes, where that verified the server."""
    server = evidence.server
    if server is None or not server.accepted or server.problems or not any(one.live for one in evidence.attempts):
        return line
    left = tuple(code for code in line.causes if code not in _SEEN_BY_VERIFYING)
    return replace(line, causes=left or line.causes)


def _still_separating(finding: Finding, left: tuple[str, ...], line: LogLine, client: Identity | None) -> Input:
    """What would tell which of the causes that are left it is. The log is there already."""
    if len(left) == 1 or finding.separates is not Input.SERVER_LOG:
        return finding.separates if len(left) > 1 else Input.NOTHING
    other = refusal.separating(left, client)
    if other is not Input.SERVER_LOG:
        return other
    given = line.tells is Input.CLIENT_CERTIFICATE and client is not None
    return Input.CLIENT_CA if given else line.tells


def _quoted(line: LogLine) -> str:
    return f"the log says: {line.text}" + (f" ({line.program})" if line.program else "")


def _common(finding: Finding, causes: tuple[str, ...]) -> tuple[str, ...]:
    """The causes that both leave open. One that stands for all faults of a certificate leaves open each of them."""
    common = tuple(code for code in finding.causes if code in causes)
    sides = tuple(side for code, side in _ANY_FAULT.items() if code in finding.causes)
    return common or tuple(code for code in causes if code.startswith(sides))


def _without_repetitions(found: Sequence[Finding]) -> Iterator[Finding]:
    """Each set of causes once, with all the evidence for it."""
    by_causes: dict[tuple[tuple[str, ...], str], Finding] = {}
    for finding in found:
        before = by_causes.get((finding.causes, finding.advice))
        if before is None:
            by_causes[(finding.causes, finding.advice)] = finding
        else:
            evidence = tuple(dict.fromkeys((*before.evidence, *finding.evidence)))
            by_causes[(finding.causes, finding.advice)] = replace(before, evidence=evidence)
    yield from by_causes.values()


def _remarks(evidence: Evidence) -> Iterator[str]:
    for identity in (evidence.server, evidence.client):
        if identity is not None:
            yield from identity.remarks
            for problem in identity.problems:
                if chains.is_spared(identity, problem, evidence):
                    yield f"{problem.explanation}; this server lets the client in all the same"
    yield from protocols.remarks(evidence)
    yield from (f"{one.title}: not all of it could be read: {one.unread}" for one in evidence.attempts if one.unread)
    for one in evidence.attempts:
        if one.clock_ahead is not None and abs(one.clock_ahead) > _MOST_SKEW:
            direction = "ahead of" if one.clock_ahead > 0 else "behind"
            yield f"the server's clock, by its Date header, is {abs(one.clock_ahead):.0f} s {direction} the clock here"
            return

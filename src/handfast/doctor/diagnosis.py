"""From evidence to causes. Nothing here guesses: what the evidence does not decide stays a set of causes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.doctor.rules import behind, chains, hello, protocols, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from handfast.doctor.evidence import Evidence, Identity, LogLine
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
    """What is wrong. ``remarks`` are for people: they change nothing in whether it works."""

    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, as far as the evidence goes."""
        return not self.findings


def diagnose(evidence: Evidence) -> Diagnosis:
    """The causes that fit the evidence."""
    found = list(_findings(evidence))
    for line in evidence.log:
        found = _with_log_line(found, _seen_here(line, evidence), evidence.client)
    return Diagnosis(findings=tuple(_without_repetitions(found)), remarks=tuple(_remarks(evidence)))


def _findings(evidence: Evidence) -> Iterator[Finding]:
    """What the connections and the certificates show."""
    left = protocols.considered(evidence)
    found = [*protocols.protocol_named(evidence), *(finding for rule in RULES for finding in rule(left))]
    yield from found or hello.unexplained(left)


def _seen_here(line: LogLine, evidence: Evidence) -> LogLine:
    """The line without what our own connection excludes, where that verified the server."""
    server = evidence.server
    if server is None or not server.accepted or server.problems or not any(one.live for one in evidence.attempts):
        return line
    left = tuple(code for code in line.causes if code not in _SEEN_BY_VERIFYING)
    return replace(line, causes=left or line.causes)


def _with_log_line(found: Sequence[Finding], line: LogLine, client: Identity | None) -> list[Finding]:
    """The findings, with those narrowed that a log line speaks of; one more where none is."""
    said = [_quoted(line), *([line.note] if line.note else ())]
    narrowed, spoken_of = [], False
    for finding in found:
        common = _common(finding, line)
        if common:
            spoken_of = True
            separates = _still_separating(finding, common, line, client)
            finding = Finding(causes=common, evidence=(*finding.evidence, *said), separates=separates)
        elif line.causes and set(line.causes) <= _EXPLAINED.get(finding.causes, frozenset()):
            spoken_of = True
            finding = replace(finding, evidence=(*finding.evidence, *said))
        narrowed.append(finding)
    if not spoken_of and line.causes:
        narrowed.append(Finding(causes=line.causes, evidence=tuple(said), separates=line.tells))
    return narrowed


def _still_separating(finding: Finding, left: tuple[str, ...], line: LogLine, client: Identity | None) -> Input:
    """What would tell which of the causes that are left it is. The log is there already."""
    if len(left) == 1 or finding.separates is not Input.SERVER_LOG:
        return finding.separates if len(left) > 1 else Input.NOTHING
    other = refusal.separating(left, client)
    return other if other is not Input.SERVER_LOG else line.tells


def _quoted(line: LogLine) -> str:
    return f"the log says: {line.text}" + (f" ({line.program})" if line.program else "")


def _common(finding: Finding, line: LogLine) -> tuple[str, ...]:
    """The causes that both leave open. One that stands for all faults of a certificate leaves open each of them."""
    common = tuple(code for code in finding.causes if code in line.causes)
    sides = tuple(side for code, side in _ANY_FAULT.items() if code in finding.causes)
    return common or tuple(code for code in line.causes if code.startswith(sides))


def _without_repetitions(found: Sequence[Finding]) -> Iterator[Finding]:
    """Each set of causes once, with all the evidence for it."""
    by_causes: dict[tuple[str, ...], Finding] = {}
    for finding in found:
        before = by_causes.get(finding.causes)
        if before is None:
            by_causes[finding.causes] = finding
        else:
            evidence = tuple(dict.fromkeys((*before.evidence, *finding.evidence)))
            by_causes[finding.causes] = replace(before, evidence=evidence)
    yield from by_causes.values()


def _remarks(evidence: Evidence) -> Iterator[str]:
    for identity in (evidence.server, evidence.client):
        if identity is not None:
            yield from identity.remarks
            for problem in identity.problems:
                if chains.is_spared(identity, problem, evidence):
                    yield f"{problem.explanation}; this server lets the client in all the same"
    yield from protocols.remarks(evidence)
    for line in evidence.log:
        if not line.causes:
            yield f"{_quoted(line)}: {line.note}"
    yield from (f"{one.title}: not all of it could be read: {one.unread}" for one in evidence.attempts if one.unread)
    for one in evidence.attempts:
        if one.clock_ahead is not None and abs(one.clock_ahead) > _MOST_SKEW:
            direction = "ahead of" if one.clock_ahead > 0 else "behind"
            yield f"the server's clock, by its Date header, is {abs(one.clock_ahead):.0f} s {direction} the clock here"
            return

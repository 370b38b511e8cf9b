"""What the doctor says, as data, as lines for people, and as a report that can be shown to others.

Nothing of it is secret: of keys there is nothing, certificates stand as names, dates and fingerprints, and files by the
last part of their paths.
"""

from __future__ import annotations

import re
import shlex
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from handfast.doctor.catalogue import PLACES, Fix, cause
from handfast.doctor.log_texts import faults
from handfast.outcome.certificate_words import DESCRIBER, certificate_lines
from handfast.registry import AlertDescription, SignatureScheme
from handfast.text import counted, escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handfast.doctor.diagnosis import Diagnosis
    from handfast.doctor.evidence import Attempt, Evidence, Identity, LogLine
    from handfast.doctor.finding import Finding

# Folders of paths. Dates, "HTTP/1.1", URLs and old names of subjects have slashes too; and what is requested by
# a URL is no path of this machine.
_PART = r"[^\s/\\:;,=\"'<>()]+"
_NOT_BEHIND = r"(?<![\w/.\\~-])" + "".join(rf"(?<!{method} )" for method in ("GET", "HEAD", "POST", "PUT"))
_BEGINNING = r"(?:[A-Za-z]:[/\\]+|~[\w.-]*/|\.{1,2}/|/(?![A-Za-z]+=))"
_FILE = r"[\w.-]+\.(?:pem|crt|cer|key|der|p12|pfx|jks|csr|crl|p7b|conf|cnf|log|so)\b"
_FOLDERS = re.compile(
    rf"{_NOT_BEHIND}(?:{_BEGINNING}(?:{_PART}[/\\]+)*(?={_PART})|(?:{_PART}/)+(?={_FILE}))",
)
_NAMES_SHOWN = 6
# Of more causes than these it is said only what they are.
_MOST_FIXED = 6
_WHOSE_FAULT = {
    "client": "the client's side",
    "server": "the server's side",
    "path": "what is between the two",
    "neither": "neither side's alone",
}
# Of the facts of a certificate: what is no use in a report.
_SHOWN = ("subject", "issuer", "names", "valid", "key", "signed with", "CA", "purposes", "SHA-256")


def as_dict(diagnosis: Diagnosis, evidence: Evidence) -> dict[str, Any]:
    """The diagnosis and what it rests on as plain data, for JSON."""
    return {
        "healthy": None if diagnosis.undecided else diagnosis.healthy,
        "findings": [_finding_as_dict(one, evidence) for one in diagnosis.findings],
        "remarks": list(diagnosis.remarks),
        "connections": [dict(attempt_facts(one)) for one in evidence.attempts],
        "certificates": [_identity_as_dict(one) for one in (evidence.client, evidence.server) if one is not None],
        "log": [_log_line_as_dict(one) for one in evidence.log],
        "unknown_log_lines": evidence.unknown_lines,
    }


def _finding_as_dict(finding: Finding, evidence: Evidence) -> dict[str, Any]:
    return {
        "causes": [
            {
                "code": code,
                "says": cause(code).says,
                "fault": cause(code).fault,
                "fixes": [{"does": fix.does, **fix.filled(evidence.names)} for fix in _fixes(code, finding)],
            }
            for code in finding.causes
        ],
        "decided": len(finding.causes) == 1,
        "evidence": list(finding.evidence),
        "separates": str(finding.separates),
    }


def _log_line_as_dict(line: LogLine) -> dict[str, Any]:
    return {
        "line": line.text,
        "program": line.program,
        "causes": list(line.causes),
        "separates": str(line.tells),
        "note": line.note,
    }


def _identity_as_dict(identity: Identity) -> dict[str, Any]:
    chain = [dict(line.split(": ", 1) for line in certificate_lines(one)) for one in identity.chain]
    return {
        "side": str(identity.side),
        "source": identity.source,
        "chain": chain,
        "accepted": identity.accepted,
        "by": identity.accepted_by,
    }


def finding_lines(finding: Finding, evidence: Evidence) -> Iterator[str]:
    """A finding for people: the cause or causes, what shows it, and what to do."""
    if len(finding.causes) == 1:
        yield f"cause: {_said_of(finding.causes[0])}"
    else:
        yield "cause: one of these, and what is known here does not tell which:"
        yield from (f"  - {line}" for line in _alternatives(finding.causes))
    yield from (f"  evidence: {sentence}" for sentence in finding.evidence)
    if finding.separates:
        yield f"  what would tell: {finding.separates}"
    for code in finding.causes if len(finding.causes) <= _MOST_FIXED else ():
        yield from _fix_lines(code, finding, evidence)


def _fixes(code: str, finding: Finding) -> tuple[Fix, ...]:
    """What to do about one of the causes of a finding."""
    return (Fix(finding.advice, {}),) if finding.advice else cause(code).fixes


def verdict_line(diagnosis: Diagnosis, evidence: Evidence) -> str:
    """What it comes to where no fault is found: that there is none, or that there was nothing to judge by."""
    if diagnosis.undecided:
        if evidence.unknown_lines is None:
            return "nothing can be said: there is no TLS connection in the capture"
        read = counted(evidence.unknown_lines, "line")
        return f"nothing can be said: the log has no line that is known here; {read} read"
    if evidence.log_alone:
        return "nothing in the log is a fault of TLS by itself"
    parts = [
        (any(one.live for one in evidence.attempts), "the connections"),
        (any(not one.live for one in evidence.attempts), "the capture"),
        (evidence.client is not None or evidence.server is not None, "the certificates"),
        (bool(evidence.log), "the log"),
    ]
    return f"nothing is wrong, as far as {' and '.join(name for there, name in parts if there)} can tell"


def _said_of(code: str) -> str:
    known = cause(code)
    return f"{known.says} [{code}] ({_WHOSE_FAULT[known.fault]})"


def _alternatives(causes: tuple[str, ...]) -> Iterator[str]:
    """What each of several causes says; all that can be wrong with a side's certificates is one line."""
    kinds = ", ".join(faults())
    left = {side: {f"{side}_{fault}" for fault in faults()} for side in ("client", "server")}
    whole = {code: side for side, codes in left.items() if codes <= set(causes) for code in codes}
    for code in causes:
        side = whole.get(code)
        if side is None:
            yield _said_of(code)
        elif left.pop(side, None):
            yield f"the {side}'s certificate, or what the other side holds it against: any of {kinds} [{side}_*]"


def _fix_lines(code: str, finding: Finding, evidence: Evidence) -> Iterator[str]:
    # Of what is not decided it is enough to say what would be done.
    whole = len(finding.causes) == 1
    for number, fix in enumerate(_fixes(code, finding)):
        title = "fix" if whole else f"fix for {code}"
        yield f"  {title if number == 0 else 'or'}: {fix.does}"
        shown = fix.filled(evidence.names)
        for place in shown if whole and number == 0 else [place for place in shown if place == "command"]:
            first, *others = shown[place].split("\n")
            yield f"    {PLACES[place]:11} {first}"
            yield from (f"    {'':11} {line}" for line in others)


def attempt_facts(one: Attempt) -> Iterator[tuple[str, str]]:
    """What a connection showed, a fact each."""
    facts = {
        "connection": one.title,
        "negotiated": ", ".join(part for part in (one.version, one.suite, one.group, one.protocol) if part),
        "certificate asked": str(one.asked) if one.spoke else "",
        "CA names": _names(one.ca_names),
        "schemes": SignatureScheme.describe_all(one.schemes, _NAMES_SHOWN) if one.schemes else "",
        "shown": DESCRIBER.identity(one.client_chain[0]) if one.client_chain else "",
        "server": DESCRIBER.identity(one.server_chain[0]) if one.server_chain else "",
        "alerts": ", ".join(f"{role}: {AlertDescription.describe(one.alerts[role])}" for role in one.alerts),
        "answer": f"HTTP {one.http.status} {escape(one.http.reason)}".rstrip() if one.http else "",
        "ended": f"{one.error}: {one.what}" if one.error else "",
    }
    yield from ((label, text) for label, text in facts.items() if text)


def _names(ca_names: tuple[bytes, ...] | None) -> str:
    if ca_names is None:
        return ""
    shown = ", ".join(f"[{escape(DESCRIBER.name(name))}]" for name in ca_names[:_NAMES_SHOWN])
    return f"{counted(len(ca_names), 'name')}{': ' if shown else ''}{shown}"


def report_lines(diagnosis: Diagnosis, evidence: Evidence, heading: str) -> Iterator[str]:
    """A report to show to others, in Markdown."""
    yield from ("## handfast doctor", "", heading, "")
    for one in evidence.attempts:
        yield from (f"- {label}: {text}" for label, text in attempt_facts(one))
        yield ""
    for identity in (evidence.client, evidence.server):
        if identity is not None:
            yield from _identity_lines(identity, evidence.names)
    for finding in diagnosis.findings:
        yield from (without_folders(line, evidence.names) for line in finding_lines(finding, evidence))
        yield ""
    if not diagnosis.findings:
        yield verdict_line(diagnosis, evidence)
    yield from (f"- remark: {without_folders(remark)}" for remark in diagnosis.remarks)


def _identity_lines(identity: Identity, names: Mapping[str, str]) -> Iterator[str]:
    judged = {None: "not judged", True: "accepted", False: "refused"}[identity.accepted]
    by = f" by {identity.accepted_by}" if identity.accepted_by else ""
    yield without_folders(f"the {identity.side}'s certificates, {identity.source}: {judged}{by}", names)
    for certificate in identity.chain:
        facts = (line.partition(": ") for line in certificate_lines(certificate))
        yield "- " + "; ".join(f"{label}: {text}" for label, _, text in facts if label in _SHOWN)
    yield ""


def without_folders(text: str, names: Mapping[str, str] = MappingProxyType({})) -> str:
    """The text with paths cut to their last part: folders name people and machines.

    ``names`` has the files that are known, as a shell reads them; other paths are known by how they look.
    """
    for name in sorted(names.values(), key=len, reverse=True):
        for path in shlex.split(name):
            text = text.replace(path, path.rpartition("/")[2] or path)
    return _FOLDERS.sub("", text)

"""Files looked at together: what they hold, what fits what, and what will be refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from handfast.credentials.passwords import asked_once
from handfast.lint.certificate_checks import Case, certificate_problems, key_problems
from handfast.lint.contents import Item, Kind, read
from handfast.lint.facts import CertificateFacts, Facts, facts_of, public_key_of
from handfast.lint.rule_table import RULES
from handfast.lint.set_checks import set_problems
from handfast.text import escape
from handfast.x509 import loading
from handfast.x509.certificates import Malformed, parse
from handfast.x509.purpose import Purpose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from handfast.credentials.passwords import Password
    from handfast.lint.certificate_checks import Found

_KEYS = (Kind.KEY, Kind.PUBLIC_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong or odd.

    Attributes:
        code: a key of ``RULES``.
        explanation: what was found, as the rest of a sentence about the thing; escaped.
        refused_by: who refuses it, keys of ``REFUSERS``; () for a remark.
        advice: what to do.
    """

    code: str
    explanation: str
    refused_by: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One thing in a file: what it says, what was found wrong, and which others have the same key (``fits``)."""

    item: Item
    facts: Facts
    findings: tuple[Finding, ...]
    fits: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything in the files."""

    shown: tuple[Shown, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, remarks too."""
        return tuple(finding for one in self.shown for finding in one.findings)

    @property
    def is_refused(self) -> bool:
        """Whether anybody refuses anything."""
        return any(finding.refused_by for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for JSON."""
        return {"refused": self.is_refused, "things": [_as_dict(one) for one in self.shown]}


def lint(
    *paths: str | PathLike[str],
    password: Password | None = None,
    purpose: Purpose | str | None = None,
    at: datetime | None = None,
) -> Report:
    """Read the files and look at everything in them, one by one and together.

    ``password`` opens what is encrypted. ``purpose`` is the role of the leaves ("server", "client"); without it, each
    is judged by what it says that it is for. ``at`` is the time to judge by, now if nothing is said. Raises ConfigError
    for a file that cannot be read (see ``read``).
    """
    secret = asked_once(password)
    read_items = (read(loading.read(path), escape(str(path)), secret) for path in dict.fromkeys(paths))
    items = tuple(item for found in read_items for item in found)
    case = Case(at or datetime.now(UTC), None if purpose is None else Purpose(purpose))
    return look(items, case)


def look(items: Sequence[Item], case: Case) -> Report:
    """The report on things that were read."""
    case = case._replace(ca_is_leaf=case.purpose is not None and not any(map(_is_leaf, items)))
    by_key = _by_key(items)
    among: dict[Item, list[Found]] = {item: [] for item in items}
    for item, found in set_problems(items, case):
        among[item].append(found)
    return Report(
        shown=tuple(
            Shown(
                item=item,
                facts=facts_of(item, case.at),
                findings=tuple(map(_finding, dict.fromkeys([*_alone(item, case), *among[item]]))),
                fits=tuple(_fitting(item, by_key)),
            )
            for item in items
        )
    )


def _is_leaf(item: Item) -> bool:
    try:
        return item.kind is Kind.CERTIFICATE and not parse(item.encoded).is_ca
    except Malformed:
        return False


def _alone(item: Item, case: Case) -> Iterator[Found]:
    if item.kind is Kind.CERTIFICATE:
        try:
            yield from certificate_problems(parse(item.encoded), case)
        except Malformed as error:
            yield "malformed", f"cannot be read: {error}"
    elif item.kind is not Kind.REVOCATION_LIST:
        yield from key_problems(public_key_of(item))


def _finding(found: Found) -> Finding:
    code, words = found
    rule = RULES[code]
    return Finding(code=code, explanation=words, refused_by=rule.refused_by, advice=rule.advice)


def _by_key(items: Iterable[Item]) -> dict[bytes, list[Item]]:
    """The things by the key that they hold or are."""
    found: dict[bytes, list[Item]] = {}
    for item in items:
        found.setdefault(public_key_of(item), []).append(item)
    found.pop(b"", None)
    return found


def _fitting(item: Item, by_key: Mapping[bytes, list[Item]]) -> Iterator[str]:
    """The places of what has the same key: of a certificate its keys, of a key what it was certified in."""
    for other in by_key.get(public_key_of(item), ()):
        if (other.kind in _KEYS) is not (item.kind in _KEYS):
            yield other.place


def _as_dict(one: Shown) -> dict[str, Any]:
    facts = asdict(one.facts)
    if isinstance(one.facts, CertificateFacts):
        facts = {**facts.pop("description"), **facts}
    item = one.item
    head = {"file": item.file, "number": item.number, "kind": str(item.kind), "form": item.form}
    return {**head, **facts, "fits": one.fits, "findings": [asdict(finding) for finding in one.findings]}

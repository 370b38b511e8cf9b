"""The catalogue: why mutual TLS fails, and what to do about it.

``causes.toml`` declares the causes and ``fixes.toml`` what to do, so that both can be read without a program. An entry
of causes.toml that has sides makes one cause for each.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of an entry of fixes.toml: what stands for which program, in the order in which it is shown.
PLACES = MappingProxyType(
    {
        "command": "command",
        "nginx": "nginx",
        "haproxy": "HAProxy",
        "envoy": "Envoy",
        "uvicorn": "uvicorn",
        "postgresql": "PostgreSQL",
        "go": "Go",
        "node": "Node",
        "java": "Java",
    }
)
# What stands in a fix for what is not known.
USUAL_NAMES = MappingProxyType(
    {
        "cert": "client.pem",
        "key": "client.key",
        "cacert": "ca.pem",
        "server_cert": "server.pem",
        "server_key": "server.key",
        "client_ca": "client-ca.pem",
        "crl": "crl.pem",
        "issuer": "intermediate.pem",
        "host": "HOST",
        "port": "PORT",
        "name": "NAME",
        "own_name": "NAME",
    }
)
_OTHER = {"client": "server", "server": "client"}


@dataclass(frozen=True, slots=True)
class Fix:
    """One thing to do.

    Attributes:
        does: a sentence without a period.
        templates: what to type or write, by a key of ``PLACES``.
    """

    does: str
    templates: Mapping[str, str] = field(repr=False)

    def filled(self, names: Mapping[str, str]) -> dict[str, str]:
        """What to type or write, by place, with the names that are known of files, host and port in it."""
        known = {**USUAL_NAMES, **{name: value for name, value in names.items() if value}}
        return {place: Template(self.templates[place]).substitute(known) for place in PLACES if place in self.templates}


@dataclass(frozen=True, slots=True)
class KnownCause:
    """One reason for which mutual TLS fails.

    Attributes:
        code: stable.
        says: one sentence without a period.
        fault: "client", "server", "path", or "neither" where two things that are each in order do not fit.
        signs: what it looks like from outside.
        needs: what must be known to tell it from its neighbours.
        fixes: what to do, the best first.
    """

    code: str
    says: str
    fault: str
    signs: str
    needs: str
    fixes: tuple[Fix, ...]


def cause(code: str) -> KnownCause:
    """The cause of this code. Raises KeyError."""
    return causes()[code]


@cache
def causes() -> Mapping[str, KnownCause]:
    """All causes by their codes, in the order of the declaration."""
    declared = _declaration("causes.toml")
    made = (one for name, entry in declared.items() for one in _causes_of(name, entry))
    return MappingProxyType({one.code: one for one in made})


@cache
def fixes() -> Mapping[str, Fix]:
    """All fixes by their names."""
    declared = _declaration("fixes.toml")
    return MappingProxyType(
        {
            name: Fix(entry["does"], {place: entry[place] for place in PLACES if place in entry})
            for name, entry in declared.items()
        }
    )


def _declaration(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _causes_of(name: str, entry: Mapping[str, Any]) -> Iterator[KnownCause]:
    sides = entry.get("sides")
    if sides is None:
        yield _cause(name, entry, {})
        return
    for side in sides:
        yield _cause(f"{side}_{name}", entry, {"side": side, "other": _OTHER[side]})


def _cause(code: str, entry: Mapping[str, Any], words: Mapping[str, str]) -> KnownCause:
    said = {part: entry[part].format(**words) for part in ("says", "fault", "signs", "needs")}
    return KnownCause(code=code, fixes=tuple(fixes()[fix.format(**words)] for fix in entry["fix"]), **said)

"""Which verified clients are let in: the options ``--allow-...``, and the verifier that they come to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.trust.verifiers import Verifier

    F = TypeVar("F", bound=Callable[..., object])

_FILE = click.Path(path_type=Path)


def allow_options(command: F) -> F:
    """--allow-dns, --allow-uri, --allow-cn, --allow-ou, --allow-spki, --allow-file, --allow-if."""
    decorators = (
        click.option(
            "--allow-dns",
            multiple=True,
            metavar="PATTERN",
            help="Of verified clients, let in only those with this DNS name, or what another --allow- says; * is one"
            " label. Repeatable, as the next ones.",
        ),
        click.option(
            "--allow-uri", multiple=True, metavar="PATTERN", help="... this URI; * is one segment, a last ** any rest."
        ),
        click.option(
            "--allow-cn", multiple=True, metavar="PATTERN", help="... this common name; * is what is between two dots."
        ),
        click.option("--allow-ou", multiple=True, metavar="PATTERN", help="... this organizational unit, likewise."),
        click.option("--allow-spki", multiple=True, metavar="sha256//BASE64", help="... this key, as curl pins it."),
        click.option(
            "--allow-file",
            type=_FILE,
            multiple=True,
            metavar="FILE",
            help="... one of these: a line each, as dns: *.example, with dns, uri, cn, ou or spki.",
        ),
        click.option(
            "--allow-if",
            metavar="MODULE:ATTRIBUTE",
            help="Of those, let in only whom this function returns True for; it may return a text: why not.",
        ),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


ALLOW = ("allow_dns", "allow_uri", "allow_cn", "allow_ou", "allow_spki", "allow_file", "allow_if")
"""The parameters of ``allow_options``."""


@dataclass(frozen=True, slots=True)
class WhoMay:
    """Of verified clients, those that are let in: what makes the verifier that says so, and the files it reads."""

    load: Callable[[], Verifier]
    paths: tuple[Path, ...]


def who_may(
    allow_dns: Sequence[str] = (),
    allow_uri: Sequence[str] = (),
    allow_cn: Sequence[str] = (),
    allow_ou: Sequence[str] = (),
    allow_spki: Sequence[str] = (),
    allow_file: Sequence[Path] = (),
    allow_if: str | None = None,
) -> WhoMay | None:
    """Whom these options let in; None where none is given. Raises ConfigError."""
    given = {
        "dns": tuple(allow_dns),
        "uris": tuple(allow_uri),
        "common_names": tuple(allow_cn),
        "organizational_units": tuple(allow_ou),
        "keys": tuple(allow_spki),
    }
    paths = tuple(allow_file)
    if not any(given.values()) and not paths and allow_if is None:
        return None
    from handfast.trust.allow import Allowed, entries_in
    from handfast.trust.combined import AllOf
    from handfast.trust.decided import Decided

    # A function's module is imported once: it is a program, not a file of settings.
    decided = () if allow_if is None else (Decided.named(allow_if),)

    def load() -> Verifier:
        entries = {kind: list(values) for kind, values in given.items()}
        for path in paths:
            for kind, values in entries_in(path).items():
                entries[kind] += values
        allowed = (Allowed(**entries),) if any(entries.values()) else ()
        both: tuple[Verifier, ...] = (*allowed, *decided)
        return both[0] if len(both) == 1 else AllOf(*both)

    return WhoMay(load, paths)

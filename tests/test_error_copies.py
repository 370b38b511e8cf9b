"""Errors in other processes: each is pickled and copied with all that it says."""

from __future__ import annotations

import copy
import pickle
import string
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from handfast import errors
from handfast.errors import CertificateRejected, ConfigError, HandfastError, LocalFailure, PeerRejected
from handfast.keyholder.link import NotAsked
from handfast.verdict import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def kinds(base: type[HandfastError] = HandfastError) -> Iterator[type[HandfastError]]:
    """All classes of errors, those of other modules too."""
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def made(kind: type[HandfastError], code: str) -> HandfastError:
    """An error of this code, with something for each of its placeholders."""
    entry = kind.catalogue[code]
    text = entry.what + entry.hint + entry.server_hint + kind.default_hint
    fields = {(name, spec) for _, name, spec, _ in string.Formatter().parse(text) if name}
    details: dict[str, Any] = {name: 7 if spec else f"a {name}\x1b" for name, spec in fields}
    if issubclass(kind, CertificateRejected):
        details["verdict"] = refuse("expired", "long ago")
    return kind(code, **details)


def ways() -> list[Any]:
    pickled = [
        pytest.param(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)), id=f"pickle {protocol}"
        )
        for protocol in (0, 2, pickle.HIGHEST_PROTOCOL)
    ]
    return [*pickled, pytest.param(copy.copy, id="copy"), pytest.param(copy.deepcopy, id="deepcopy")]


def test_all_classes_of_errors_are_tried() -> None:
    public = {getattr(errors, name) for name in errors.__all__} - {HandfastError}
    assert {one for one in public if isinstance(one, type) and issubclass(one, HandfastError)} <= set(kinds())
    assert NotAsked in set(kinds())


@pytest.mark.parametrize("way", ways())
@pytest.mark.parametrize("kind", sorted(kinds(), key=str))
def test_an_error_of_every_code_comes_out_as_it_went_in(kind: type[HandfastError], way: Callable[[Any], Any]) -> None:
    for code in kind.catalogue:
        for server in (False, True):
            error = made(kind, code)
            error.add_note("a note of the program")
            error.hint_to(server=server)
            error.as_in_tls12()
            again = way(error)
            assert type(again) is kind
            assert again is not error
            assert vars(again) == vars(error)
            assert (again.args, str(again), again.explain()) == (error.args, str(error), error.explain())
            assert traceback.format_exception_only(again) == traceback.format_exception_only(error)


@pytest.mark.parametrize("way", ways())
def test_what_is_done_to_a_copy_is_not_done_to_the_error(way: Callable[[Any], Any]) -> None:
    error = PeerRejected("unknown_ca", alert="unknown_ca (48)", stage="")
    before = list(error.__notes__)
    again = way(error)
    again.hint_to(server=True)
    again.add_note("more")
    again.details["alert"] = "another"
    assert error.__notes__ == before
    assert error.details["alert"] == "unknown_ca (48)"
    # The copy's own hint has taken the place of the first one.
    assert again.__notes__ == [f"hint: {again.hint}", "more"]
    assert again.hint != error.hint


@pytest.mark.parametrize("way", ways())
def test_what_cannot_be_pickled_goes_as_text(way: Callable[[Any], Any]) -> None:
    class Foreign(Exception):
        """Of a class that no other process finds."""

    error = LocalFailure("holder_lost", holder="h", reason=Foreign("\x1b[2J"))
    again = way(error)
    assert (again.what, again.hint) == (error.what, error.hint)
    assert again.details == {"holder": "h", "reason": "\\x1b[2J"}
    locked = ConfigError("bad_option", option="o", reason=threading.Lock(), advice="a")
    assert way(locked).details["reason"].startswith("<unlocked")

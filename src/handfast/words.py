"""Words where a program may say them: names of registries and of modes, checked and made into what the engine reads.

The error for anything else names what was given and what is accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar, dataclass_transform

from handfast.errors import bad_option
from handfast.registry import Registry
from handfast.text import escape

T = TypeVar("T")
Given = TypeVar("Given", contravariant=True)
Kept = TypeVar("Kept", covariant=True)
Mode = TypeVar("Mode", bound=StrEnum)

# Characters of a word that an error repeats; what is longer is no slip of the pen.
_LONGEST_WORD = 60

if TYPE_CHECKING:

    class Setting(Generic[Given, Kept]):
        """What a type checker sees of a field that takes what is Given and holds what is Kept."""

        def __get__(self, instance: object, owner: Any = None, /) -> Kept: ...
        def __set__(self, instance: object, value: Given, /) -> None: ...


@dataclass_transform(kw_only_default=True)
def settings(kind: type[T]) -> type[T]:
    """A frozen dataclass whose arguments are all given by name, and whose fields may be a ``Setting``."""
    return dataclass(frozen=True, kw_only=True)(kind)


def default(value: object) -> Any:
    """The default of a ``Setting``."""
    return value


def numbers(
    option: str,
    given: object,
    known: Collection[int],
    registry: type[Registry],
    cannot: str = "handfast does not speak",
) -> tuple[Registry, ...]:
    """The members of ``known`` that ``given`` lists, by name or by number. Raises ConfigError bad_option otherwise."""
    spoken = ", ".join(registry.describe(number) for number in known)
    advice = f'give a list, as {option}=["{registry.describe(next(iter(known)))}"], of: {spoken}'
    if not is_list(given):
        raise bad_option(option, f"{named(given)} is no list", advice)
    chosen = tuple(_number(option, one, registry, advice) for one in given)
    if not chosen:
        raise bad_option(option, "is empty", "leave it out for the default")
    for number in chosen:
        if number not in known:
            raise bad_option(option, f"{cannot} {registry.describe(number)}", advice)
    if len(set(chosen)) != len(chosen):
        raise bad_option(option, "names a value twice", "name each once")
    return tuple(map(registry, chosen))


def _number(option: str, given: object, registry: type[Registry], advice: str) -> int:
    if isinstance(given, str):
        try:
            return registry.parse(given)
        except KeyError:
            raise bad_option(option, f"{named(given)} is no name that handfast knows", advice) from None
    if not isinstance(given, int) or isinstance(given, bool):
        raise bad_option(option, f"{named(given)} is neither a name nor a number", advice)
    return given


def mode(option: str, given: object, kind: type[Mode]) -> Mode:
    """The member that ``given`` is or names. Raises ConfigError bad_option for any other thing."""
    word(option, given, kind)
    return kind(str(given))


def word(option: str, given: object, words: Iterable[str]) -> None:
    """Raise ConfigError bad_option for what is none of the ``words``."""
    known = list(map(str, words))
    if not isinstance(given, str) or given not in known:
        among = f"neither of {' and '.join(known)}" if len(known) == 2 else f"none of {', '.join(known)}"
        raise bad_option(option, f"{named(given)} is {among}", f"give {choices(known)}")


def choices(words: Iterable[str]) -> str:
    """The words as a program writes them: '"error" or "end"'."""
    *others, last = [f'"{one}"' for one in words]
    return f"{', '.join(others)} or {last}"


def is_list(given: object) -> TypeGuard[Sequence[object]]:
    """Whether this is a list, a tuple or the like, and neither text nor bytes."""
    return isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray | memoryview)


def named(given: object) -> str:
    """What a program gave, for an error: a word or a number as it is, of any other thing its kind."""
    if isinstance(given, str | bytes | int | float) and len(repr(given)) <= _LONGEST_WORD:
        return escape(repr(given))
    return kind_of(given)


def kind_of(given: object) -> str:
    """What kind of thing a program gave, for an error that does not repeat it."""
    if given is None or isinstance(given, type):
        return "None" if given is None else f"the class {given.__name__}"
    return f"a {type(given).__name__}"

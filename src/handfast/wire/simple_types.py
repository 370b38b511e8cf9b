"""The simple types of the presentation language, numbers and opaque bytes: RFC 9846 3.3 to 3.5. See ``codec.py``.

A type reads by ``read(data, at, end)``, which returns the value and the offset after it. ``end`` is where the innermost
container ends, so that nothing can read past it. A reader does not know where in a message it stands: it raises
``Undecodable``, to which each container on the way out adds its own name. A message that parses pays nothing for that:
what has a length first looks whether all is well, and only if not asks ``read_length`` what is wrong.

``reading`` and ``writing`` give the same as lines of Python, of which ``codec.py`` compiles the function of a struct.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from handfast.registry import Registry

Reader = Callable[[bytes, int, int], tuple[Any, int]]
Writer = Callable[[Any], bytes]


class Undecodable(Exception):
    """Bytes do not decode: the code of the catalogue, its details, and the names of the containers, inmost first."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
        self.path: list[str] = []


class TooMany(Undecodable):
    """A list is too long. It is not read again to say where it stands: that would double its cost at each level."""

    def __init__(self, limit: int) -> None:
        super().__init__("too_many_items", limit=limit)


def truncated(missing: int) -> NoReturn:
    """Raises: a field needs ``missing`` bytes more than its container has."""
    raise Undecodable("truncated", missing=missing)


class Bounded(Protocol):
    """What has a length prefix: the bounds of the contents and the size of the prefix."""

    minimum: int
    maximum: int
    prefix: int


def read_length(data: bytes, at: int, end: int, vector: Bounded) -> tuple[int, int]:
    """Where the contents behind the length prefix at ``at`` start and stop, checked. RFC 9846 3.4."""
    start = at + vector.prefix
    if start > end:
        truncated(start - end)
    length = int.from_bytes(data[at:start], "big")
    if not vector.minimum <= length <= vector.maximum:
        raise Undecodable("length_out_of_bounds", length=length, minimum=vector.minimum, maximum=vector.maximum)
    stop = start + length
    if stop > end:
        truncated(stop - end)
    return start, stop


def write_length(content: bytes, vector: Bounded) -> bytes:
    """The contents with their length prefix. Raises ValueError outside the bounds."""
    length = len(content)
    if not vector.minimum <= length <= vector.maximum:
        raise ValueError(f"{length} bytes, outside {vector.minimum}..{vector.maximum}")
    return length.to_bytes(vector.prefix, "big") + content


def reading_length(vector: Bounded) -> list[str]:
    """The lines of ``read_length``: they leave ``at`` and ``stop`` around the contents."""
    p = vector.prefix
    number = {1: "data[at - 1]", 2: "(data[at - 2] << 8 | data[at - 1])"}.get(p, f"int.from_bytes(data[at - {p} : at])")
    bounds = f"{vector.minimum} <= stop - at <= {vector.maximum}"
    return [f"at += {p}", f"stop = at + {number}", f"if stop > end or not {bounds}: raise ValueError"]


def writing_length(vector: Bounded, name: str) -> list[str]:
    """The lines of ``write_length``, for the contents in ``name``."""
    return [
        f"size = len({name})",
        f"if not {vector.minimum} <= size <= {vector.maximum}: raise ValueError",
        f"{name} = size.to_bytes({vector.prefix}, 'big') + {name}",
    ]


class Codec(Protocol):
    """One type of the presentation language."""

    @property
    def read(self) -> Reader:
        """Gives the value at ``at`` and the offset after it. Raises Undecodable."""

    @property
    def write(self) -> Writer:
        """Gives the bytes of a value. Raises ValueError when it is outside the declared bounds."""


class UInt:
    """``uint8`` to ``uint32``, or an enum of that size, whose numbers ``registry`` names. RFC 9846 3.3 and 3.5."""

    __slots__ = ("registry", "size")

    def __init__(self, size: int, registry: type[Registry] | None = None) -> None:
        self.size = size
        self.registry = registry

    def read(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        stop = at + self.size
        if stop > end:
            truncated(stop - end)
        return int.from_bytes(data[at:stop], "big"), stop

    def reading(self, name: str) -> list[str]:
        number = {1: "data[at]", 2: "data[at] << 8 | data[at + 1]"}.get(self.size, "int.from_bytes(data[at:stop])")
        return [f"stop = at + {self.size}", "if stop > end: raise ValueError", f"{name} = {number}", "at = stop"]

    def writing(self, name: str) -> list[str]:
        return [f"{name} = {name}.to_bytes({self.size}, 'big')"]

    def write(self, value: int) -> bytes:
        try:
            return value.to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError(f"{value} does not fit {self.size} bytes") from None


class Fixed:
    """``opaque name[size]``. RFC 9846 3.4."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        stop = at + self.size
        if stop > end:
            truncated(stop - end)
        return data[at:stop], stop

    def reading(self, name: str) -> list[str]:
        return [f"stop = at + {self.size}", "if stop > end: raise ValueError", f"{name} = data[at:stop]", "at = stop"]

    def writing(self, name: str) -> list[str]:
        return [f"if len({name}) != {self.size}: raise ValueError"]

    def write(self, value: bytes) -> bytes:
        if len(value) != self.size:
            raise ValueError(f"{len(value)} bytes instead of {self.size}")
        return value


class Opaque:
    """``opaque name<minimum..maximum>``; ``printable`` says that it holds a name for people. RFC 9846 3.4."""

    __slots__ = ("maximum", "minimum", "prefix", "printable")

    def __init__(self, minimum: int, maximum: int, *, printable: bool = False) -> None:
        self.minimum = minimum
        self.maximum = maximum
        self.prefix = (maximum.bit_length() + 7) // 8
        self.printable = printable

    def read(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        start = at + self.prefix
        stop = start + int.from_bytes(data[at:start], "big")
        if stop > end or not self.minimum <= stop - start <= self.maximum:
            read_length(data, at, end, self)
        return data[start:stop], stop

    def reading(self, name: str) -> list[str]:
        return [*reading_length(self), f"{name} = data[at:stop]", "at = stop"]

    def writing(self, name: str) -> list[str]:
        return writing_length(self, name)

    def write(self, value: bytes) -> bytes:
        return write_length(value, self)


class Remainder:
    """Opaque bytes without a length of their own: they end where their container ends."""

    __slots__ = ()

    def read(self, data: bytes, at: int, end: int) -> tuple[bytes, int]:
        return data[at:end], end

    def reading(self, name: str) -> list[str]:
        return [f"{name} = data[at:end]", "at = end"]

    def writing(self, name: str) -> list[str]:
        return []

    def write(self, value: bytes) -> bytes:
        return value

"""The presentation language of RFC 9846 section 3, as declarations.

A message is declared once, as the RFC prints it, and everything that concerns its bytes is derived from that::

    @tls_struct
    class KeyShareEntry(Struct):
        group: Annotated[int, UInt(2, NamedGroup), "The group that the key is of."]
        key_exchange: Annotated[bytes, Opaque(1, 2**16 - 1), "The public key."]

``decode`` and ``encode`` parse and build, both within the declared bounds; ``fields.py`` walks the same declarations to
say what every byte is, and the tests derive their random messages from them. The sentence of a field, and what opens
the docstring of a struct, are for people: ``explained.py``.

Numbers and opaque bytes are in ``simple_types.py``, which says how reading works; what is made of other types is here,
vectors and structs. A container that is not used up is an error of the container. Each struct and vector that an
``Undecodable`` leaves adds its own name to the path, and ``decode`` turns that into the error of the catalogue.

A struct is read and written by a function in a straight line, which is compiled from the lines that its fields give for
it. It takes only what is well-formed: on anything else it starts over field by field, and that says what is wrong.

Lengths and bounds are bytes throughout, of vectors too, as in the RFC.
"""

from __future__ import annotations

import inspect
import struct
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, dataclass_transform

from handfast import limits
from handfast.errors import BadMessage, PeerMisbehaved
from handfast.wire.simple_types import (
    Bounded,
    Codec,
    Fixed,
    Opaque,
    Reader,
    Remainder,
    TooMany,
    UInt,
    Undecodable,
    Writer,
    read_length,
    reading_length,
    truncated,
    write_length,
    writing_length,
)

# What declarations are made with, and what walks over them: all from here, wherever it is defined.
__all__ = [
    "Bounded",
    "Codec",
    "Fixed",
    "Opaque",
    "Remainder",
    "Struct",
    "StructCodec",
    "TooMany",
    "UInt",
    "Undecodable",
    "Vector",
    "catalogued",
    "decode",
    "encode",
    "read_length",
    "tls_struct",
    "truncated",
    "write_length",
]


class Vector:
    """``Item name<minimum..maximum>``, as a tuple. RFC 9846 3.4."""

    __slots__ = ("item", "letter", "maximum", "minimum", "most", "prefix", "size")

    def __init__(
        self, item: Codec | type[Struct], minimum: int, maximum: int, *, most: int = limits.MAX_LIST_ITEMS
    ) -> None:
        """``most`` items are read of a list whose items are not numbers."""
        self.item = _codec(item)
        self.most = most
        self.minimum = minimum
        self.maximum = maximum
        self.prefix = (maximum.bit_length() + 7) // 8
        # Integers go through one call of the struct module, by its letter for their size.
        self.size = self.item.size if isinstance(self.item, UInt) else 0
        self.letter = {0: "", 1: "B", 2: "H", 4: "I"}[self.size]

    def read(self, data: bytes, at: int, end: int) -> tuple[tuple[Any, ...], int]:
        start = at + self.prefix
        stop = start + int.from_bytes(data[at:start], "big")
        if stop > end or not self.minimum <= stop - start <= self.maximum:
            read_length(data, at, end, self)
        if not self.letter:
            return self._read_items(data, start, stop), stop
        count, left_over = divmod(stop - start, self.size)
        if left_over:
            truncated(self.size - left_over)
        return struct.unpack_from(f">{count}{self.letter}", data, start), stop

    def reading(self, name: str) -> list[str] | None:
        if not self.letter:
            return None
        return [
            *reading_length(self),
            f"count, left_over = divmod(stop - at, {self.size})",
            "if left_over: raise ValueError",
            f"{name} = unpack_from(f'>{{count}}{self.letter}', data, at)",
            "at = stop",
        ]

    def writing(self, name: str) -> list[str] | None:
        if not self.letter:
            return None
        return [f"{name} = pack(f'>{{len({name})}}{self.letter}', *{name})", *writing_length(self, name)]

    def _read_items(self, data: bytes, at: int, stop: int) -> tuple[Any, ...]:
        items: list[Any] = []
        read, most = self.item.read, self.most
        try:
            while at < stop:
                if len(items) >= most:
                    raise TooMany(most)
                item, at = read(data, at, stop)
                items.append(item)
        except Undecodable as error:
            error.path.append(f"[{len(items)}]")
            raise
        return tuple(items)

    def write(self, value: tuple[Any, ...]) -> bytes:
        if not self.letter:
            return write_length(b"".join(map(self.item.write, value)), self)
        try:
            return write_length(struct.pack(f">{len(value)}{self.letter}", *value), self)
        except struct.error as error:
            raise ValueError(f"an item does not fit its type: {error}") from None


class StructCodec:
    """``struct { ... }``: the fields in order. RFC 9846 3.6. Its functions are compiled when it is used again."""

    __slots__ = ("_used", "cls", "fields", "read", "write")

    def __init__(self, cls: type[Struct], fields: tuple[tuple[str, Codec], ...]) -> None:
        self.cls = cls
        self.fields = fields
        self._used = False
        self.read: Reader = self._first_read
        self.write: Writer = self._first_write

    def compiled(self) -> StructCodec:
        """This codec, with the functions that read and write in a straight line."""
        if self.read == self._first_read:
            self.read, self.write = _straight(self.cls, self.fields)
        return self

    def _first_read(self, data: bytes, at: int, end: int) -> tuple[Any, int]:
        return self._once_by_field()[0](data, at, end)

    def _first_write(self, value: Any) -> bytes:
        return self._once_by_field()[1](value)

    def _once_by_field(self) -> tuple[Reader, Writer]:
        # Compiling takes as long as some twenty uses, and many structs are used once by a program.
        if self._used:
            made = self.compiled()
            return made.read, made.write
        self._used = True
        return _by_field(self.cls, self.fields)


# What a straight-line function raises for what is not well-formed. The function for field by field then says the error.
_NOT_WELL_FORMED = (ValueError, OverflowError, IndexError, struct.error, Undecodable)
# The types that give the lines of their fields; of any other the function is called.
_WITH_LINES = UInt, Fixed, Opaque, Remainder, Vector


def _straight(cls: Any, fields: tuple[tuple[str, Codec], ...]) -> tuple[Reader, Writer]:
    """Reading and writing in a straight line: the lines of the fields, one after the other, in one function each."""
    read_fields, write_fields = _by_field(cls, fields)
    scope: dict[str, Any] = {
        "cls": cls,
        "NOT_WELL_FORMED": _NOT_WELL_FORMED,
        "TooMany": TooMany,
        "pack": struct.pack,
        "unpack_from": struct.unpack_from,
        "read_fields": read_fields,
        "write_fields": write_fields,
    }
    reading, writing = [], []
    for number, (name, codec) in enumerate(fields):
        value = f"value{number}"
        one = codec.compiled() if isinstance(codec, StructCodec) else codec
        scope |= {f"read{number}": one.read, f"write{number}": one.write}
        lines = codec.reading(value) if isinstance(codec, _WITH_LINES) else None
        reading += [f"{value}, at = read{number}(data, at, end)"] if lines is None else lines
        lines = codec.writing(value) if isinstance(codec, _WITH_LINES) else None
        called = [f"{value} = write{number}(struct.{name})"]
        writing += called if lines is None else [f"{value} = struct.{name}", *lines]
    values = [f"value{number}" for number in range(len(fields))]
    reading.append(f"return cls({', '.join(values)}), at")
    writing.append(f"return {' + '.join(values) or repr(b'')}")
    exec(  # The text is made of the declarations alone.
        "\n".join(
            (
                "def read(data, at, end):",
                "    start = at",
                *_attempt(reading, "return read_fields(data, start, end)"),
                "def write(struct):",
                *_attempt(writing, "return write_fields(struct)"),
            )
        ),
        scope,
    )
    return scope["read"], scope["write"]


def _attempt(lines: list[str], otherwise: str) -> list[str]:
    """The body of a function that does ``lines``, and ``otherwise`` where what it is given is not well-formed."""
    body = [f"        {line}" for line in lines]
    passed_on = ["    except TooMany:", "        raise"]
    return ["    try:", *body, *passed_on, "    except NOT_WELL_FORMED:", f"        {otherwise}"]


def _by_field(cls: Any, fields: tuple[tuple[str, Codec], ...]) -> tuple[Reader, Writer]:
    readers = tuple([codec.read for _, codec in fields])
    writers = tuple([(name, codec.write) for name, codec in fields])

    def read(data: bytes, at: int, end: int) -> tuple[Any, int]:
        values: list[Any] = []
        try:
            for read_field in readers:
                value, at = read_field(data, at, end)
                values.append(value)
        except Undecodable as error:
            error.path.append(fields[len(values)][0])
            raise
        return cls(*values), at

    def write(value: Any) -> bytes:
        parts: list[bytes] = []
        try:
            for name, write_field in writers:
                parts.append(write_field(getattr(value, name)))
        except ValueError as error:
            raise ValueError(f"{cls.__name__}.{fields[len(parts)][0]}: {error}") from None
        return b"".join(parts)

    return read, write


class Struct:
    """Base of every declared struct; ``CODEC`` is what ``tls_struct`` derived from the declaration."""

    __slots__ = ()
    CODEC: ClassVar[StructCodec]


T = TypeVar("T")
S = TypeVar("S", bound=Struct)


@dataclass_transform(field_specifiers=(field,))
def tls_struct(cls: type[T]) -> type[T]:
    """Class decorator: a dataclass with slots whose ``Annotated`` fields are its bytes, in order."""
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    hints = inspect.get_annotations(cls, eval_str=True)
    codecs = tuple(
        (name, _codec(hint.__metadata__[0])) for name, hint in hints.items() if hasattr(hint, "__metadata__")
    )
    made.CODEC = StructCodec(made, codecs)
    # Shared by all: a dataclass would compile its own for each, which doubles the time this package takes to import.
    made.__eq__, made.__hash__ = _equal, None
    if "__repr__" not in vars(cls):
        made.__repr__ = _shown
    finished: type[T] = made
    return finished


def _equal(one: Struct, other: object) -> bool:
    return type(one) is type(other) and all(getattr(one, name) == getattr(other, name) for name, _ in one.CODEC.fields)


def _shown(value: Struct) -> str:
    fields = ", ".join(f"{name}={getattr(value, name)!r}" for name, _ in value.CODEC.fields)
    return f"{type(value).__name__}({fields})"


def _codec(declared: Codec | type[Struct]) -> Codec:
    return declared.CODEC if isinstance(declared, type) else declared


def decode(cls: type[S], data: bytes, *, at: int = 0) -> S:
    """The struct in ``data[at:]``, all of it.

    Raises BadMessage (truncated, trailing_bytes, length_out_of_bounds, too_many_items) or PeerMisbehaved
    (duplicate_extension).
    """
    end = len(data)
    try:
        value, stopped = cls.CODEC.read(data, at, end)
        if stopped != end:
            raise Undecodable("trailing_bytes", extra=end - stopped)
    except Undecodable as error:
        raise catalogued(error, cls) from None
    found: S = value
    return found


def encode(value: Struct) -> bytes:
    """The bytes of a struct. Raises ValueError, with the field's name, when a value is outside its bounds."""
    return value.CODEC.write(value)


def catalogued(error: Undecodable, cls: type[Struct]) -> BadMessage | PeerMisbehaved:
    """The error of the catalogue for bytes that are no ``cls``."""
    message = cls.__name__
    if error.code == "duplicate_extension":
        return PeerMisbehaved(error.code, message=message, **error.details)
    if not error.path and error.code == "trailing_bytes":
        error.path.append(cls.CODEC.fields[-1][0] if cls.CODEC.fields else "its header")
    field_name = ".".join(reversed(error.path)).replace(".[", "[")
    return BadMessage(error.code, message=message, field=field_name, **error.details)

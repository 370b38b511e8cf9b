"""The block of extensions at the end of a message, whatever extensions stand in it. RFC 9846 4.3."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from handfast.limits import MAX_LIST_ITEMS
from handfast.registry import ExtensionType
from handfast.wire.codec import Struct, TooMany, Undecodable, read_length, truncated, write_length


class ExtensionBody(Struct):
    """Base of all extension bodies."""

    __slots__ = ()
    EXTENSION_TYPE: ClassVar[int]


@dataclass(slots=True)
class OpaqueExtension(ExtensionBody):
    """An extension that is unknown, or known and not defined for the message it stands in; ``data`` is its body."""

    extension_type: int
    data: bytes


Body = TypeVar("Body", bound=ExtensionBody)
Forms = Mapping[int, type[ExtensionBody]]


def forms(*classes: type[ExtensionBody]) -> Forms:
    """Which extensions a message may hold: extension type -> the class of its form there."""
    return {cls.EXTENSION_TYPE: cls for cls in classes}


class Extensions(dict[int, ExtensionBody]):
    """The extensions of one message: extension type -> body, in the order of the wire."""

    __slots__ = ()

    @classmethod
    def of(cls, *bodies: ExtensionBody) -> "Extensions":
        """A block with these extensions in this order. Raises ValueError for two of one type."""
        block = cls()
        for body in bodies:
            extension_type = body.extension_type if type(body) is OpaqueExtension else body.EXTENSION_TYPE
            if extension_type in block:
                raise ValueError(f"two extensions of type {ExtensionType.describe(extension_type)}")
            block[extension_type] = body
        return block

    def find(self, cls: type[Body]) -> Body | None:
        """The extension in the form ``cls``, or None."""
        body = self.get(cls.EXTENSION_TYPE)
        return body if isinstance(body, cls) else None


class PartlyDecoded(Extensions):
    """The extensions of a ClientHello some of which did not decode: those are opaque, and ``undecoded`` says why.

    Whether that matters depends on the version that is spoken, which the hello alone does not settle.
    """

    __slots__ = ("undecoded",)

    def __init__(self, block: Extensions) -> None:
        super().__init__(block)
        self.undecoded: dict[int, Undecodable] = {}


_HEADER = struct.Struct(">HH")


class ExtensionBlock:
    """``Extension extensions<minimum..2^16-1>``, each body in the form that ``forms`` has for it. RFC 9846 4.3.

    ``absent`` says that the message may end without the block, as before TLS 1.3; an empty one is then not written.
    ``judged_later``: a body that does not decode is not refused here, and makes the block a ``PartlyDecoded``.
    """

    __slots__ = ("absent", "forms", "judged_later", "maximum", "minimum", "prefix")

    def __init__(self, forms: Forms, minimum: int = 0, *, absent: bool = False, judged_later: bool = False) -> None:
        self.forms = forms
        self.minimum = minimum
        self.maximum = 2**16 - 1
        self.prefix = 2
        self.absent = absent
        self.judged_later = judged_later

    def read(self, data: bytes, at: int, end: int) -> tuple[Extensions, int]:
        block = Extensions()
        if self.absent and at == end:
            return block, end
        at, stop = read_length(data, at, end, self)
        forms = self.forms
        while at < stop:
            if len(block) >= MAX_LIST_ITEMS:
                raise TooMany(MAX_LIST_ITEMS)
            start = at + 4
            if start > stop:
                truncated(start - stop)
            extension_type, length = _HEADER.unpack_from(data, at)
            at = start + length
            try:
                if at > stop:
                    truncated(at - stop)
                if extension_type in block:
                    raise Undecodable("duplicate_extension", extension=ExtensionType.describe(extension_type))
                form = forms.get(extension_type)
                if form is None:
                    block[extension_type] = OpaqueExtension(extension_type, data[start:at])
                    continue
                block[extension_type], stopped = form.CODEC.read(data, start, at)
                if stopped != at:
                    raise Undecodable("trailing_bytes", extra=at - stopped)
            except Undecodable as error:
                error.path.append(ExtensionType.describe(extension_type))
                if not self.judged_later or at > stop or error.code == "duplicate_extension":
                    raise
                if not isinstance(block, PartlyDecoded):
                    block = PartlyDecoded(block)
                block[extension_type] = OpaqueExtension(extension_type, data[start:at])
                block.undecoded[extension_type] = error.with_traceback(None)
        return block, stop

    def write(self, value: Extensions) -> bytes:
        if self.absent and not value:
            return b""
        parts: list[bytes] = []
        for extension_type, body in value.items():
            data = body.data if type(body) is OpaqueExtension else body.CODEC.write(body)
            try:
                parts += (_HEADER.pack(extension_type, len(data)), data)
            except struct.error:
                words = f"extension type {extension_type} or its {len(data)} bytes do not fit 16 bits"
                raise ValueError(words) from None
        return write_length(b"".join(parts), self)

"""What every byte of a message is: the declarations, walked over the bytes.

``fields_of`` gives a flat list in the order of the wire. A container (a vector, a struct, an extension) stands before
what it contains, with ``depth`` one less; the other fields are leaves, and every byte belongs to exactly one leaf. A
length prefix is a leaf called after what it measures, ``cipher_suites.length``, and stands beside it. To print a
message, indent by ``depth`` and write ``name: text``; to dump it, do so for the leaves and show ``raw[start:end]``.

Bytes that do not parse give the fields up to the first that does not, and one leaf ``undecoded`` for the rest: nothing
here raises.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from handfast.registry import ExtensionType, HandshakeType, Registry
from handfast.registry.meanings import meanings
from handfast.registry.sentences import Explained, split
from handfast.text import escape
from handfast.wire import explained
from handfast.wire.codec import Opaque, StructCodec, UInt, Undecodable, Vector, read_length
from handfast.wire.extensions import ExtensionBlock
from handfast.wire.messages import MESSAGES, Messages
from handfast.wire.parsing import message_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.wire.codec import Bounded, Codec, Struct

Path = tuple[str, ...]


class Kind(StrEnum):
    """What a field is."""

    CONTAINER = "container"
    LENGTH = "length"
    VALUE = "value"
    UNDECODED = "undecoded"


@dataclass(slots=True)
class Field:
    """One field: ``raw[start:end]``.

    ``value`` is an int, bytes, or None for a container. ``text`` is for people: the registered name of a number, a
    host name with what does not print escaped, other bytes in hex; of a container, what it holds in short.

    ``said`` is the sentence of its declaration, "" for a struct without one of its own; ``source`` opens with the
    sentence and the section of the innermost struct or extension around it; ``registry`` names what its number means.
    """

    path: Path
    start: int
    end: int
    value: int | bytes | None
    text: str
    kind: Kind
    said: str = field(default="", repr=False, compare=False)
    source: str = field(default="", repr=False, compare=False)
    registry: type[Registry] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The last part of the path; ``[2]`` for the third item of a vector."""
        return self.path[-1]

    @property
    def depth(self) -> int:
        """How many containers it stands in."""
        return len(self.path) - 1

    @property
    def leaf(self) -> bool:
        """Whether it is one of those that cover each byte once."""
        return self.kind is not Kind.CONTAINER

    @property
    def sentence(self) -> str:
        """What the field is, in one sentence for people."""
        return self.said or split(self.source).sentence

    @property
    def rfc(self) -> str:
        """The section that tells of the innermost struct or extension around the field."""
        return split(self.source).rfc

    @property
    def meanings(self) -> tuple[Explained, ...]:
        """What the number in the field means: a sentence, of a cipher suite one for each part; () if none is known."""
        return meanings(self.registry, self.value) if self.registry and isinstance(self.value, int) else ()


def fields_of(raw: bytes, messages: Messages = MESSAGES) -> list[Field]:
    """The fields of a handshake message, out of a version's ``messages``, with its 4-byte header. RFC 9846 4."""
    walk = _Walk(raw)
    with suppress(Undecodable):
        at = walk.said(explained.MESSAGE_TYPE).value(_HANDSHAKE_TYPE, ("msg_type",), 0, len(raw))
        walk.said(explained.MESSAGE_LENGTH)
        at = walk.value(_HANDSHAKE_LENGTH, ("length",), at, len(raw), Kind.LENGTH)
        cls = message_class(raw, messages)
        if cls is not None:
            walk.members(cls.CODEC, (), at, min(len(raw), at + int.from_bytes(raw[1:at], "big")))
    return walk.finished()


def fields_of_struct(raw: bytes, cls: type[Struct]) -> list[Field]:
    """The fields of a struct that is not a handshake message: an Alert, a RecordHeader."""
    walk = _Walk(raw)
    with suppress(Undecodable):
        walk.members(cls.CODEC, (), 0, len(raw))
    return walk.finished()


_HANDSHAKE_TYPE = UInt(1, HandshakeType)
_HANDSHAKE_LENGTH = UInt(3)
_EXTENSION_TYPE = UInt(2, ExtensionType)
_EXTENSION_DATA = Opaque(0, 2**16 - 1)


class _Walk:
    """Each method appends the fields of one declared thing and returns the offset after it, or raises Undecodable.

    ``sentence`` and ``source`` are what the next field is told.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fields: list[Field] = []
        self.covered = 0
        self.sentence = ""
        self.source = explained.HANDSHAKE

    def said(self, sentence: str) -> _Walk:
        """This walk, which says ``sentence`` of the next field."""
        self.sentence = sentence
        return self

    def any(self, codec: Codec, path: Path, at: int, end: int) -> int:
        """Whatever ``codec`` declares."""
        match codec:
            case Opaque():
                return self.opaque(codec, path, at, end)
            case Vector():
                return self.vector(codec, path, at, end)
            case ExtensionBlock():
                return self.extensions(codec, path, at, end)
            case StructCodec():
                container = self.container(path, at, end)
                container.source = codec.cls.__doc__ or ""
                container.end = self.members(codec, path, at, end)
                return container.end
            case _:
                return self.value(codec, path, at, end)

    def members(self, codec: StructCodec, path: Path, at: int, end: int) -> int:
        """The fields of a struct, without a container around them."""
        around, self.source = self.source, codec.cls.__doc__ or ""
        sentences = explained.sentences(codec.cls)
        for name, member in codec.fields:
            at = self.said(sentences.get(name, "")).any(member, (*path, name), at, end)
        self.source = around
        return at

    def value(self, codec: Codec, path: Path, at: int, end: int, kind: Kind = Kind.VALUE) -> int:
        """One number, or opaque bytes without a length of their own."""
        value, stop = codec.read(self.data, at, end)
        registry = codec.registry if isinstance(codec, UInt) else None
        return self.leaf(path, at, stop, value, _text(codec, value), kind, registry)

    def opaque(self, codec: Opaque, path: Path, at: int, end: int) -> int:
        start, stop = self.length(codec, path, at, end)
        value = self.data[start:stop]
        return self.leaf(path, start, stop, value, _text(codec, value), Kind.VALUE)

    def vector(self, codec: Vector, path: Path, at: int, end: int) -> int:
        at, stop = self.length(codec, path, at, end)
        container = self.container(path, at, stop)
        first, count = len(self.fields), 0
        sentence = "" if isinstance(codec.item, StructCodec) else self.sentence
        while at < stop:
            at = self.said(sentence).any(codec.item, (*path, f"[{count}]"), at, stop)
            count += 1
        shown = isinstance(codec.item, UInt) or (isinstance(codec.item, Opaque) and codec.item.printable)
        container.text = _summary(count, self.fields[first:] if shown else ())
        return at

    def extensions(self, block: ExtensionBlock, path: Path, at: int, end: int) -> int:
        if block.absent and at == end:
            return at
        at, stop = self.length(block, path, at, end)
        container = self.container(path, at, stop)
        count = 0
        while at < stop:
            at = self.extension(block, path, at, stop)
            count += 1
        container.text = _summary(count, ())
        return at

    def extension(self, block: ExtensionBlock, path: Path, at: int, end: int) -> int:
        extension_type, _ = _EXTENSION_TYPE.read(self.data, at, end)
        path = (*path, ExtensionType.describe(extension_type))
        form = block.forms.get(extension_type)
        around, self.source = self.source, explained.about_extension(extension_type, form)
        container = self.said("").container(path, at, end)
        at = self.said(explained.EXTENSION_TYPE).value(_EXTENSION_TYPE, (*path, "extension_type"), at, end)
        self.said(explained.EXTENSION_DATA)
        if form is None:
            container.end = self.opaque(_EXTENSION_DATA, (*path, "extension_data"), at, end)
            self.source = around
            return container.end
        at, container.end = self.length(_EXTENSION_DATA, (*path, "extension_data"), at, end)
        if self.members(form.CODEC, path, at, container.end) != container.end:
            raise Undecodable("trailing_bytes")
        self.source = around
        return container.end

    def length(self, codec: Bounded, path: Path, at: int, end: int) -> tuple[int, int]:
        """The length prefix of what stands at ``path``; returns where that starts and stops."""
        start, stop = read_length(self.data, at, end, codec)
        sentence = self.sentence
        self.said(explained.LENGTH)
        self.leaf((*path[:-1], f"{path[-1]}.length"), at, start, stop - start, str(stop - start), Kind.LENGTH)
        self.said(sentence)
        return start, stop

    def container(self, path: Path, start: int, end: int) -> Field:
        made = Field(path, start, end, None, "", Kind.CONTAINER, self.sentence, self.source)
        self.fields.append(made)
        return made

    def leaf(
        self,
        path: Path,
        start: int,
        end: int,
        value: int | bytes,
        text: str,
        kind: Kind,
        registry: type[Registry] | None = None,
    ) -> int:
        self.fields.append(Field(path, start, end, value, text, kind, self.sentence, self.source, registry))
        self.covered = end
        return end

    def finished(self) -> list[Field]:
        """All fields, with one for what is left over."""
        end = len(self.data)
        if self.covered < end:
            rest = self.data[self.covered :]
            self.source = explained.DECODING
            self.said(explained.UNDECODED).leaf(("undecoded",), self.covered, end, rest, rest.hex(), Kind.UNDECODED)
        return self.fields


def _text(codec: Codec, value: int | bytes) -> str:
    if isinstance(value, int):
        registry = codec.registry if isinstance(codec, UInt) else None
        return str(value) if registry is None else registry.describe(value)
    return escape(value) if isinstance(codec, Opaque) and codec.printable else value.hex()


def _summary(count: int, items: Sequence[Field]) -> str:
    shown = [item.text for item in items if item.kind is Kind.VALUE]
    return ", ".join(shown) if shown else f"{count} {'entry' if count == 1 else 'entries'}"

"""docs/messages.md, made from the declarations by ``python -m handfast.tools.pages.messages``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast import events
from handfast.keys import secret_names
from handfast.registry import (
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    ExtensionType,
    HandshakeType,
    ProtocolVersion,
    Registry,
    registries,
)
from handfast.registry import meanings as numbers
from handfast.registry.sentences import split
from handfast.wire import alerts
from handfast.wire import explained as common
from handfast.wire.codec import Codec, Struct, StructCodec, Vector
from handfast.wire.explained import explained, sentences
from handfast.wire.extension_block import ExtensionBody
from handfast.wire.messages import MESSAGES, Extended, HandshakeMessage, HelloRetryRequest
from handfast.wire.messages12 import MESSAGES_12
from handfast.wire.messages_old import messages_of
from handfast.wire.records import RecordHeader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from handfast.registry.sentences import Explained

_INTRODUCTION = """\
# What is said in a handshake

Each message, its fields, its extensions, the secrets and the alerts, in a sentence each, with the section that tells
more. They are the words that `--explain` adds to a trace.

This file is made from the declarations in `handfast/wire/`, and from the tables beside the other names, by
`python -m handfast.tools.pages.messages`.
"""


def message_page() -> str:
    """The whole page, in Markdown."""
    parts = (_wire(), _extensions(), _keys(), _alerts(), _numbers(), _events())
    return "\n".join([_INTRODUCTION, *(line for part in parts for line in part)])


def versions() -> dict[str, list[type[HandshakeMessage]]]:
    """The messages under the title of the version that has this form of them first."""
    older = messages_of(ProtocolVersion.TLS11)
    current = list(MESSAGES.values())
    current.insert(2, HelloRetryRequest)
    return {
        "Messages of TLS 1.3": current,
        "Messages of TLS 1.2": [cls for cls in MESSAGES_12.values() if cls not in current],
        "Messages before TLS 1.2": [cls for cls in older.values() if cls not in MESSAGES_12.values()],
    }


def forms() -> list[type[ExtensionBody]]:
    """Every form of every extension, by the number of its type."""
    found = {form: None for cls in carriers() for form in cls.EXTENSIONS.values()}
    return sorted(found, key=lambda form: form.EXTENSION_TYPE)


def carriers() -> list[type[Extended]]:
    """The structs and messages that have extensions."""
    messages = [cls for group in versions().values() for cls in group]
    inner = [part for cls in messages for part in parts_of(cls)]
    return [cls for cls in dict.fromkeys([*messages, *inner]) if issubclass(cls, Extended)]


def parts_of(cls: type[Struct]) -> list[type[Struct]]:
    """The structs inside a struct."""
    return [part for _, codec in cls.CODEC.fields if (part := _struct_in(codec)) is not None]


def _struct_in(codec: Codec) -> type[Struct] | None:
    inner = codec.item if isinstance(codec, Vector) else codec
    return inner.cls if isinstance(inner, StructCodec) else None


def _wire() -> Iterator[str]:
    yield "## Records\n"
    yield from _struct(RecordHeader)
    yield from _table("what a record holds", _described(ContentType, numbers.CONTENT_TYPES))
    yield "## In every message\n"
    yield f"{_cell(split(common.HANDSHAKE))}\n"
    everywhere = {
        "msg_type": common.MESSAGE_TYPE,
        "length": common.MESSAGE_LENGTH,
        "NAME.length": common.LENGTH,
        "extension_type": common.EXTENSION_TYPE,
        "extension_data": common.EXTENSION_DATA,
        "undecoded": common.UNDECODED,
    }
    yield from _table("field", everywhere.items())
    for title, messages in versions().items():
        yield f"## {title}\n"
        for cls in messages:
            yield f"### {cls.__name__} ({int(cls.HANDSHAKE_TYPE)}, {HandshakeType.describe(cls.HANDSHAKE_TYPE)})\n"
            yield from _struct(cls)


def _struct(cls: type[Struct]) -> Iterator[str]:
    """The sentence, the fields, and what is inside of them."""
    yield f"{_cell(explained(cls))}\n"
    yield from _table("field", _fields(cls))
    if issubclass(cls, Extended):
        names = (ExtensionType.describe(number) for number in sorted(cls.EXTENSIONS))
        yield f"Extensions: {', '.join(f'[{name}](#{name})' for name in names)}.\n"
    for part in parts_of(cls):
        yield f"Each `{part.__name__}`: {_cell(explained(part))}\n"
        yield from _table("field", _fields(part))


def _fields(cls: type[Struct]) -> Iterator[tuple[str, str]]:
    said = sentences(cls)
    return ((name, said[name]) for name, _ in cls.CODEC.fields)


def _extensions() -> Iterator[str]:
    yield "## Extensions\n"
    shown = None
    for form in forms():
        name = ExtensionType.describe(form.EXTENSION_TYPE)
        if name != shown:
            shown = name
            yield f"### {name}\n"
        places = [cls.__name__ for cls in carriers() if form in cls.EXTENSIONS.values()]
        yield f"In {', '.join(dict.fromkeys(places))}: {_cell(explained(form))}\n"
        yield from _table("field", _fields(form))
        for part in parts_of(form):
            yield f"Each `{part.__name__}`: {_cell(explained(part))}\n"
            yield from _table("field", _fields(part))
    others = {
        **{ExtensionType.describe(number): text for number, text in numbers.EXTENSIONS.items()},
        "a known one elsewhere": numbers.MISPLACED_EXTENSION,
        "an unknown one": numbers.UNKNOWN_EXTENSION,
        "GREASE": numbers.GREASE,
    }
    yield "### Others\n"
    yield from _table("extension", _split(others))


def _keys() -> Iterator[str]:
    yield "## Secrets\n"
    later = {"client_application_traffic_secret_N, server_application_traffic_secret_N": secret_names.NEXT_GENERATION}
    yield from _table("secret of TLS 1.3", _split({**secret_names.MEANINGS, **later}))
    yield from _table("secret of TLS 1.2", _split(secret_names.MEANINGS_12))
    yield "## Proofs\n"
    yield from _table("proof", _split(events.CHECKS))


def _alerts() -> Iterator[str]:
    yield "## Alerts\n"
    yield from _struct(alerts.Alert)
    yield from _table("level", _described(AlertLevel, numbers.ALERT_LEVELS))
    yield from _table("alert", _described(AlertDescription, numbers.ALERTS))


def _numbers() -> Iterator[str]:
    yield "## Numbers\n"
    told = (ContentType, AlertLevel, AlertDescription, ExtensionType, HandshakeType)
    for registry in registries():
        if registry in told:
            continue
        yield f"### {registry.__name__}\n"
        if registry is CipherSuite:
            yield from _suites()
            continue
        rows: dict[tuple[Explained, ...], list[str]] = {}
        for member in registry:
            rows.setdefault(numbers.meanings(registry, member), []).append(str(member))
        yield from _table("name", ((", ".join(names), _cell(meaning)) for (meaning,), names in rows.items()))


def _suites() -> Iterator[str]:
    yield "The name of a suite is made of parts, each of which means something.\n"
    exchanges = {f"TLS_{name}_WITH_" if name else "TLS_": text for name, text in numbers.SUITE_KEY_EXCHANGES.items()}
    yield from _table("key exchange", _split(exchanges))
    yield from _table("cipher", _split(numbers.SUITE_CIPHERS))
    yield from _table("hash", _split(numbers.SUITE_HASHES))
    yield from _table("signal", _described(CipherSuite, numbers.SUITE_SIGNALS))


def _events() -> Iterator[str]:
    yield "## Events\n"
    yield from _table("event", ((kind.__name__, _cell(split(kind.__doc__))) for kind in events.kinds()))


def _described(registry: type[Registry], texts: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    return ((f"{registry.describe(number)} ({int(number)})", _cell(split(text))) for number, text in texts.items())


def _split(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, _cell(split(text))) for name, text in texts.items())


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A table of names and sentences; nothing for no rows."""
    lines = [f"| `{name}` | {text} |" for name, text in rows]
    if lines:
        yield "\n".join([f"| {title} | what it is |", "|---|---|", *lines]) + "\n"


def _cell(said: Explained) -> str:
    return f"{said.sentence} ({said.rfc})" if said.rfc else said.sentence


if __name__ == "__main__":
    print(message_page(), end="")

"""Every sentence that the package says of what is in a handshake, with the place where it is said."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import TYPE_CHECKING

from handfast import events, wire
from handfast.keys import secret_names
from handfast.registry import meanings, registries
from handfast.registry.sentences import Explained, split
from handfast.wire import explained
from handfast.wire.codec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def structs() -> list[type[Struct]]:
    """Every declared struct of the wire."""
    modules = [
        importlib.import_module(f"{wire.__name__}.{found.name}") for found in pkgutil.iter_modules(wire.__path__)
    ]
    found = {
        cls: None
        for module in modules
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Struct) and "CODEC" in vars(cls) and cls is not Struct
    }
    return list(found)


def tables() -> dict[str, Mapping[str, str] | Mapping[int, str]]:
    """The tables of texts beside the declarations."""
    return {
        "MEANINGS": secret_names.MEANINGS,
        "MEANINGS_12": secret_names.MEANINGS_12,
        "CHECKS": events.CHECKS,
        "CONTENT_TYPES": meanings.CONTENT_TYPES,
        "ALERT_LEVELS": meanings.ALERT_LEVELS,
        "ALERTS": meanings.ALERTS,
        "EXTENSIONS": meanings.EXTENSIONS,
        "SUITE_KEY_EXCHANGES": meanings.SUITE_KEY_EXCHANGES,
        "SUITE_CIPHERS": meanings.SUITE_CIPHERS,
        "SUITE_HASHES": meanings.SUITE_HASHES,
        "SUITE_SIGNALS": meanings.SUITE_SIGNALS,
    }


def with_section() -> Iterator[tuple[str, Explained]]:
    """What has a section beside its sentence."""
    for cls in structs():
        yield f"{cls.__module__}.{cls.__name__}", explained.explained(cls)
    for title, table in tables().items():
        yield from ((f"{title}: {key!r}", split(text)) for key, text in table.items())
    for registry in registries():
        for member in registry:
            for said in meanings.meanings(registry, member):
                yield f"{registry.__name__}.{member.name}", said
    for owner in (meanings, explained, secret_names):
        for name in ("GREASE", "UNKNOWN_EXTENSION", "MISPLACED_EXTENSION", "HANDSHAKE", "DECODING", "NEXT_GENERATION"):
            if isinstance(text := vars(owner).get(name), str):
                yield name, split(text)


def without_section() -> Iterator[tuple[str, str]]:
    """Sentences of fields, which have the section of their struct, and of events."""
    for cls in structs():
        for name, sentence in explained.sentences(cls).items():
            yield f"{cls.__module__}.{cls.__name__}.{name}", sentence
    for name in ("LENGTH", "MESSAGE_TYPE", "MESSAGE_LENGTH", "EXTENSION_TYPE", "EXTENSION_DATA", "UNDECODED"):
        yield name, vars(explained)[name]
    for kind in events.kinds():
        yield kind.__name__, split(kind.__doc__).sentence


def all_sentences() -> list[str]:
    """Each once, in the order of the declarations."""
    said = [*((place, one.sentence) for place, one in with_section()), *without_section()]
    return list(dict.fromkeys(sentence for _, sentence in said))

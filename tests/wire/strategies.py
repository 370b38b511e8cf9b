"""Random values of what ``handfast.wire`` declares, derived from the declarations."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from handfast.registry import ExtensionType
from handfast.wire import messages12
from handfast.wire.codec import Codec, Fixed, Opaque, Remainder, Struct, StructCodec, UInt, Vector
from handfast.wire.extensions import (
    ExtensionBlock,
    ExtensionBody,
    Extensions,
    OpaqueExtension,
    SupportedVersionsServerHello,
)
from handfast.wire.messages import (
    HELLO_RETRY_REQUEST_RANDOM,
    MESSAGES,
    HandshakeMessage,
    HelloRetryRequest,
    Messages,
    ServerHello,
)
from handfast.wire.messages12 import MESSAGES_12

MESSAGE_CLASSES = [
    *MESSAGES.values(),
    HelloRetryRequest,
    *[cls for cls in MESSAGES_12.values() if cls not in MESSAGES.values()],
]
# How far a random value goes beyond its minimum: enough to cross every branch, little enough to be quick.
MORE_BYTES = 40
MORE_ITEMS = 3


def structs(cls: type[Struct], **known: SearchStrategy) -> SearchStrategy:
    """Values of a struct; ``known`` overrides the strategy of a field."""
    fields = {name: known[name] if name in known else values(codec) for name, codec in cls.CODEC.fields}
    return st.builds(cls, **fields)


def table_of(cls: type[HandshakeMessage]) -> Messages:
    """The messages of a version that this one is of."""
    return MESSAGES_12 if MESSAGES_12.get(cls.HANDSHAKE_TYPE) is cls else MESSAGES


def messages(cls: type[HandshakeMessage], **known: SearchStrategy) -> SearchStrategy:
    if cls is HelloRetryRequest:
        known["random"] = st.just(HELLO_RETRY_REQUEST_RANDOM)
    if cls is ServerHello:
        extensions = known.get("extensions", values(dict(cls.CODEC.fields)["extensions"]))
        known["extensions"] = extensions.map(selecting_a_version)
    if cls is messages12.ServerHello:
        extensions = known.get("extensions", values(dict(cls.CODEC.fields)["extensions"]))
        known["extensions"] = extensions.map(selecting_no_version)
    return structs(cls, **known)


def selecting_no_version(block: Extensions) -> Extensions:
    """A ServerHello with it is parsed as TLS 1.3's."""
    return Extensions({kind: body for kind, body in block.items() if kind != ExtensionType.supported_versions})


def selecting_a_version(block: Extensions) -> Extensions:
    """A ServerHello without it is parsed as TLS 1.2's."""
    selected = SupportedVersionsServerHello(0x0304)
    return Extensions({**block, SupportedVersionsServerHello.EXTENSION_TYPE: selected, **block})


def any_message() -> SearchStrategy:
    return st.sampled_from(MESSAGE_CLASSES).flatmap(messages)


def values(codec: Codec) -> SearchStrategy:
    match codec:
        case UInt():
            return st.integers(0, 256**codec.size - 1)
        case Fixed():
            return st.binary(min_size=codec.size, max_size=codec.size)
        case Opaque():
            return st.binary(min_size=codec.minimum, max_size=min(codec.maximum, codec.minimum + MORE_BYTES))
        case Remainder():
            return st.binary(max_size=MORE_BYTES)
        case Vector():
            fewest = -(-codec.minimum // smallest(codec.item))
            return st.lists(values(codec.item), min_size=fewest, max_size=fewest + MORE_ITEMS).map(tuple)
        case StructCodec():
            return structs(codec.cls)
        case ExtensionBlock():
            return blocks(codec)
    raise TypeError(codec)


def smallest(codec: Codec) -> int:
    """How many bytes the shortest value of this type has."""
    match codec:
        case UInt() | Fixed():
            return codec.size
        case Remainder():
            return 0
        case StructCodec():
            return sum(smallest(member) for _, member in codec.fields)
        case ExtensionBlock(absent=True):
            return 0
        case Opaque() | Vector() | ExtensionBlock():
            return codec.prefix + codec.minimum
    raise TypeError(codec)


def blocks(codec: ExtensionBlock) -> SearchStrategy:
    bodies = st.one_of(unknown_extensions(codec), *map(structs, codec.forms.values()))
    several = st.lists(bodies, max_size=5, unique_by=extension_type)
    return several.map(lambda chosen: Extensions.of(*chosen)).filter(lambda block: fits(codec, block))


def unknown_extensions(codec: ExtensionBlock) -> SearchStrategy:
    """What the message has no form for: unknown numbers, GREASE, and known extensions in the wrong place."""
    others = st.integers(0, 2**16 - 1).filter(lambda number: number not in codec.forms)
    return st.builds(OpaqueExtension, others, st.binary(max_size=MORE_BYTES))


def extension_type(body: ExtensionBody) -> int:
    return body.extension_type if isinstance(body, OpaqueExtension) else body.EXTENSION_TYPE


def fits(codec: ExtensionBlock, block: Extensions) -> bool:
    try:
        codec.write(block)
    except ValueError:
        return False
    return True

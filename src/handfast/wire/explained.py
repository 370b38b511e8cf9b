"""What the declarations say of themselves to people: a sentence and a section for each message, struct and extension.

The sentence and the section of a struct open its docstring, and the sentence of a field is the third part of its
``Annotated``. Without docstrings (``python -OO``) nothing is said of structs.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from handfast.registry import ExtensionType, is_grease
from handfast.registry.meanings import EXTENSIONS, GREASE, MISPLACED_EXTENSION, UNKNOWN_EXTENSION
from handfast.registry.sentences import Explained, split

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handfast.wire.codec import Struct
    from handfast.wire.extension_block import ExtensionBody

# Said of every length, of the parts of every extension, and of what does not decode.
LENGTH = "How many bytes the next part takes."
MESSAGE_TYPE = "Which handshake message this is."
MESSAGE_LENGTH = "How many bytes of the message follow."
EXTENSION_TYPE = "Which extension this is."
EXTENSION_DATA = "The content of the extension, which does not decode here."
UNDECODED = "Bytes that are not what should stand here."
# Of the header of a message, and of what does not decode, where no struct says more.
HANDSHAKE = "The four bytes before each message: which it is, and how long. RFC 9846 4."
DECODING = "The rules by which bytes are read. RFC 9846 3."


def explained(cls: type[Struct]) -> Explained:
    """What a struct, message or extension is, and its section; both "" without docstrings."""
    return split(cls.__doc__)


def sentences(cls: type[Struct]) -> Mapping[str, str]:
    """What each declared field of a struct is, by its name."""
    parts = {name: getattr(hint, "__metadata__", ()) for name, hint in inspect.get_annotations(cls).items()}
    return {name: said[0] for name, (_, *said) in ((name, part) for name, part in parts.items() if part) if said}


def about_extension(extension_type: int, form: type[ExtensionBody] | None) -> str:
    """The text for an extension, with its section, in the form that its message has for it, None where it has none."""
    if form is not None:
        return form.__doc__ or ""
    if is_grease(extension_type):
        return GREASE
    other = MISPLACED_EXTENSION if extension_type in set(ExtensionType) else UNKNOWN_EXTENSION
    return EXTENSIONS.get(extension_type, other)

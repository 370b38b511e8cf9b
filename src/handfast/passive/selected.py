"""What a server selected, in whatever version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.wire.extensions import ProtocolNameList

if TYPE_CHECKING:
    from handfast.wire.messages import EncryptedExtensions
    from handfast.wire.messages12 import ServerHello


def selected_protocol(answer: ServerHello | EncryptedExtensions) -> str | None:
    """The ALPN protocol that the server selected, in whatever version."""
    selected = answer.find(ProtocolNameList)
    names = () if selected is None else selected.protocol_name_list
    return names[0].decode("utf-8", "backslashreplace") if len(names) == 1 else None

"""Events as JSON, one object a line: every message with all of its fields and where in it they stand.

Secrets, tickets, PSK identities and application data are left out unless asked for, as in the trace.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handfast.events import (
    AlertSeen,
    Checked,
    Closed,
    Epoch,
    Event,
    KeysChanged,
    MessageSeen,
    Negotiated,
    Noted,
    RecordSeen,
    Secret,
    SecretDerived,
    SecretLevel,
)
from handfast.lens.dump import SESSION_FIELDS
from handfast.registry import (
    AlertDescription,
    AlertLevel,
    CipherSuite,
    ContentType,
    NamedGroup,
    ProtocolVersion,
)
from handfast.roles import Direction
from handfast.text import escape
from handfast.wire import messages12
from handfast.wire.compression import certificate_in
from handfast.wire.fields import Field, Kind, fields_of
from handfast.wire.messages import MESSAGES, CompressedCertificate
from handfast.wire.messages_old import messages_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.outcome.describer import Describer


class JsonEvents:
    """An observer that writes one line for each event, and whose method ``secret`` is a secret sink.

    ``levels`` are the secrets that may be shown; with traffic secrets goes application data.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        connection: int,
        describer: Describer,
        levels: frozenset[SecretLevel] = frozenset(),
    ) -> None:
        self._write = write
        self._connection = connection
        self._describer = describer
        self._levels = levels
        self._messages = MESSAGES
        self._values: dict[str, bytes] = {}

    def secret(self, secret: Secret) -> None:
        """Keep a secret's value, if it may be shown, until its event."""
        if secret.level in self._levels:
            self._values[secret.name] = secret.value

    def __call__(self, event: Event) -> None:
        said = self._said(event)
        if said is not None:
            self.write(said[0], event.time, **said[1])

    def write(self, kind: str, time: float, **said: Any) -> None:
        """One line that is no event's."""
        self._write(json.dumps({"connection": self._connection, "event": kind, "time": time, **said}))

    def _said(self, event: Event) -> tuple[str, dict[str, Any]] | None:
        match event:
            case RecordSeen():
                return "record", self._record(event)
            case MessageSeen():
                return "message", self._message(event)
            case AlertSeen():
                return "alert", {
                    "direction": event.direction,
                    "level": AlertLevel.describe(event.level),
                    "description": AlertDescription.describe(event.description),
                    "number": int(event.description),
                    "authenticated": event.authenticated,
                }
            case Checked():
                return "check", {"direction": event.direction, "what": event.what, "ok": event.ok}
            case Negotiated():
                return "negotiated", _negotiated(event)
            case KeysChanged():
                suite = CipherSuite.describe(event.suite) if event.suite else ""
                return "keys", {"direction": event.direction, "epoch": event.epoch, "suite": suite}
            case SecretDerived():
                value = self._values.pop(event.name, None)
                shown = {} if value is None else {"value": value.hex()}
                return "secret", {"name": event.name, "label": event.label, "inputs": event.inputs, **shown}
            case Noted():
                return "note", {"direction": event.direction, "code": event.code, "text": event.text}
            case Closed():
                return "closed", {"direction": event.direction, "how": event.how}
        return None

    def _record(self, record: RecordSeen) -> dict[str, Any]:
        said: dict[str, Any] = {
            "direction": record.direction,
            "index": record.index,
            "type": ContentType.describe(record.content_type),
            "length": len(record.header) + len(record.body),
            "keys": record.epoch,
        }
        if record.unreadable_reason:
            return said | {"unread": record.unreadable_reason}
        if record.epoch is not Epoch.PLAINTEXT:
            said["content_length"] = len(record.content)
        if record.content_type == ContentType.application_data and SecretLevel.TRAFFIC in self._levels:
            said["data"] = record.content.hex()
        return said

    def _message(self, event: MessageSeen) -> dict[str, Any]:
        message = event.message
        if isinstance(message, messages12.ServerHello) and event.direction is Direction.SERVER_TO_CLIENT:
            self._messages = messages_of(message.server_version)
        said: dict[str, Any] = {
            "direction": event.direction,
            "message": type(message).__name__,
            "records": event.records,
            "length": len(event.raw),
            "fields": self._fields(event.raw),
        }
        inside = certificate_in(message) if isinstance(message, CompressedCertificate) else None
        return said if inside is None else said | {"inflated": self._fields(inside.raw)}

    def _fields(self, raw: bytes) -> list[dict[str, Any]]:
        return [self._field(field) for field in fields_of(raw, self._messages) if field.kind is not Kind.CONTAINER]

    def _field(self, field: Field) -> dict[str, Any]:
        said: dict[str, Any] = {"path": ".".join(field.path), "offset": field.start, "length": field.end - field.start}
        if field.name in SESSION_FIELDS and SecretLevel.ALL not in self._levels:
            return said | {"hidden": True}
        value = field.value.hex() if isinstance(field.value, bytes) else field.value
        said["value"] = value
        if field.text != str(value):
            said["text"] = field.text
        if isinstance(field.value, bytes) and field.name == "cert_data":
            said["text"] = self._describer.identity(field.value)
        return said


def _negotiated(event: Negotiated) -> dict[str, Any]:
    return {
        "version": ProtocolVersion.describe(event.version),
        "suite": CipherSuite.describe(event.suite),
        "group": None if event.group is None else NamedGroup.describe(event.group),
        "retried": event.retried,
        "server_name": None if event.server_name is None else escape(event.server_name),
        "application_protocol": event.application_protocol,
    }

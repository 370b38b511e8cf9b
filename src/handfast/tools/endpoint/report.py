"""What came of a connection, as data and as a JSON line. Field names and error codes are stable."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import TYPE_CHECKING

from handfast.errors import HandfastError, PeerRejected
from handfast.events import AlertSeen, Closed, Event, MessageSeen
from handfast.lens import outcome as lens
from handfast.registry import AlertDescription, AlertLevel, name_of
from handfast.roles import Role
from handfast.wire.messages import KeyUpdate
from handfast.x509 import pem
from handfast.x509.describe import describe
from handfast.x509.distinguished_names import rfc4514

if TYPE_CHECKING:
    from handfast.engine import ConnectionInfo
    from handfast.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The error that ended the connection; docs/errors.md lists the codes."""

    code: str
    kind: str
    text: str
    fault: str
    rfc: str
    hint: str

    @classmethod
    def of(cls, error: HandfastError) -> Failure:
        """The error as data."""
        kind = type(error).__name__
        return cls(code=error.code, kind=kind, text=error.what, fault=error.fault, rfc=error.rfc, hint=error.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class FatalAlert:
    """The alert that ended the connection. ``direction`` is ``sent`` or ``received``; ``level`` and ``encrypted`` are
    None without observers."""

    name: str
    number: int
    direction: str
    level: str | None
    encrypted: bool | None

    @classmethod
    def seen(cls, event: AlertSeen, role: Role) -> FatalAlert:
        """The alert as an observer saw it."""
        return cls(
            name=AlertDescription.describe(event.description),
            number=event.description,
            direction="sent" if event.direction is role.sends else "received",
            level=AlertLevel.describe(event.level),
            encrypted=event.authenticated,
        )

    @classmethod
    def behind(cls, error: HandfastError | None) -> FatalAlert | None:
        """What an error alone tells of its alert."""
        if isinstance(error, PeerRejected) and error.code in AlertDescription.__members__:
            number, direction = AlertDescription[error.code], "received"
        elif error is not None and error.alert is not None:
            number, direction = error.alert, "sent"
        else:
            return None
        return cls(name=number.name, number=int(number), direction=direction, level=None, encrypted=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """The parameters, by their registered names; None for what was not settled. ``ca_names`` are RFC 4514 text."""

    version: str | None
    suite: str | None
    group: str | None
    peer_scheme: str | None
    own_scheme: str | None
    application_protocol: str | None
    server_name: str | None
    retried: bool
    resumed: bool
    early_data: str
    client_auth_requested: bool
    certificate_sent: bool
    ca_names: tuple[str, ...] | None

    @classmethod
    def of(cls, info: ConnectionInfo) -> Negotiated:
        """The engine's numbers as names."""
        return cls(
            version=name_of(info.version),
            suite=name_of(info.suite),
            group=name_of(info.group),
            peer_scheme=name_of(info.peer_scheme),
            own_scheme=name_of(info.own_scheme),
            application_protocol=info.application_protocol,
            server_name=info.server_name,
            retried=info.retried,
            resumed=info.resumed,
            early_data=info.early_data,
            client_auth_requested=info.client_auth_requested,
            certificate_sent=info.certificate_sent,
            ca_names=None if info.ca_names is None else tuple(map(rfc4514, info.ca_names)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedCertificate:
    """One certificate of the chain that the peer presented."""

    subject: str
    sha256: str
    pem: str

    @classmethod
    def of(cls, certificate: bytes) -> PresentedCertificate:
        """A DER certificate."""
        described = describe(certificate)
        text = pem.encode(pem.CERTIFICATE, certificate).decode("ascii")
        return cls(subject=described.subject, sha256=described.sha256, pem=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on the peer's chain. ``reasons`` are codes, the one that counts first."""

    accepted: bool
    code: str
    explanation: str
    advice: str
    reasons: tuple[str, ...]

    @classmethod
    def of(cls, verdict: Verdict) -> Judgement:
        """The verdict without its certificates."""
        return cls(
            accepted=verdict.accepted,
            code=verdict.code,
            explanation=verdict.explanation,
            advice=verdict.advice,
            reasons=tuple(reason.code for reason in verdict.reasons),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """Exported keying material; context and value are hexadecimal."""

    label: str
    context: str
    length: int
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One connection, after its end. ``received`` is the application data, which the JSON line shows as its SHA-256.

    ``words`` is the verdict as the command line has it, ``cause`` the ``outcome.cause.CauseCode`` where a client knows
    why it was refused, ``advice`` what to do about a failure. They and the two counts of KeyUpdate messages are None
    where nothing observed the connection.
    """

    role: Role
    error: Failure | None
    negotiated: Negotiated
    peer_address: str | None = None
    handshake_complete: bool = False
    alert: FatalAlert | None = None
    close_notify_sent: bool = False
    close_notify_received: bool = False
    chain: tuple[PresentedCertificate, ...] = ()
    peer_verified: bool = False
    verdict: Judgement | None = None
    exported: tuple[Exported, ...] = ()
    words: str | None = None
    cause: str | None = None
    advice: str | None = None
    key_updates_sent: int | None = None
    key_updates_received: int | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    received: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether everything went as told."""
        return self.error is None

    @property
    def code(self) -> str | None:
        """The error's code, None if there was no error."""
        return None if self.error is None else self.error.code

    def to_json(self) -> str:
        """One line."""
        import json

        line: dict[str, object] = {"outcome": "ok" if self.ok else "error"}
        # Not asdict(self): it would copy all the data that was received.
        line |= {one.name: _plain(getattr(self, one.name)) for one in fields(self) if one.name != "received"}
        line["received_sha256"] = sha256(self.received).hexdigest()
        return json.dumps(line)


def _plain(value: object) -> object:
    """Dataclasses as dictionaries, for JSON."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value  # type: ignore[call-overload]


class Notes:
    """An observer that keeps what only an observer learns. ``seen`` is what the verdict is made of."""

    def __init__(self, role: Role) -> None:
        self._role = role
        self.seen = lens.Outcome(role)
        self.alert: FatalAlert | None = None
        # Whether it is one that ends the connection shows next.
        self._last_alert: FatalAlert | None = None
        self.key_updates = {role.sends: 0, role.peer.sends: 0}

    def __call__(self, event: Event) -> None:
        self.seen(event)
        if isinstance(event, AlertSeen):
            self._last_alert = FatalAlert.seen(event, self._role)
        elif isinstance(event, Closed) and event.how == "alert":
            self.alert = self._last_alert
        elif isinstance(event, MessageSeen) and isinstance(event.message, KeyUpdate):
            self.key_updates[event.direction] += 1

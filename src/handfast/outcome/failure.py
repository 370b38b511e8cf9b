"""How a connection failed, as data: the error, and what is known of both sides that its words need.

An observer knows most of it (``lens.Outcome``); what a log knows without one is in the connection itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handfast.errors import HandfastError, PeerRejected
from handfast.registry import AlertDescription
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handfast.connection_info import ConnectionInfo
    from handfast.outcome.cause import Cause
    from handfast.wire.messages import ClientHello


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a connection failed, as far as this side knows.

    Attributes:
        role: our side's.
        error: what ended the connection; None where the peer closed in order, and its cause says that it refused.
        cause: why the server refused us, None where the error says all that is known.
        stage: how far the handshake came, "after ClientHello"; "" where the words need not say it.
        complete: whether our handshake was over.
        chains: what each side showed, DER, leaf first; () for a side that declined, nothing for one not asked yet.
        alerts: the number of the last alert that each side sent, close_notify aside.
        ca_names: the CA names of the server's request, DER; None when it made none.
        reason: why we showed the certificate that we showed, or none.
        objections: at a client, what speaks against it, or why none was shown: see ``events.Considered``. None where
            nothing has looked at it, as in a recording.
        hello: our last hello, at a client, and its size.
    """

    role: Role
    error: BaseException | None
    cause: Cause | None = None
    stage: str = ""
    complete: bool = False
    chains: Mapping[Role, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    alerts: Mapping[Role, int] = field(default_factory=dict)
    ca_names: tuple[bytes, ...] | None = field(default=None, repr=False)
    reason: str = ""
    objections: tuple[str, ...] | None = None
    hello: ClientHello | None = field(default=None, repr=False)
    hello_size: int = 0

    @property
    def code(self) -> str:
        """The cause's code, or else the error's; the type's name of an error that is not handfast's."""
        if self.cause is not None:
            return str(self.cause.code)
        return self.error.code if isinstance(self.error, HandfastError) else type(self.error).__name__

    def withheld(self, role: Role) -> bool:
        """Whether a certificate was wanted of ``role``, and none came."""
        chain = self.chains.get(role)
        return self.ca_names is not None if chain is None else not chain


def failure_of(info: ConnectionInfo, error: BaseException) -> Failure:
    """What is known without an observer of a connection that ``error`` ended."""
    shown = {info.role: info.own_chain, info.role.peer: () if info.resumed else info.peer_chain}
    return Failure(
        role=info.role,
        error=error,
        complete=info.complete,
        chains={role: chain for role, chain in shown.items() if chain},
        alerts=_alerts(info.role, error),
        ca_names=info.ca_names,
        objections=info.own_objections,
    )


def _alerts(role: Role, error: BaseException) -> dict[Role, int]:
    if isinstance(error, PeerRejected):
        known = error.code in AlertDescription.__members__
        return {role.peer: AlertDescription[error.code]} if known else {}
    sent = error.alert if isinstance(error, HandfastError) else None
    return {} if sent is None else {role: sent}

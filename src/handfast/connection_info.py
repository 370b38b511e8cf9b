"""What is known of a connection. The chain that the peer presented stays readable after a failure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handfast.errors import ApiMisuse
from handfast.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme
    from handfast.verdict import Verdict

# What makes a VerifiedPeer one: the checker in ``identity`` alone uses it.
CHECKED = object()


@dataclass(frozen=True, slots=True)
class UnverifiedPeer:
    """A peer of whom something is not proven: most often it holds the key, and its chain was not accepted.

    ``chain`` is DER, leaf first, as presented; ``verdict`` says why it was not accepted. In ``session_peer`` the chain
    may be accepted, and it is possession that is not proven yet.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """A peer whose possession of the key was proven and whose chain the verifier accepted.

    Only the checker in ``identity`` makes one: having a value of this type is the proof that the checks were made.

    Attributes:
        chain: as the peer sent it, DER, leaf first; ``verdict.path`` is what was verified, from the leaf to the root.
        verdict: who it is, in ``subject`` and ``names`` ("DNS:alice", "URI:spiffe://corp.example/billing").
    """

    chain: tuple[bytes, ...] = field(repr=False)
    verdict: Verdict
    proof: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.proof is not CHECKED or not self.verdict.accepted:
            raise ApiMisuse("bad_argument", reason="a VerifiedPeer is only made by the check of a peer's identity")


# Not slots: what every connection begins with stands on the class.
@dataclass(init=False)
class ConnectionInfo:
    """The parameters of a connection, filled in as they become known.

    Attributes:
        version, suite, group: members of their registries, which equal their numbers and print as their names; None
            until negotiated. A session of TLS 1.2 is resumed without a group.
        peer_scheme, own_scheme: signature schemes of the CertificateVerify messages, likewise.
        server_name: what the client asked for (SNI), or, at a client, the name it verifies.
        retried: whether a HelloRetryRequest was needed. resumed: whether a session was resumed.
        external_psk: at a server, whether the handshake rests on a PSK that no certificate stands behind.
        peer: who the peer is; None when it showed no certificate. A client that shows one after the handshake is known
            from the moment in which it was judged: what it sent before was an unknown client's. Where a session is
            resumed it is None until the peer's Finished: until then the hello may be another one's recording.
        session_peer: at a server that took early data: whom its session stands for. What came early is in that name
            (``early_data_with_client_identity``), and its peer has not yet proven to be there.
        peer_chain: the chain that the peer presented last, DER, leaf first, kept whatever became of it.
        ocsp_response: the OCSP response (DER) that the peer presented beside its leaf, b"" if none. It is part of what
            the verifier judged.
        signed_certificate_timestamps: those that the peer presented beside its leaf (RFC 6962 3.2); unvalidated.
        client_auth_requested: whether the server asked for a client certificate.
        ca_names: the CA names of that request, DER; None when there was no request.
        certificate_sent: whether this side showed a certificate. own_chain: its chain, DER, leaf first.
        own_objections: at a client, what speaks against the certificate that it showed, or why it showed none of those
            that it has, as codes: see ``events.Considered``.
        session_identified: at a client, whether the session that was resumed stands for a certificate of ours.
        client_cert_error: at a server, why the client's certificate was not accepted, "" if it was or none came.
        early_data: what became of early data: "" if there was none; at a client "not sent: ..." and why, "offered",
            "accepted" or "rejected: ..."; at a server "accepted" or "rejected: ..." and why.
        post_handshake_auth: whether the client offered to authenticate itself after the handshake.
        complete: whether this side's handshake is over.
        policy: at a server that has several names, what answers ``serves``.
    """

    role: Role
    version: ProtocolVersion | None = None
    suite: CipherSuite | None = None
    group: NamedGroup | None = None
    peer_scheme: SignatureScheme | None = None
    own_scheme: SignatureScheme | None = None
    server_name: str | None = None
    application_protocol: str | None = None
    retried: bool = False
    resumed: bool = False
    external_psk: bool = False
    peer: VerifiedPeer | UnverifiedPeer | None = None
    session_peer: UnverifiedPeer | None = None
    peer_chain: tuple[bytes, ...] = field(default=(), repr=False)
    ocsp_response: bytes = field(default=b"", repr=False)
    signed_certificate_timestamps: tuple[bytes, ...] = field(default=(), repr=False)
    client_auth_requested: bool = False
    ca_names: tuple[bytes, ...] | None = None
    certificate_sent: bool = False
    session_identified: bool = False
    own_chain: tuple[bytes, ...] = field(default=(), repr=False)
    own_objections: tuple[str, ...] = ()
    client_cert_error: str = ""
    early_data: str = ""
    post_handshake_auth: bool = False
    complete: bool = False
    policy: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)

    def __init__(self, role: Role, **known: Any) -> None:
        self.role = role
        vars(self).update(known)

    @property
    def verified_peer(self) -> VerifiedPeer | None:
        """The peer, if and only if it was verified: the one to base decisions on."""
        return self.peer if isinstance(self.peer, VerifiedPeer) else None

    def serves(self, host: str) -> bool:
        """At a server: whether a connection for ``host`` would have been given this connection's configuration.

        ``host`` is the Host or :authority of a request, which may name another host than the hello did. Where the
        answer is False the request belongs on a connection of its own: HTTP says so with 421. RFC 9110 7.4.
        """
        if self.role is Role.CLIENT:
            raise ApiMisuse("bad_argument", reason="a client serves no host")
        return self.policy is None or self.policy(host)


def stored_size(info: ConnectionInfo) -> int:
    """How many bytes a session keeps of what its peer peer_chain: the chain and what came beside its leaf."""
    return sum(map(len, (*info.peer_chain, info.ocsp_response, *info.signed_certificate_timestamps)))

"""What a key-holder holds, and for what: every request is judged here, before any key is touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from handfast.credentials.signers import LocalSigner
from handfast.crypto import private_keys, signatures
from handfast.errors import BadMessage, ConfigError, bad_option
from handfast.keyholder.messages import VERSION, Code, Kind, Request, compose, key_id_of
from handfast.registry import SignatureScheme
from handfast.roles import Role
from handfast.text import escape
from handfast.wire.codec import decode
from handfast.words import mode, numbers
from handfast.x509 import loading as files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from os import PathLike

    from handfast.credentials.signers import Signer
    from handfast.crypto.signatures import PublicKey


@dataclass(frozen=True)
class HeldKey:
    """One private key, and what it may be used for.

    Attributes:
        signer: makes the signatures; it may be one of a token, and may return an awaitable.
        public_key_info: the key's SubjectPublicKeyInfo, DER, as its certificates have it.
        roles: the roles in which it may prove who somebody is, as ["server"].
        schemes: the signature schemes it may be used with, by name or number; () for all that the signer has.
        tls12: whether it may be used in TLS 1.2 too, where a server chooses more of what is signed.
    """

    signer: Signer
    public_key_info: bytes = field(repr=False)
    roles: Collection[Role | str]
    schemes: Sequence[int | str] = ()
    tls12: bool = False

    def __post_init__(self) -> None:
        if self.schemes != ():
            usable = numbers("schemes", self.schemes, self.signer.schemes, SignatureScheme, "the key cannot make")
            object.__setattr__(self, "schemes", usable)
        if not self.roles or isinstance(self.roles, str):
            reason = "a key is held for the role of a client, of a server, or both"
            raise bad_option("roles", reason, 'give a list, as roles=["server"]')
        object.__setattr__(self, "roles", tuple(mode("roles", role, Role) for role in self.roles))
        if type(self.signer) is LocalSigner and not self._is_of(self.signer.public_key):
            raise ConfigError("key_mismatch", cert="public_key_info", key="the signer")

    def _is_of(self, key: PublicKey) -> bool:
        try:
            return signatures.same_public_key(key, signatures.load_public_key(self.public_key_info))
        except signatures.UnusableKey:
            return False

    @cached_property
    def key_id(self) -> bytes:
        """What callers call it: SHA-256 of ``public_key_info``, 32 bytes."""
        return key_id_of(self.public_key_info)

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        password: bytes | None = None,
        *,
        roles: Collection[Role | str],
        schemes: Sequence[int | str] = (),
        tls12: bool = False,
    ) -> HeldKey:
        """A key from a file; its certificate is not needed, and may be renewed without the holder.

        An RSA key counts as rsaEncryption; one whose certificates say id-RSASSA-PSS needs ``public_key_info``. Raises
        ConfigError as ``Credentials.from_files``, of the key, and bad_option.
        """
        name = escape(str(path))
        key = private_keys.load_private_key(files.read(path), path=name, password=password)
        return cls(LocalSigner(key), private_keys.public_key_info_of(key), roles, schemes, tls12)


class Refused(Exception):
    """A request that is not granted."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A request that was found good: who signs what with which scheme."""

    key: HeldKey
    role: Role
    scheme: int
    content: bytes = field(repr=False)


def judge(keys: Mapping[bytes, HeldKey], raw: bytes) -> SigningRequest:
    """What a request asks for, if it may. Raises Refused."""
    if raw[:1] != bytes([VERSION]):
        raise Refused(Code.unsupported_version)
    try:
        request = decode(Request, raw)
        role, content = compose(request.parts())
    except (BadMessage, ValueError):
        raise Refused(Code.malformed) from None
    key = keys.get(request.key_id)
    if key is None:
        raise Refused(Code.unknown_key)
    in_tls13 = request.kind == Kind.certificate_verify_13
    if not in_tls13 and not key.tls12:
        raise Refused(Code.kind_refused)
    if role not in key.roles:
        raise Refused(Code.role_refused)
    # Some schemes that a key may make for TLS 1.2 have no place in TLS 1.3, RFC 9846 4.3.3, and the other way round.
    if in_tls13:
        allowed = signatures.may_prove(request.scheme, client=role is Role.CLIENT)
    else:
        allowed = request.scheme not in signatures.LEGACY_CLIENT_SCHEMES
    if not allowed or request.scheme not in (key.schemes or key.signer.schemes):
        raise Refused(Code.scheme_refused)
    return SigningRequest(key, role, request.scheme, content)

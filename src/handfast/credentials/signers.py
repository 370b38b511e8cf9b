"""Signers: who proves possession of a certificate's key. The key may be here, in a token, or across a network."""

from __future__ import annotations

import inspect
import sys
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from handfast.crypto import private_keys, signatures
from handfast.errors import LocalFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Executor

    from handfast.crypto.provider import CryptoProvider, Sign
    from handfast.crypto.signatures import PrivateKey, PublicKey


class Deferred(Enum):
    """The type of ``DEFERRED``."""

    DEFERRED = "deferred"


DEFERRED: Final = Deferred.DEFERRED
"""What a signer or verifier returns when the connection's owner will answer the need later, by itself."""


class Signer(Protocol):
    """Makes signatures with one private key.

    ``schemes`` are the signature schemes it can make (``SignatureScheme`` numbers), the preferred one first; those of
    RSA PKCS#1 are used in TLS 1.2 alone, and their legacy namesakes (RFC 9963) by TLS 1.3 clients whose signer names
    nothing else for it: to name them is to opt in.

    ``sign`` gets the whole message and not a digest of it: RFC 9846 4.5.2's content, or in TLS 1.2 the key exchange's
    parameters (RFC 8422 5.4) or all messages so far (RFC 5246 7.4.8).

    A signer that is only ever of use where it is awaited is refused by blocking sockets as soon as it is configured
    (ApiMisuse async_signer): one whose ``sign`` is a coroutine function, or that says so by ``awaits = True``.
    """

    @property
    def schemes(self) -> tuple[int, ...]: ...

    def sign(self, scheme: int, message: bytes) -> bytes | Awaitable[bytes] | Deferred: ...


_TRIAL = b"handfast: do these keys belong together?"


class LocalSigner:
    """A signer that holds the private key in this process and answers at once.

    When it is made it proves, once, that its key signs what the certificate's key verifies. See ``must_be_checked``.
    """

    def __init__(self, private_key: PrivateKey, public_key: PublicKey | None = None) -> None:
        """``public_key``: as the certificate has it, which alone tells an RSASSA-PSS key from any other RSA key."""
        self._private_key = private_key
        self._by_provider: dict[str, Sign] = {}
        self._public_key = public_key or private_keys.public_key_of(private_key)
        self.schemes = signatures.schemes_for(self._public_key)
        self._prove(self.sign)

    def __repr__(self) -> str:
        return f"LocalSigner({self._public_key.name})"

    @property
    def public_key(self) -> PublicKey:
        """The public half of its key."""
        return self._public_key

    def sign(self, scheme: int, message: bytes) -> bytes:
        """The signature. RFC 9846 4.3.3. Raises LocalFailure signing_failed if key and scheme do not go together."""
        return signatures.sign(self._private_key, scheme, message)

    def sign_by(self, crypto: CryptoProvider, scheme: int, message: bytes) -> bytes:
        """``sign`` with the primitives of another provider, which gets the key once and proves itself with it.

        Raises LocalFailure signing_failed, wrong_signature.
        """
        sign = self._by_provider.get(crypto.name)
        if sign is None:
            sign = crypto.signer(self._private_key)
            self._prove(sign)
            self._by_provider[crypto.name] = sign
        return sign(scheme, message)

    def _prove(self, sign: Sign) -> None:
        for scheme in self.schemes[:1]:
            if not signatures.verify(self._public_key, scheme, sign(scheme, _TRIAL), _TRIAL):
                raise LocalFailure("wrong_signature")


class ThreadSigner:
    """Lets a signer that takes its time sign in a thread, where there is an event loop that must not wait for it.

    Under asyncio ``sign`` returns an awaitable, and the signer works in ``executor``, or in the loop's own where that
    is None. Without a running loop the calling thread may wait: there ``sign`` signs at once.
    """

    def __init__(self, signer: Signer, executor: Executor | None = None) -> None:
        self._signer = signer
        self._executor = executor

    def __repr__(self) -> str:
        return f"ThreadSigner({self._signer!r})"

    @property
    def schemes(self) -> tuple[int, ...]:
        """Those of the signer."""
        return self._signer.schemes

    def sign(self, scheme: int, message: bytes) -> bytes | Awaitable[bytes] | Deferred:
        """The signer's signature, or an awaitable of it."""
        # Where asyncio was never imported, no loop runs.
        asyncio = sys.modules.get("asyncio")
        try:
            loop = None if asyncio is None else asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None:
            return self._signer.sign(scheme, message)
        answer: Awaitable[bytes] = loop.run_in_executor(self._executor, self._signer.sign, scheme, message)
        return answer

    def sign_here(self, scheme: int, message: bytes) -> bytes | Awaitable[bytes] | Deferred:
        """The signer's signature, made in this thread: for who cannot await, loop or not."""
        return self._signer.sign(scheme, message)


def awaits_always(whom: object, method: Callable[..., object]) -> bool:
    """Whether this signer or verifier, which is asked by ``method``, says that its answers must be awaited."""
    return bool(getattr(whom, "awaits", False)) or inspect.iscoroutinefunction(method)


def must_be_checked(signer: Signer) -> bool:
    """Whether this signer's signatures are verified one by one before they leave: all signers' but ``LocalSigner``'s.

    What comes from a token, another process, another machine or somebody's code may be wrong, and a wrong signature
    can give a key away. What OpenSSL computed in this process from a key that proved itself when it was loaded is as
    good as the verification would be, which costs three times the signature; RSA's, where a fault would be fatal,
    OpenSSL verifies by itself. Another provider proves itself with the key before it signs with it. A subclass is
    somebody's code.
    """
    return type(signer) is not LocalSigner

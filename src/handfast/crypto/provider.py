"""A provider: the primitives of a connection as one object, so that others can stand behind the same face.

``CRYPTOGRAPHY`` is complete, and what everything outside of a handshake uses. `providers` finds another by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from handfast.crypto import groups, signatures
from handfast.crypto.suites import SUITES_13, Suite13
from handfast.crypto.suites12 import SUITES_12, Suite12

if TYPE_CHECKING:
    from handfast.crypto.signatures import PrivateKey, PublicKey
    from handfast.crypto.suites import Aead

# From a scheme and a message to the signature. Raises LocalFailure signing_failed.
Sign: TypeAlias = Callable[[int, bytes], bytes]
# Whether, by a key and under a scheme, a signature is one of a message.
Verify: TypeAlias = "Callable[[PublicKey, int, bytes, bytes], bool]"


@dataclass(frozen=True, slots=True, eq=False)
class CryptoProvider:
    """Where the primitives of a connection come from.

    Attributes:
        name: what ``crypto_provider`` of a configuration calls it.
        generate, encapsulate: as in `groups`: the client's half of a key exchange, and the server's.
        aeads: what makes the AEAD of a cipher suite for a key, by the suite's number. Those of a provider that is not
            the default one are ``SplitAead``.
        signer: what signs with a private key, which it gets as one of ``cryptography``'s.
        verify, verify_12: as in `signatures`.

    Each refuses what a peer sends as the default one does, with the same error.
    """

    name: str
    generate: Callable[[int], groups.KeyShare]
    encapsulate: Callable[[int, bytes], tuple[bytes, bytes]]
    aeads: Mapping[int, Callable[[bytes], Aead]]
    signer: Callable[[PrivateKey], Sign]
    verify: Verify
    verify_12: Verify


def signer(private_key: PrivateKey) -> Sign:
    """What signs with this key. RFC 9846 4.3.3."""
    return partial(signatures.sign, private_key)


_SUITES: Mapping[int, Suite13 | Suite12] = {**SUITES_13, **SUITES_12}
CRYPTOGRAPHY = CryptoProvider(
    "cryptography",
    groups.generate,
    groups.encapsulate,
    {number: suite.aead for number, suite in _SUITES.items()},
    signer,
    signatures.verify,
    signatures.verify_12,
)

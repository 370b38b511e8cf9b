"""What OpenSSL calls the cipher suites, groups and signature schemes that are spoken, and its cipher strings."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from handfast.crypto.groups import ALL_GROUPS
from handfast.crypto.signatures import SUPPORTED_SCHEMES
from handfast.crypto.suites import SUITES_13
from handfast.crypto.suites12 import SUITES_12
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

# Suites of TLS 1.2 by OpenSSL's words for what they are made of.
_WORDS_12 = frozenset(
    ("ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "ECDH", "AESGCM", "TLSv1.2", "FIPS")
)
_SECURITY_LEVEL = re.compile(r"@SECLEVEL=(\d)")
# Of what is spoken the weakest has 112 bits (RSA with 2048 bits): level 2.
SECURITY_LEVEL = 2
_SEPARATORS = re.compile(r"[:, ;]+")


class Suite(NamedTuple):
    """A suite as ``ssl`` shows it."""

    number: int
    name: str
    iana_name: str
    version: str
    bits: int
    symmetric: str
    encryption: str
    authentication: str

    @property
    def shown(self) -> tuple[str, str, int]:
        """As ``SSLSocket.cipher`` has it."""
        return self.name, self.version, self.bits

    def described(self) -> dict[str, Any]:
        """As ``SSLContext.get_ciphers`` has it."""
        exchange, signer = ("any", "any") if self.version == "TLSv1.3" else ("ECDH", self.authentication)
        encryption = f"{self.encryption}({self.bits})"
        return {
            "id": 0x03000000 | self.number,
            "name": self.name,
            "protocol": self.version,
            "description": f"{self.name:30} {self.version} Kx={exchange:8} Au={signer:5} Enc={encryption:22} Mac=AEAD",
            "strength_bits": self.bits,
            "alg_bits": self.bits,
            "aead": True,
            "symmetric": self.symmetric,
            "digest": None,
            "kea": "kx-any" if exchange == "any" else "kx-ecdhe",
            "auth": f"auth-{signer.lower()}",
        }

    def words(self) -> frozenset[str]:
        """The words of a cipher string that stand for this suite, of TLS 1.2.

        Not RSA, which is its key exchange alone, nor SHA256 and SHA384, which are the MACs of suites in CBC mode.
        """
        family = "CHACHA20" if "CHACHA20" in self.name else f"AES{self.bits}"
        aes = {"AES"} if family != "CHACHA20" else set()
        signed = {"aECDSA", "ECDSA"} if self.authentication == "ECDSA" else {f"a{self.authentication}"}
        own = {self.name, self.iana_name, family, *aes, *signed}
        return _WORDS_12 - ({"AESGCM", "FIPS"} if family == "CHACHA20" else set()) | own


def _suite(number: int, authentication: str) -> Suite:
    iana_name = CipherSuite(number).name
    bits = 128 if "AES_128" in iana_name else 256
    chacha20 = "CHACHA20" in iana_name
    symmetric = "chacha20-poly1305" if chacha20 else f"aes-{bits}-gcm"
    name = iana_name
    if authentication:
        _, _, rest = iana_name.partition("_WITH_")
        algorithm = "CHACHA20-POLY1305" if chacha20 else rest.replace("AES_", "AES").replace("_", "-")
        name = f"ECDHE-{authentication}-{algorithm}"
    version = "TLSv1.2" if authentication else "TLSv1.3"
    encryption = "CHACHA20/POLY1305" if chacha20 else "AESGCM"
    return Suite(number, name, iana_name, version, bits, symmetric, encryption, authentication)


SUITES: dict[int, Suite] = {number: _suite(number, "") for number in SUITES_13}
SUITES |= {number: _suite(number, suite.authentication) for number, suite in SUITES_12.items()}
VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}


def suites_12(text: str) -> tuple[int, ...]:
    """The TLS 1.2 suites that a cipher string of OpenSSL's selects, most wanted first; SSLError if it selects none."""
    every = [SUITES[number] for number in SUITES_12]
    chosen: list[Suite] = []
    banned: set[Suite] = set()
    for word in filter(None, _SEPARATORS.split(text.replace("@", ":@"))):
        if word.startswith("@"):
            _check_level(word)
            if word == "@STRENGTH":
                chosen.sort(key=lambda suite: -suite.bits)
            continue
        sign, name = (word[0], word[1:]) if word[0] in "!-+" else ("", word)
        named = [suite for suite in every if set(name.split("+")) <= suite.words()]
        if sign == "!":
            banned.update(named)
        if sign in ("!", "-", "+"):
            moved = [suite for suite in chosen if suite in named]
            chosen = [suite for suite in chosen if suite not in named] + (moved if sign == "+" else [])
        else:
            chosen += [suite for suite in named if suite not in chosen and suite not in banned]
    if not chosen:
        raise ssl.SSLError("No cipher can be selected.")
    return tuple(suite.number for suite in chosen)


def _check_level(word: str) -> None:
    """SSLError for a security level above ours, which cannot be honoured; one below it asks for nothing."""
    level = _SECURITY_LEVEL.fullmatch(word)
    if (level is None and word != "@STRENGTH") or (level is not None and int(level[1]) > SECURITY_LEVEL):
        raise ssl.SSLError("No cipher can be selected.")


def suites_13(text: str) -> tuple[int, ...]:
    """The TLS 1.3 suites that a list of names selects; SSLError for a name that is not spoken."""
    return _named(text, {SUITES[number].name.lower(): number for number in SUITES_13}, "No cipher can be selected.")


_GROUPS = {NamedGroup.describe(group).lower(): group for group in ALL_GROUPS} | {
    "prime256v1": int(NamedGroup.secp256r1),
    "p-256": int(NamedGroup.secp256r1),
    "p-384": int(NamedGroup.secp384r1),
    "p-521": int(NamedGroup.secp521r1),
}
_SCHEMES = {SignatureScheme.describe(scheme).lower(): scheme for scheme in SUPPORTED_SCHEMES} | {
    f"{key}+{digest}": int(SignatureScheme[f"{scheme}{digest}"])
    for key, scheme in (("rsa-pss", "rsa_pss_rsae_"), ("pss", "rsa_pss_rsae_"), ("rsa", "rsa_pkcs1_"))
    for digest in ("sha256", "sha384", "sha512")
}
_SCHEMES |= {
    f"ecdsa+sha{bits}": int(SignatureScheme[f"ecdsa_secp{curve}r1_sha{bits}"])
    for bits, curve in ((256, 256), (384, 384), (512, 521))
}


def groups(text: str) -> tuple[int, ...]:
    """Groups by OpenSSL's list of names; ValueError for one that is not spoken.

    OpenSSL 3.5's marks are understood: ``*`` (send a share) and ``?`` (skip what is unknown) before a name, ``/``
    between tuples.
    """
    names = [name for name in re.split(r"[:/]", text) if name]
    known = [name.lstrip("*?") for name in names if "?" not in name or name.lstrip("*?").lower() in _GROUPS]
    return _named(":".join(known), _GROUPS, "unknown elliptic curve", ValueError)


def schemes(text: str) -> tuple[int, ...]:
    """Signature schemes by OpenSSL's list of names; SSLError for one that is not spoken."""
    return _named(text, _SCHEMES, "unrecognized signature algorithm")


def _named(
    text: str, known: dict[str, int], refusal: str, error: Callable[[str], Exception] = ssl.SSLError
) -> tuple[int, ...]:
    words = [word.lower() for word in text.split(":") if word]
    unknown = [word for word in words if word not in known]
    if unknown or not words:
        raise error(f"{refusal}: handfast knows {', '.join(known)}" if unknown else refusal)
    return tuple(dict.fromkeys(known[word] for word in words))


def names_of_groups(numbers: Iterable[int]) -> list[str]:
    """As ``SSLContext.get_groups`` has them."""
    return [NamedGroup.describe(number) for number in numbers]


def listed(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """As ``SSLContext.get_ciphers`` has them."""
    return [SUITES[number].described() for number in numbers]

"""The numbers of TLS and their names, as IANA registers them.

Wire fields are plain integers, because a peer may send any number; these enums give the numbers that handfast knows a
name. An enum member equals its number and prints as its name, and ``describe`` names any number, known or not.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Registry(IntEnum):
    """A registry of numbers: members compare equal to what stands on the wire, and print as "TLS 1.3" or "x25519"."""

    def __str__(self) -> str:
        return self._spell(self.name)

    __repr__ = __str__

    @classmethod
    def describe(cls, value: int) -> str:
        """The registered name of ``value``, or what can be said of a number without one."""
        member = cls._value2member_map_.get(value)
        if member is not None:
            # Not ``name``, a descriptor that costs as much as all else here.
            return cls._spell(member._name_)
        return f"GREASE({value:#06x})" if is_grease(value) else f"unknown({value:#06x})"

    @classmethod
    def describe_all(cls, values: Iterable[int], most: int = 20) -> str:
        """The names with commas: the first ``most`` and how many there are besides; "nothing" where there is none.

        GREASE values, which mean nothing, are one word at the end.
        """
        numbers = tuple(values)
        names = [cls.describe(value) for value in numbers if not is_grease(value)]
        if len(names) < len(numbers):
            names.append("GREASE")
        shown = ", ".join(names[:most]) or "nothing"
        return f"{shown} and {len(names) - most} more" if len(names) > most else shown

    @classmethod
    def _spell(cls, name: str) -> str:
        return name

    @classmethod
    def parse(cls, name: str) -> Self:
        """The member with this name, as the RFC spells it or as it is commonly called; case and hyphens do not matter.

        Raises KeyError for an unknown name.
        """
        wanted = _bare(name)
        for member in cls:
            if wanted in (_bare(member.name), _bare(cls._spell(member.name))):
                return member
        aliases = _ALIASES.get(cls.__name__, {})
        number = next((number for number, names in aliases.items() if wanted in map(_bare, names.split())), None)
        if number is None:
            raise KeyError(name)
        return cls(number)


def name_of(member: Registry | None) -> str | None:
    """The member's name; None for what was not settled."""
    return None if member is None else str(member)


def _bare(name: str) -> str:
    """A name without what people write differently: case, hyphens, underscores, dots, blanks."""
    return "".join(character for character in name.casefold() if character.isalnum() or character in "+/")


def registries() -> list[type[Registry]]:
    """The registries of TLS, which stand in this file: other protocols of handfast have some of their own."""
    return [registry for registry in Registry.__subclasses__() if registry.__module__ == __name__]


def is_grease(value: int) -> bool:
    """Whether a 16-bit number is one of the reserved values 0x0a0a, 0x1a1a ... 0xfafa. RFC 8701 2."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


class ProtocolVersion(Registry):
    """RFC 9846 4.3.1; the older numbers are named so that a refusal can name them."""

    SSL30 = 0x0300
    TLS10 = 0x0301
    TLS11 = 0x0302
    TLS12 = 0x0303
    TLS13 = 0x0304

    @classmethod
    def _spell(cls, name: str) -> str:
        return f"{name[:3]} {name[3]}.{name[4]}"


class ContentType(Registry):
    """RFC 9846 5."""

    change_cipher_spec = 20
    alert = 21
    handshake = 22
    application_data = 23


class HandshakeType(Registry):
    """RFC 9846 4 and, for what only others speak, RFC 5246 7.4."""

    hello_request = 0
    client_hello = 1
    server_hello = 2
    new_session_ticket = 4
    end_of_early_data = 5
    encrypted_extensions = 8
    certificate = 11
    server_key_exchange = 12
    certificate_request = 13
    server_hello_done = 14
    certificate_verify = 15
    client_key_exchange = 16
    finished = 20
    certificate_status = 22
    key_update = 24
    compressed_certificate = 25
    message_hash = 254


class AlertLevel(Registry):
    """RFC 9846 6; TLS 1.3 sends it and ignores it."""

    warning = 1
    fatal = 2


class AlertDescription(Registry):
    """RFC 9846 6."""

    close_notify = 0
    unexpected_message = 10
    bad_record_mac = 20
    record_overflow = 22
    handshake_failure = 40
    bad_certificate = 42
    unsupported_certificate = 43
    certificate_revoked = 44
    certificate_expired = 45
    certificate_unknown = 46
    illegal_parameter = 47
    unknown_ca = 48
    access_denied = 49
    decode_error = 50
    decrypt_error = 51
    protocol_version = 70
    insufficient_security = 71
    internal_error = 80
    inappropriate_fallback = 86
    user_canceled = 90
    no_renegotiation = 100
    missing_extension = 109
    unsupported_extension = 110
    unrecognized_name = 112
    bad_certificate_status_response = 113
    unknown_psk_identity = 115
    certificate_required = 116
    general_error = 117
    no_application_protocol = 120
    ech_required = 121


class CipherSuite(Registry):
    """The suites handfast speaks or names in a trace. RFC 9846 B.4, RFC 5289, RFC 7905; old ones RFC 5246 A.5, 5932."""

    TLS_AES_128_GCM_SHA256 = 0x1301
    TLS_AES_256_GCM_SHA384 = 0x1302
    TLS_CHACHA20_POLY1305_SHA256 = 0x1303
    TLS_AES_128_CCM_SHA256 = 0x1304
    TLS_AES_128_CCM_8_SHA256 = 0x1305
    TLS_EMPTY_RENEGOTIATION_INFO_SCSV = 0x00FF
    TLS_FALLBACK_SCSV = 0x5600
    TLS_RSA_WITH_RC4_128_MD5 = 0x0004
    TLS_RSA_WITH_RC4_128_SHA = 0x0005
    TLS_RSA_WITH_3DES_EDE_CBC_SHA = 0x000A
    TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA = 0x0016
    TLS_RSA_WITH_AES_128_CBC_SHA = 0x002F
    TLS_DHE_RSA_WITH_AES_128_CBC_SHA = 0x0033
    TLS_RSA_WITH_AES_256_CBC_SHA = 0x0035
    TLS_DHE_RSA_WITH_AES_256_CBC_SHA = 0x0039
    TLS_RSA_WITH_AES_128_CBC_SHA256 = 0x003C
    TLS_RSA_WITH_AES_256_CBC_SHA256 = 0x003D
    TLS_RSA_WITH_CAMELLIA_128_CBC_SHA = 0x0041
    TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA = 0x0045
    TLS_DHE_RSA_WITH_AES_128_CBC_SHA256 = 0x0067
    TLS_DHE_RSA_WITH_AES_256_CBC_SHA256 = 0x006B
    TLS_RSA_WITH_CAMELLIA_256_CBC_SHA = 0x0084
    TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA = 0x0088
    TLS_RSA_WITH_AES_128_GCM_SHA256 = 0x009C
    TLS_RSA_WITH_AES_256_GCM_SHA384 = 0x009D
    TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 = 0x009E
    TLS_DHE_RSA_WITH_AES_256_GCM_SHA384 = 0x009F
    TLS_ECDHE_ECDSA_WITH_RC4_128_SHA = 0xC007
    TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA = 0xC008
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA = 0xC009
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA = 0xC00A
    TLS_ECDHE_RSA_WITH_RC4_128_SHA = 0xC011
    TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA = 0xC012
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA = 0xC013
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA = 0xC014
    TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 = 0xC023
    TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384 = 0xC024
    TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 = 0xC027
    TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 = 0xC028
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 = 0xC02B
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 = 0xC02C
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 = 0xC02F
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 = 0xC030
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA8
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCA9
    TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256 = 0xCCAA


class NamedGroup(Registry):
    """RFC 9846 4.3.7 and, for the hybrids, draft-ietf-tls-ecdhe-mlkem."""

    secp256r1 = 0x0017
    secp384r1 = 0x0018
    secp521r1 = 0x0019
    x25519 = 0x001D
    x448 = 0x001E
    brainpoolP256r1tls13 = 0x001F
    brainpoolP384r1tls13 = 0x0020
    brainpoolP512r1tls13 = 0x0021
    ffdhe2048 = 0x0100
    ffdhe3072 = 0x0101
    ffdhe4096 = 0x0102
    ffdhe6144 = 0x0103
    ffdhe8192 = 0x0104
    MLKEM512 = 0x0200
    MLKEM768 = 0x0201
    MLKEM1024 = 0x0202
    SecP256r1MLKEM768 = 0x11EB
    X25519MLKEM768 = 0x11EC
    SecP384r1MLKEM1024 = 0x11ED


class SignatureScheme(Registry):
    """RFC 9846 4.3.3 and RFC 9963; the SHA-1 and DSA ones only so that a trace can name them."""

    rsa_pkcs1_sha1 = 0x0201
    dsa_sha1 = 0x0202
    ecdsa_sha1 = 0x0203
    rsa_pkcs1_sha224 = 0x0301
    dsa_sha224 = 0x0302
    ecdsa_sha224 = 0x0303
    rsa_pkcs1_sha256 = 0x0401
    dsa_sha256 = 0x0402
    ecdsa_secp256r1_sha256 = 0x0403
    rsa_pkcs1_sha256_legacy = 0x0420
    rsa_pkcs1_sha384 = 0x0501
    dsa_sha384 = 0x0502
    ecdsa_secp384r1_sha384 = 0x0503
    rsa_pkcs1_sha384_legacy = 0x0520
    rsa_pkcs1_sha512 = 0x0601
    dsa_sha512 = 0x0602
    ecdsa_secp521r1_sha512 = 0x0603
    rsa_pkcs1_sha512_legacy = 0x0620
    rsa_pss_rsae_sha256 = 0x0804
    rsa_pss_rsae_sha384 = 0x0805
    rsa_pss_rsae_sha512 = 0x0806
    ed25519 = 0x0807
    ed448 = 0x0808
    rsa_pss_pss_sha256 = 0x0809
    rsa_pss_pss_sha384 = 0x080A
    rsa_pss_pss_sha512 = 0x080B
    ecdsa_brainpoolP256r1tls13_sha256 = 0x081A
    ecdsa_brainpoolP384r1tls13_sha384 = 0x081B
    ecdsa_brainpoolP512r1tls13_sha512 = 0x081C
    mldsa44 = 0x0904
    mldsa65 = 0x0905
    mldsa87 = 0x0906


class ExtensionType(Registry):
    """RFC 9846 4.3 and the IANA registry of ExtensionType values."""

    server_name = 0
    max_fragment_length = 1
    status_request = 5
    supported_groups = 10
    ec_point_formats = 11
    signature_algorithms = 13
    use_srtp = 14
    heartbeat = 15
    application_layer_protocol_negotiation = 16
    status_request_v2 = 17
    signed_certificate_timestamp = 18
    client_certificate_type = 19
    server_certificate_type = 20
    padding = 21
    encrypt_then_mac = 22
    extended_main_secret = 23
    compress_certificate = 27
    record_size_limit = 28
    delegated_credential = 34
    session_ticket = 35
    pre_shared_key = 41
    early_data = 42
    supported_versions = 43
    cookie = 44
    psk_key_exchange_modes = 45
    certificate_authorities = 47
    oid_filters = 48
    post_handshake_auth = 49
    signature_algorithms_cert = 50
    key_share = 51
    quic_transport_parameters = 57
    ticket_request = 58
    application_settings_old = 17513
    application_settings = 17613
    encrypted_client_hello = 0xFE0D
    renegotiation_info = 0xFF01


class PskKeyExchangeMode(Registry):
    """RFC 9846 4.3.9."""

    psk_ke = 0
    psk_dhe_ke = 1


class KeyUpdateRequest(Registry):
    """RFC 9846 4.7.3."""

    update_not_requested = 0
    update_requested = 1


class CertificateCompressionAlgorithm(Registry):
    """RFC 8879 7.3."""

    zlib = 1
    brotli = 2
    zstd = 3


class CertificateType(Registry):
    """RFC 7250 and RFC 9846 4.5.1."""

    X509 = 0
    RawPublicKey = 2


class NameType(Registry):
    """RFC 6066 3."""

    host_name = 0


class CertificateStatusType(Registry):
    """RFC 6066 8."""

    ocsp = 1
    ocsp_multi = 2


class ECPointFormat(Registry):
    """RFC 8422 5.1.2."""

    uncompressed = 0
    ansiX962_compressed_prime = 1
    ansiX962_compressed_char2 = 2


class ECCurveType(Registry):
    """RFC 8422 5.4; the explicit curves, which may not be used, so that a trace can name them."""

    explicit_prime = 1
    explicit_char2 = 2
    named_curve = 3


class ClientCertificateType(Registry):
    """RFC 5246 7.4.4 and RFC 8422 5.5."""

    rsa_sign = 1
    dss_sign = 2
    ecdsa_sign = 64


# The members by number, for what was negotiated: every handshake looks some up, and calling the class takes long.
GROUPS: dict[int, NamedGroup] = {int(group): group for group in NamedGroup}
SCHEMES: dict[int, SignatureScheme] = {int(scheme): scheme for scheme in SignatureScheme}

# What else they are called, by NIST, OpenSSL, Go and rustls, for what handfast speaks.
_ALIASES: dict[str, dict[int, str]] = {
    "ProtocolVersion": {0x0303: "1.2 TLSv1.2", 0x0304: "1.3 TLSv1.3"},
    "NamedGroup": {
        NamedGroup.secp256r1: "P-256 prime256v1 NIST-P-256 CurveP256",
        NamedGroup.secp384r1: "P-384 NIST-P-384 CurveP384",
        NamedGroup.secp521r1: "P-521 NIST-P-521 CurveP521",
        NamedGroup.x25519: "curve25519",
        NamedGroup.x448: "curve448",
        NamedGroup.SecP256r1MLKEM768: "P256MLKEM768",
        NamedGroup.SecP384r1MLKEM1024: "P384MLKEM1024",
    },
    "CipherSuite": {
        CipherSuite.TLS_AES_128_GCM_SHA256: "TLS13_AES_128_GCM_SHA256",
        CipherSuite.TLS_AES_256_GCM_SHA384: "TLS13_AES_256_GCM_SHA384",
        CipherSuite.TLS_CHACHA20_POLY1305_SHA256: "TLS13_CHACHA20_POLY1305_SHA256",
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
    },
    "SignatureScheme": {
        SignatureScheme.ecdsa_secp256r1_sha256: "ECDSA+SHA256 ECDSAWithP256AndSHA256 ECDSA_NISTP256_SHA256",
        SignatureScheme.ecdsa_secp384r1_sha384: "ECDSA+SHA384 ECDSAWithP384AndSHA384 ECDSA_NISTP384_SHA384",
        SignatureScheme.ecdsa_secp521r1_sha512: "ECDSA+SHA512 ECDSAWithP521AndSHA512 ECDSA_NISTP521_SHA512",
        SignatureScheme.rsa_pss_rsae_sha256: "RSA-PSS+SHA256 PSS+SHA256 PSSWithSHA256 RSA_PSS_SHA256",
        SignatureScheme.rsa_pss_rsae_sha384: "RSA-PSS+SHA384 PSS+SHA384 PSSWithSHA384 RSA_PSS_SHA384",
        SignatureScheme.rsa_pss_rsae_sha512: "RSA-PSS+SHA512 PSS+SHA512 PSSWithSHA512 RSA_PSS_SHA512",
        SignatureScheme.rsa_pkcs1_sha256: "RSA+SHA256 PKCS1WithSHA256",
        SignatureScheme.rsa_pkcs1_sha384: "RSA+SHA384 PKCS1WithSHA384",
        SignatureScheme.rsa_pkcs1_sha512: "RSA+SHA512 PKCS1WithSHA512",
    },
}

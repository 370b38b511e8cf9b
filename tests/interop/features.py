"""The rows of docs/interop.md, in its order."""

from __future__ import annotations

SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
GROUPS = (
    "X25519MLKEM768",
    "SecP256r1MLKEM768",
    "SecP384r1MLKEM1024",
    "x25519",
    "secp256r1",
    "secp384r1",
    "secp521r1",
    "x448",
)
SCHEMES = (
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "ecdsa_secp521r1_sha512",
    "ed25519",
    "ed448",
    "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha512",
    "rsa_pss_pss_sha256",
    "rsa_pss_pss_sha384",
    "rsa_pss_pss_sha512",
)

SUITES_12 = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
GROUPS_12 = ("x25519", "secp256r1", "secp384r1", "secp521r1", "x448")
SCHEMES_12 = ("rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512")

_WHO = (
    "server certificate only",
    "client certificate",
    "client certificate asked for and not given",
    "chains with an intermediate, on both sides",
    "names of CAs in the request",
    "server name (SNI)",
    "ALPN",
)
_AFTER = (
    "client certificate after the handshake",
    "asked for after the handshake and not given",
    "refused after the handshake: client certificate of another CA",
)
_SESSIONS = ("resumed session", "0-RTT data accepted", "0-RTT data refused")
_COMPRESSION = ("certificate compression, theirs", "certificate compression, ours")
_DATA = ("1 MiB each way", "our records of 64 bytes")
_KEY_UPDATES = (
    "KeyUpdate from the peer",
    "KeyUpdate from the peer, with a request",
    "KeyUpdate from us, with a request",
)
_ENDS = (
    "exported keying material",
    "refused: no client certificate",
    "refused: client certificate of another CA",
    "refused: expired client certificate",
    "refused: server certificate of another CA",
    "refused: expired server certificate",
    "refused: server certificate for another name",
    "refused: no common version",
    "refused: no common suite",
    "refused: no common group",
    "refused: no common signature scheme",
    "no common ALPN protocol",
    "noticed: the peer ends without close_notify",
    "noticed by the peer: we end without close_notify",
    "refused: plain HTTP to our TLS port",
)

# By the version that is spoken.
FEATURES = {
    "1.3": (
        *_WHO,
        *_AFTER,
        *_SESSIONS,
        *_COMPRESSION,
        "HelloRetryRequest",
        *SUITES,
        *GROUPS,
        *SCHEMES,
        *_DATA,
        *_KEY_UPDATES,
        *_ENDS,
    ),
    "1.2": (*_WHO, *SUITES_12, *GROUPS_12, *SCHEMES, *SCHEMES_12, *_DATA, *_ENDS),
}

# Those of the peers that are met in brief.
BRIEF = (
    "server certificate only",
    "client certificate",
    "client certificate asked for and not given",
    "refused: no client certificate",
    "refused: client certificate of another CA",
    "refused: server certificate of another CA",
)

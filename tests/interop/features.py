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

FEATURES = (
    "server certificate only",
    "client certificate",
    "client certificate asked for and not given",
    "chains with an intermediate, on both sides",
    "names of CAs in the request",
    "server name (SNI)",
    "ALPN",
    "HelloRetryRequest",
    *SUITES,
    *GROUPS,
    *SCHEMES,
    "1 MiB each way",
    "our records of 64 bytes",
    "KeyUpdate from the peer",
    "KeyUpdate from the peer, with a request",
    "KeyUpdate from us, with a request",
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

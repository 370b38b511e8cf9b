"""Which libraries do the arithmetic."""

from __future__ import annotations


def versions() -> tuple[str, str]:
    """The versions of ``cryptography`` and of the OpenSSL inside it: "50.0.2", "OpenSSL 4.0.1 ..."."""
    import cryptography
    from cryptography.hazmat.backends.openssl import backend

    return cryptography.__version__, backend.openssl_version_text()

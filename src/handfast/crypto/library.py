"""Which libraries do the arithmetic, and how one of them fails."""

from __future__ import annotations


def versions() -> tuple[str, str]:
    """The versions of ``cryptography`` and of the OpenSSL inside it: "50.0.2", "OpenSSL 4.0.1 ..."."""
    import cryptography
    from cryptography.hazmat.backends.openssl import backend

    return cryptography.__version__, backend.openssl_version_text()


def is_panic(error: BaseException) -> bool:
    """Whether the Rust core of ``cryptography`` gave up: a fault like any other, though it is no ``Exception``."""
    return type(error).__name__ == "PanicException"

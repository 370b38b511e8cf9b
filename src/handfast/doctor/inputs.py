"""What would separate causes that the evidence leaves open."""

from __future__ import annotations

from enum import StrEnum


class Input(StrEnum):
    """What a user can give that would separate causes, in the words in which it is asked for."""

    NOTHING = ""
    SERVER_LOG = "what the server's log says of this connection"
    CLIENT_CA = "the server's file of the CAs that it trusts"
    CLIENT_ISSUER = "the certificate of the CA that issued the client's certificate"
    SERVER_ISSUER = "the certificate of the CA that issued the server's certificate"
    CRL = "the server's revocation list"
    CLIENT_CERTIFICATE = "the client's certificate"
    SERVER_CERTIFICATE = "the server's certificate file"
    CLIENT_TRUST = "what the client trusts"
    CLIENT_LOG = "what the client says of this connection"
    WHOSE_LOG = "whether the client or the server says so"
    TARGET = "a connection to the server"

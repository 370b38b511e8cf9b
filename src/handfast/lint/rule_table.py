"""The rules: what is looked for, who refuses a certificate for it, and what to do.

Who refuses was measured in November 2026: each program, with its defaults and the right root, met a server with such a
certificate. The programs were OpenSSL 3.0 (by curl and Python 3.11), Python 3.13, Go 1.27, Java 17 and 25, Node 24,
GnuTLS 3.7, Chromium 156 and Firefox 153; older ones take more: Go 1.19 the name * and critical key identifiers, Node 20
weak keys. ``make certificate-tools`` measures it again. Rows whose ``source`` is "documented" are from the vendor's own
pages. A rule that none refuses for is a remark.
"""

from __future__ import annotations

from typing import NamedTuple

HANDFAST, OPENSSL, PYTHON, PYTHON_313 = "handfast", "openssl", "python", "python-3.13"
GO, JAVA, NODE, GNUTLS = "go", "java", "node", "gnutls"
CHROMIUM, FIREFOX, APPLE = "chromium", "firefox", "apple"

REFUSERS = {
    HANDFAST: "handfast",
    OPENSSL: "OpenSSL (curl, nginx)",
    PYTHON: "Python",
    PYTHON_313: "Python 3.13 and newer",
    GO: "Go",
    JAVA: "Java",
    NODE: "Node",
    GNUTLS: "GnuTLS",
    CHROMIUM: "Chromium",
    FIREFOX: "Firefox",
    APPLE: "Apple's systems",
}
"""Who refuses: the identifier, and what it is called. Python 3.13 and newer are held to X509_V_FLAG_X509_STRICT."""

EVERYONE = (HANDFAST, OPENSSL, PYTHON, GO, JAVA, NODE, GNUTLS, CHROMIUM, FIREFOX)


class Rule(NamedTuple):
    """``what`` is wrong, ``refused_by`` whom (keys of ``REFUSERS``), ``advice`` what to do, ``source`` how it is known:
    "measured" or "documented"."""

    what: str
    refused_by: tuple[str, ...]
    advice: str
    source: str = "measured"


_REISSUE = "have it issued anew with "
_NEW_KEY = "make a new key: ECDSA P-256, or RSA of 2048 bits and more"

RULES: dict[str, Rule] = {
    # Dates
    "expired": Rule("it has expired", EVERYONE, "renew it; or set the clock, if the time here is wrong"),
    "expired_root": Rule(
        "it is a root, and has expired",
        (HANDFAST, OPENSSL, PYTHON, GO, NODE, GNUTLS, CHROMIUM, FIREFOX),
        "make the CA anew, and have what it issued issued anew",
    ),
    "not_yet_valid": Rule("it is not valid yet", EVERYONE, "set the clock right on the machine that is wrong, or wait"),
    "long_lifetime": Rule(
        "a server's certificate is valid for longer than 825 days",
        (APPLE,),
        f"{_REISSUE}at most 825 days, or 398 if it is for browsers",
        "documented",
    ),
    # Names
    "no_names": Rule("a server's certificate names no host at all", EVERYONE, f"{_REISSUE}the host in subjectAltName"),
    "no_subject_alternative_name": Rule(
        "the host is in the common name only",
        (HANDFAST, GO, CHROMIUM, FIREFOX),
        f"{_REISSUE}the host in subjectAltName; requests and other users of urllib3 refuse it too",
    ),
    "no_host_in_subject_alternative_name": Rule(
        "subjectAltName holds neither a DNS name nor an address",
        (HANDFAST, GO, CHROMIUM, FIREFOX),
        f"{_REISSUE}the host in subjectAltName; requests and other users of urllib3 refuse it too",
    ),
    "address_as_dns_name": Rule(
        "an IP address stands in subjectAltName as a DNS name",
        EVERYONE,
        f"{_REISSUE}the address as an iPAddress entry (IP:... in OpenSSL's files)",
    ),
    "wildcard_alone": Rule("* alone is a name", EVERYONE, f"{_REISSUE}the hosts themselves, or *.DOMAIN"),
    "empty_subject": Rule(
        "the subject is empty, and subjectAltName is not critical",
        (PYTHON_313, JAVA, CHROMIUM),
        f"{_REISSUE}a common name, or with subjectAltName critical",
    ),
    # Keys and signatures
    "weak_key": Rule("an RSA key of less than 2048 bits", (HANDFAST, OPENSSL, PYTHON, NODE), _NEW_KEY),
    "unsupported_key": Rule("a key of a kind or curve that TLS does not use", EVERYONE, _NEW_KEY),
    "ed25519_key": Rule(
        "an Ed25519 key, which browsers do not take", (CHROMIUM, FIREFOX), "use ECDSA P-256 for browsers"
    ),
    "ed448_key": Rule("an Ed448 key", (GO, CHROMIUM, FIREFOX), "use ECDSA P-256, or Ed25519 where no browser comes"),
    "p521_key": Rule("an ECDSA P-521 key", (CHROMIUM,), "use ECDSA P-256 or P-384 for browsers"),
    "weak_signature_hash": Rule(
        "it is signed with MD5 or SHA-1",
        (HANDFAST, OPENSSL, PYTHON, GO, NODE, GNUTLS, CHROMIUM, FIREFOX),
        f"{_REISSUE}SHA-256",
    ),
    # Usage
    "wrong_purpose": Rule(
        "extendedKeyUsage does not allow this role",
        EVERYONE,
        f"{_REISSUE}serverAuth for servers, clientAuth for clients",
    ),
    "any_purpose_only": Rule(
        "extendedKeyUsage says anyExtendedKeyUsage and not serverAuth or clientAuth",
        (OPENSSL, PYTHON, NODE, FIREFOX),
        f"{_REISSUE}serverAuth or clientAuth",
    ),
    "key_may_not_sign": Rule(
        "keyUsage lacks digitalSignature",
        (HANDFAST, JAVA, GNUTLS, CHROMIUM),
        f"{_REISSUE}keyUsage digitalSignature; OpenSSL refuses it too, of clients and in TLS 1.2",
    ),
    "ca_as_leaf": Rule(
        "a CA's own certificate is shown as a leaf",
        (HANDFAST, FIREFOX),
        "have a certificate of its own issued for the server or client; the CA's key belongs elsewhere",
    ),
    "self_signed_leaf": Rule(
        "it signs itself and is no CA, so that not all can be told to trust it",
        (CHROMIUM,),
        "have it issued by a CA: handfast certs NAME makes one",
    ),
    # The form of certificates
    "no_authority_key_identifier": Rule(
        "authorityKeyIdentifier is missing", (PYTHON_313,), f"{_REISSUE}authorityKeyIdentifier"
    ),
    "no_subject_key_identifier": Rule(
        "subjectKeyIdentifier of a CA is missing", (PYTHON_313,), f"{_REISSUE}subjectKeyIdentifier"
    ),
    "ca_without_key_usage": Rule("keyUsage of a CA is missing", (PYTHON_313,), f"{_REISSUE}keyUsage keyCertSign"),
    "basic_constraints_not_critical": Rule(
        "basicConstraints of a CA is not critical", (PYTHON_313,), f"{_REISSUE}critical basicConstraints"
    ),
    "path_length_without_key_cert_sign": Rule(
        "a path length without keyCertSign", (PYTHON_313,), f"{_REISSUE}keyUsage keyCertSign"
    ),
    "key_cert_sign_without_ca": Rule(
        "keyUsage has keyCertSign, and it is no CA", (PYTHON_313,), f"{_REISSUE}keyUsage digitalSignature only"
    ),
    "ca_without_key_cert_sign": Rule(
        "keyUsage of a CA lacks keyCertSign", EVERYONE, "make the CA anew with keyUsage keyCertSign"
    ),
    "critical_key_identifier": Rule(
        "a key identifier is critical",
        (HANDFAST, OPENSSL, PYTHON, GO, JAVA, NODE, CHROMIUM, FIREFOX),
        f"{_REISSUE}it not critical",
    ),
    "unknown_critical_extension": Rule(
        "a critical extension that none knows", EVERYONE, "have it issued without that extension, or not critical"
    ),
    "version_1": Rule(
        "it is of X.509 version 1, which says not what it is for",
        (HANDFAST, GO, CHROMIUM, FIREFOX),
        "have it issued with extensions (openssl x509 -req takes them from -extfile)",
    ),
    "malformed": Rule("it does not parse", EVERYONE, "have it issued anew, with another tool"),
    # Several together
    "leaf_not_first": Rule(
        "a file begins with a CA, and its leaf comes later", EVERYONE, "put the leaf first, then the intermediates"
    ),
    "issuer_order": Rule(
        "the issuer stands elsewhere than right behind what it issued",
        (HANDFAST,),
        "put the leaf first, then each certificate's issuer; others sort it themselves",
    ),
    "missing_intermediate": Rule(
        "the intermediate that issued it is not in its file",
        EVERYONE,
        "append the intermediate to the file, so that it is sent along",
    ),
    "issuer_not_a_ca": Rule(
        "what issued it is no CA", EVERYONE, "have it issued by a CA certificate: basicConstraints CA:TRUE, keyCertSign"
    ),
    "same_name_other_key": Rule(
        "a certificate with its issuer's name has another key, and the signature does not verify under it",
        EVERYONE,
        "use the CA certificate that issued it, or have it issued by this one",
    ),
    "key_mismatch": Rule(
        "a key belongs to none of the certificates", EVERYONE, "use the key that the certificate was made for"
    ),
    "revoked": Rule(
        "its issuer's revocation list holds it",
        (HANDFAST, OPENSSL),
        "have a new certificate issued, with a new key if the old one got into other hands",
    ),
    "revocation_list_expired": Rule(
        "a revocation list ended", (HANDFAST, OPENSSL), "fetch the CA's current revocation list, or make one"
    ),
    # Remarks: none refuses for these
    "root_sent": Rule("a root stands behind the leaf, which peers have themselves or do not trust", (), "leave it out"),
    "lifetime_of_browsers": Rule(
        "a server's certificate is valid for longer than 398 days, the most of a public CA",
        (),
        "nothing, for a CA of one's own",
    ),
}
"""The rules by their codes."""

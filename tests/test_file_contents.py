"""What is said of files that hold something else than was wanted: each of them something of its own."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from handfast.credentials.credentials import Credentials
from handfast.errors import ConfigError
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from tests import certificates

CERT, KEY = certificates.client().cert_pem, certificates.client().key_pem
_ec_key = ec.generate_private_key(ec.SECP256R1())
_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
_request = x509.CertificateSigningRequestBuilder().subject_name(_name).sign(_ec_key, hashes.SHA256())
CSR = _request.public_bytes(serialization.Encoding.PEM)
PUBLIC = _ec_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
TRUSTED = CERT.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE")

BAD_CERTIFICATES = {
    "empty": (b"", "it is empty", "write it again"),
    "blank": (b" \n\n", "it is empty", "write it again"),
    "CSR": (CSR, "it is a certificate request", "have a CA sign it"),
    "CSR in DER": (_request.public_bytes(serialization.Encoding.DER), "it is a certificate request", "have a CA sign"),
    "TRUSTED": (TRUSTED, "it is a TRUSTED CERTIFICATE", "openssl x509 -in c.file"),
    "UTF-16": (CERT.decode().encode("utf-16"), "it is text in UTF-16", "iconv"),
    "UTF-16 without a mark": (CERT.decode().encode("utf-16-le"), "it is text in UTF-16", "iconv"),
    "JKS": (b"\xfe\xed\xfe\xed\0\0\0\2" + bytes(64), "it is a Java keystore (JKS)", "keytool -importkeystore"),
    "a key": (KEY, "it is a private key", "the certificate's own file"),
    "one line": (CERT.replace(b"\n", b" "), "its PEM block stands on one line", "line breaks"),
    "backslash n": (CERT.replace(b"\n", b"\\n"), "its line breaks are written as backslash and n", "printf"),
    "a public key": (PUBLIC, "it is a public key", "neither"),
    "PKCS#7": (b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n", "it is PKCS#7", "openssl pkcs7"),
    "a CRL": (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", "it is a revocation list", "Crls"),
    "HTML": (b"<!DOCTYPE html><html>", "it is a web page", "fetch"),
    "SSH": (b"ssh-ed25519 AAAA me", "it is an SSH public key", "handfast certs"),
    "anything": (b"hello", "it is no form of certificate that is known", "-----BEGIN CERTIFICATE-----"),
}
BAD_KEYS = {
    "empty": (b"", "it is empty", "write it again"),
    "CSR": (CSR, "it is a certificate request", "the key that the request was made with"),
    "UTF-16": (KEY.decode().encode("utf-16"), "it is text in UTF-16", "iconv"),
    "JKS": (b"\xfe\xed\xfe\xed\0\0\0\2" + bytes(64), "it is a Java keystore (JKS)", "keytool -importkeystore"),
    "a certificate": (CERT, "it is a certificate", "the key"),
    "backslash n": (KEY.replace(b"\n", b"\\n"), "its line breaks are written as backslash and n", "printf"),
    "a public key": (PUBLIC, "it is a public key", "neither"),
    "anything": (b"hello", "it is neither PEM nor PKCS#8", "-----BEGIN PRIVATE KEY-----"),
}


def failure(cert: bytes, key: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Credentials.from_bytes(cert, key, cert_name="c.file", key_name="k.file")
    return caught.value


@pytest.mark.parametrize("data", BAD_CERTIFICATES)
def test_what_a_file_is_instead_of_a_certificate(data):
    content, said, advice = BAD_CERTIFICATES[data]
    error = failure(content, KEY)
    assert error.code == "no_certificate"
    assert error.what.startswith("c.file: holds no certificate: ")
    assert said in error.what
    assert advice in error.hint
    with pytest.raises(ConfigError) as caught:
        Roots.from_pem(content, "ca.pem")
    # DER is refused there as such, before what it holds is looked at.
    assert caught.value.code == "der_as_pem" or said in caught.value.what


@pytest.mark.parametrize("data", BAD_KEYS)
def test_what_a_file_is_instead_of_a_key(data):
    content, said, advice = BAD_KEYS[data]
    error = failure(CERT, content)
    assert error.code in ("no_key", "bad_key")
    assert error.what.startswith("k.file: ")
    assert said in error.what
    assert advice in error.hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (CERT, "it is a certificate"),
        (KEY.decode().encode("utf-16"), "UTF-16"),
        (b"x", "no known form"),
    ],
    ids=["empty", "a certificate", "UTF-16", "anything"],
)
def test_what_a_file_is_instead_of_a_revocation_list(content, said):
    with pytest.raises(ConfigError) as caught:
        Crls.from_pem(content, "list.pem")
    assert caught.value.code == "no_crl"
    assert said in caught.value.what


def test_each_has_a_message_of_its_own():
    said = [failure(content, KEY).what for name, (content, _, _) in BAD_CERTIFICATES.items()]
    assert len(set(said)) == len(said) - len(("blank", "CSR in DER", "UTF-16 without a mark"))


def test_what_begins_as_pem_and_is_cut_off_is_not_called_one_line():
    assert "no form of certificate that is known" in failure(CERT[:200], KEY).what

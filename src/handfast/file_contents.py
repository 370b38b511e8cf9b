"""What a file is that is not what was wanted: the forms in which certificates and keys are found."""

from __future__ import annotations

import re
from typing import NamedTuple

from handfast import der

_LABELS = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,64})-----")
_START = 1024
# A line that begins or ends a block. What else may stand on it: OpenSSL, crypto/pem/pem_lib.c.
_MARK = re.compile(rb"-----(?:BEGIN|END) [A-Z0-9 ]{1,64}-----")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Ciphers of PKCS#12 that OpenSSL 3 has in its legacy provider only: RFC 7292 appendix C, in DER.
_OLD_CIPHERS = {
    bytes.fromhex("060a2a864886f70d010c0101"): "RC4",
    bytes.fromhex("060a2a864886f70d010c0102"): "RC4",
    bytes.fromhex("060a2a864886f70d010c0105"): "RC2",
    bytes.fromhex("060a2a864886f70d010c0106"): "RC2",
}
_PEM_ADVICE = "{wanted} in PEM begins with -----BEGIN {label}-----"


class Found(NamedTuple):
    """What a file is, as the end of "PATH: holds no certificate: ...", and what to do about it."""

    what: str
    advice: str


def instead_of_certificate(data: bytes, path: str) -> Found:
    """What ``data``, the contents of ``path``, is where a certificate was wanted."""
    return _in_no_known_form(data, path) or _no_certificate(_labels(data), path)


def _no_certificate(labels: list[str], path: str) -> Found:
    if any(label.endswith("CERTIFICATE REQUEST") for label in labels):
        return Found(
            "it is a certificate request, which no CA has signed",
            "have a CA sign it, and give the certificate that comes back",
        )
    if "TRUSTED CERTIFICATE" in labels:
        return Found(
            "it is a TRUSTED CERTIFICATE, which only OpenSSL reads", f"convert it: openssl x509 -in {path} -out NEW.pem"
        )
    if any(label.endswith("PRIVATE KEY") for label in labels):
        return Found("it is a private key", "give the certificate's own file; a key goes to the key's argument")
    advice = _PEM_ADVICE.format(wanted="a certificate", label="CERTIFICATE")
    return _other(labels, Found("it is no form of certificate that is known", advice))


def instead_of_key(data: bytes, path: str) -> Found:
    """What ``data``, the contents of ``path``, is where a private key was wanted."""
    return _in_no_known_form(data, path) or _no_key(_labels(data))


def _no_key(labels: list[str]) -> Found:
    if any(label.endswith("CERTIFICATE REQUEST") for label in labels):
        return Found("it is a certificate request", "give the key that the request was made with, as the key")
    if any(label.endswith("CERTIFICATE") for label in labels):
        return Found("it is a certificate", "give the key's own file as the key; in PEM it has BEGIN PRIVATE KEY")
    advice = _PEM_ADVICE.format(wanted="a key", label="PRIVATE KEY")
    return _other(labels, Found("it is neither PEM nor PKCS#8, PKCS#1 or SEC1 in DER", advice))


def instead_of_crl(data: bytes, path: str) -> Found:
    """What ``data``, the contents of ``path``, is where a revocation list was wanted."""
    return _in_no_known_form(data, path) or _no_crl(_labels(data))


def _no_crl(labels: list[str]) -> Found:
    if any(label.endswith("CERTIFICATE") for label in labels):
        return Found("it is a certificate", "a CA's certificate goes to Roots")
    advice = f"{_PEM_ADVICE.format(wanted='a list', label='X509 CRL')}; a list in DER will do too"
    return _other([label for label in labels if label != "X509 CRL"], Found("it is of no known form", advice))


def instead_of_request(data: bytes, path: str) -> Found:
    """What ``data``, the contents of ``path``, is where a certificate request was wanted."""
    return _in_no_known_form(data, path) or _no_request(_labels(data))


def _no_request(labels: list[str]) -> Found:
    if any(label.endswith("PRIVATE KEY") for label in labels):
        return Found("it is a private key", "give the request that was made with it; the key stays where it is")
    if any(label.endswith("CERTIFICATE") for label in labels):
        return Found("it is a certificate, which some CA has signed", "give the request that it was made from")
    advice = _PEM_ADVICE.format(wanted="a request", label="CERTIFICATE REQUEST")
    return _other(labels, Found("it is no certificate request that can be read", advice))


def damage(data: bytes) -> Found:
    """Why a PEM block that is there does not parse."""
    return _one_line(data) or Found("its PEM block is damaged", "export it again")


def unread_by_openssl(data: bytes, path: str) -> Found | None:
    """Why OpenSSL does not read ``data``, the contents of ``path``, though it can be read here; None where it does."""
    unread = f"{path}: OpenSSL, and with it curl, nginx, Python and Node, does not read it"
    old = next((name for number, name in _OLD_CIPHERS.items() if number in data), "")
    if data[:1] == b"\x30" and old:
        through = "-nodes -out ALL.pem, then openssl pkcs12 -export -in ALL.pem -out NEW.p12, and remove ALL.pem"
        return Found(
            f"{unread}: it is encrypted with {old}, which OpenSSL 3 has in its legacy provider only",
            f"write it anew: openssl pkcs12 -legacy -in {path} {through}",
        )
    lines = [line.rstrip() for line in data.removeprefix(_BYTE_ORDER_MARK).split(b"\n") if b"-----" in line]
    odd = [line for line in lines if _MARK.search(line) and not _MARK.fullmatch(line)]
    if not odd:
        return None
    if all(_MARK.fullmatch(line.lstrip()) for line in odd):
        return Found(
            f"{unread}: its lines are indented", f"take the blanks away: sed 's/^[[:blank:]]*//' {path} > NEW.pem"
        )
    split = """awk '{gsub(/----------BEGIN/, "-----\\n-----BEGIN")} 1'"""
    reason = "BEGIN or END of a block is not alone on its line"
    return Found(f"{unread}: {reason}", f"put a line break between: {split} {path} > NEW.pem")


def _in_no_known_form(data: bytes, path: str) -> Found | None:
    """What makes a file unreadable, whatever it was meant to hold."""
    start = data[:_START]
    if not data.strip():
        return Found("it is empty", "write it again: whatever made it has failed, or has not finished")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"-\0-\0-" in start or b"\0-\0-\0-" in start:
        return Found("it is text in UTF-16", f"save it as ASCII: iconv -f UTF-16 -t ASCII {path} > NEW.pem")
    for magic, kind in ((b"\xfe\xed\xfe\xed", "JKS"), (b"\xce\xce\xce\xce", "JCEKS")):
        if start.startswith(magic):
            convert = f"keytool -importkeystore -srckeystore {path} -destkeystore NEW.p12 -deststoretype PKCS12"
            return Found(f"it is a Java keystore ({kind})", f"convert it: {convert}")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return Found("it is a web page", "fetch the file itself; the page is what a server answered instead")
    if start.startswith((b"ssh-", b"ecdsa-sha2-")):
        return Found("it is an SSH public key", "SSH keys are no certificates: make some with handfast certs NAME")
    return _one_line(data)


def _one_line(data: bytes) -> Found | None:
    """PEM whose line breaks got lost, as they do in variables and in JSON."""
    if not _LABELS.search(data):
        return None
    if re.search(rb"-----\\n", data):
        return Found("its line breaks are written as backslash and n", "write real ones, as printf %b does")
    if not re.search(rb"-----BEGIN [A-Z0-9 ]{1,64}-----[ \t]*[\r\n]", data):
        return Found("its PEM block stands on one line", "put the line breaks back: after BEGIN, before END")
    return None


def _other(labels: list[str], unknown: Found) -> Found:
    for ending, what, advice in (
        ("PUBLIC KEY", "it is a public key", "neither a certificate nor a private key is in it; give the file that is"),
        ("X509 CRL", "it is a revocation list", "a list goes to Crls"),
        ("PKCS7", "it is PKCS#7", "convert it: openssl pkcs7 -print_certs"),
        ("CMS", "it is CMS", "convert it: openssl pkcs7 -print_certs"),
        ("PARAMETERS", "it holds parameters only", "give the file of the key"),
    ):
        if any(label.endswith(ending) for label in labels):
            return Found(what, advice)
    return unknown


def _labels(data: bytes) -> list[str]:
    """The labels of PEM blocks; those of DER that is a PKCS#10 request or a key, as PEM would call it."""
    found = [label.decode("ascii") for label in _LABELS.findall(data)]
    return found or _der_label(data)


def _der_label(data: bytes) -> list[str]:
    try:
        parts = list(der.elements(der.expect(der.element(data), der.SEQUENCE)))
    except ValueError:
        return []
    if len(parts) == 3 and parts[0].tag == der.SEQUENCE and parts[0].content[:3] == b"\x02\x01\x00":
        return ["CERTIFICATE REQUEST"]
    return ["PRIVATE KEY"] if parts and parts[0].encoded in (b"\x02\x01\x00", b"\x02\x01\x01") else []

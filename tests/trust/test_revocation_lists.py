"""Where revocation lists come from, and which are not taken at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from handfast.errors import ConfigError
from handfast.trust.revocation.crl_store import Crls
from handfast.x509 import pem

from .crafting import Made, client, name, new_key, root
from .crl_crafting import UNKNOWN, crl, entry, scope, signed_with_sha1, without_next_update


@pytest.fixture(scope="module")
def ca() -> Made:
    return root()


# Lists that are not taken


OBSTACLES: dict[str, tuple[Callable[[Made], bytes], str]] = {
    "delta": (lambda ca: crl(ca, extensions=((x509.DeltaCRLIndicator(1), True),)), "delta CRL"),
    "indirect": (lambda ca: crl(ca, extensions=(scope(indirect_crl=True),)), "indirect CRL"),
    "some reasons": (
        lambda ca: crl(ca, extensions=(scope(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),)),
        "some reasons",
    ),
    "attribute certificates": (
        lambda ca: crl(ca, extensions=(scope(only_contains_attribute_certs=True),)),
        "attribute certificates",
    ),
    "relative name": (
        lambda ca: crl(ca, extensions=(scope(relative_name=name("part").rdns[-1]),)),
        "relative to its issuer",
    ),
    "unknown critical": (lambda ca: crl(ca, extensions=((UNKNOWN, True),)), "critical extension 1.2.3.4"),
    "unknown critical in an entry": (
        lambda ca: crl(ca, entry(client(ca)), entry(client(ca), (UNKNOWN, True))),
        "critical extension 1.2.3.4",
    ),
    "issuer in an entry": (
        lambda ca: crl(ca, entry(client(ca), (x509.CertificateIssuer([x509.DirectoryName(name("Other"))]), True))),
        "critical extension certificateIssuer",
    ),
    "no nextUpdate": (without_next_update, "nextUpdate"),
    "a certificate": (lambda ca: ca.der, "does not parse"),
    "cut": (lambda ca: crl(ca)[:-1], "does not parse"),
    "garbage": (lambda _: b"\x30\x03\x02\x01\x00", "does not parse"),
}


@pytest.mark.parametrize(("made", "words"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_is_not_taken_says_why(ca: Made, made: Callable[[Made], bytes], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Crls.from_der([crl(ca), made(ca)], "lists")
    assert caught.value.code == "bad_crl"
    assert caught.value.what.startswith("lists: a revocation list in it cannot be used: ")
    assert words in caught.value.what


def test_a_broken_hash() -> None:
    with pytest.raises(ConfigError, match="signed with SHA-1"):
        Crls.from_der([signed_with_sha1(root(key=new_key("rsa")))])


# Where lists come from


def as_pem(*lists: bytes) -> bytes:
    return b"".join(pem.encode("X509 CRL", one) for one in lists)


def test_files(ca: Made, tmp_path: Path) -> None:
    first, second = crl(ca), crl(root("Other"))
    (tmp_path / "a.pem").write_bytes(b"text\n" + as_pem(first, second, first))
    (tmp_path / "b.crl").write_bytes(second)
    both = Crls.from_file(tmp_path / "a.pem")
    assert (len(both), both.source) == (2, f"{tmp_path}/a.pem (2 revocation lists)")
    one = Crls.from_file(tmp_path / "b.crl")
    assert (len(one), one.source) == (1, f"{tmp_path}/b.crl (1 revocation list)")
    assert one.issued_by(root("Other").certificate.subject.public_bytes())
    assert not one.issued_by(ca.certificate.subject.public_bytes())
    assert Crls.from_path(tmp_path / "a.pem").source == both.source
    assert Crls.from_pem(as_pem(first)).source == "given PEM (1 revocation list)"


def test_a_directory(ca: Made, tmp_path: Path) -> None:
    (tmp_path / "0a1b2c3d.r0").write_bytes(as_pem(crl(ca)))
    (tmp_path / "other.crl").write_bytes(crl(root("Other")))
    (tmp_path / "ca.der").write_bytes(ca.der)
    (tmp_path / "README").write_bytes(b"\xff\x00")
    (tmp_path / "sub").mkdir()
    found = Crls.from_directory(tmp_path)
    assert len(found) == 2
    assert Crls.from_path(tmp_path).source == found.source == f"{tmp_path} (2 revocation lists)"
    (tmp_path / "half.crl").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"half\.crl: holds no revocation list"):
        Crls.from_directory(tmp_path)
    (tmp_path / "half.crl").write_bytes(crl(ca)[:-3] + b"\0\0")
    with pytest.raises(ConfigError, match=r"half\.crl: "):
        Crls.from_directory(tmp_path)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_crl"),
        (b"text", "no_crl"),
        (pem.encode("CERTIFICATE", b"\x30\x00"), "no_crl"),
        (pem.encode("X509 CRL", b"\x30\x00"), "bad_crl"),
        (b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n", "bad_crl"),
        (b"\x30\x00", "bad_crl"),
    ],
)
def test_files_that_are_none(content: bytes, code: str, tmp_path: Path) -> None:
    (tmp_path / "crl.pem").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        Crls.from_file(tmp_path / "crl.pem")
    assert caught.value.code == code
    assert str(tmp_path / "crl.pem") in caught.value.what


def test_der_given_as_pem(ca: Made) -> None:
    with pytest.raises(ConfigError) as caught:
        Crls.from_pem(crl(ca), "here.pem")
    assert caught.value.code == "der_as_pem"
    assert "openssl crl -inform DER" in caught.value.hint


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for load in (Crls.from_file, Crls.from_directory, Crls.from_path):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / "nowhere")
        assert caught.value.code == "file_missing"
    with pytest.raises(ConfigError) as caught:
        Crls.from_directory(tmp_path)
    assert caught.value.code == "no_crl"

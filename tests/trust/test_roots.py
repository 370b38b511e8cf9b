"""Where trust starts from, and which of several places counts."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handfast import SSLContext, limits
from handfast.errors import ConfigError
from handfast.trust.presented import PresentedChain
from handfast.trust.roots import Roots, RootsSource
from handfast.trust.verifiers import PathVerifier
from handfast.verdict import Verdict
from handfast.x509.pem import encode
from handfast.x509.purpose import Purpose

from .crafting import NOW, Made, constraints, intermediate, root, server, usage

if TYPE_CHECKING:
    from pathlib import Path


def pem(*made: Made) -> bytes:
    return b"".join(encode("CERTIFICATE", one.der) for one in made)


@pytest.fixture
def two() -> tuple[Made, Made]:
    return root("First"), root("Second")


def test_pem_with_text_around_and_repetitions(two: tuple[Made, Made]) -> None:
    roots = Roots.from_pem(b"# First\n" + pem(*two) + b"and again\r\n" + pem(two[0]).replace(b"\n", b"\r\n"), "bundle")
    assert roots.certificates == (two[0].der, two[1].der)
    assert roots.source == "bundle (2 roots)"
    assert Roots.from_der([two[0].der]).source == "given certificates (1 root)"


def test_names_are_the_subjects_each_once(two: tuple[Made, Made]) -> None:
    again = root("First")
    roots = Roots.from_der([two[0].der, two[1].der, again.der])
    assert len(roots) == 3
    assert roots.names() == (two[0].certificate.subject.public_bytes(), two[1].certificate.subject.public_bytes())


def test_files_and_directories(two: tuple[Made, Made], tmp_path: Path) -> None:
    (tmp_path / "b.pem").write_bytes(pem(two[1]))
    (tmp_path / "a1b2c3d4.0").write_bytes(pem(two[0]))
    (tmp_path / "key.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n")
    (tmp_path / "README").write_bytes(b"\xff\x00")
    (tmp_path / "empty").mkdir()
    assert Roots.from_file(tmp_path / "b.pem").certificates == (two[1].der,)
    assert Roots.from_directory(tmp_path).certificates == (two[0].der, two[1].der)
    assert Roots.from_path(tmp_path) == Roots.from_directory(tmp_path)
    assert Roots.from_path(tmp_path / "b.pem") == Roots.from_file(tmp_path / "b.pem")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "no_certificate"),
        (b"text", "no_certificate"),
        (b"-----BEGIN CERTIFICATE-----\n", "no_certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "bad_certificate"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "bad_certificate"),
        (None, "file_missing"),
        ("der", "der_as_pem"),
    ],
)
def test_bad_files_are_named(content: bytes | str | None, code: str, two: tuple[Made, Made], tmp_path: Path) -> None:
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else two[0].der)
    with pytest.raises(ConfigError) as caught:
        Roots.from_file(path)
    assert caught.value.code == code
    assert str(path) in caught.value.what


def test_bad_directories_are_named(tmp_path: Path) -> None:
    for path, code in ((tmp_path, "no_certificate"), (tmp_path / "none", "file_missing")):
        with pytest.raises(ConfigError) as caught:
            Roots.from_directory(path)
        assert caught.value.code == code
    with pytest.raises(ConfigError) as caught:
        Roots.from_file(tmp_path)
    assert caught.value.code == "file_unreadable"


def test_a_file_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", 4 * 1024 * 1024)
    with pytest.raises(ConfigError, match="/dev/zero: it has more than 4194304 bytes"):
        Roots.from_file("/dev/zero")


def test_the_environment_in_order(two: tuple[Made, Made], tmp_path: Path) -> None:
    third, fourth = root("Third"), root("Fourth")
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "two.pem").write_bytes(pem(two[1]))
    environ = {"SSL_CERT_DIR": f"{directory}{os.pathsep}"}
    for variable, made in (("SSL_CERT_FILE", two[0]), ("REQUESTS_CA_BUNDLE", third), ("CURL_CA_BUNDLE", fourth)):
        (tmp_path / variable).write_bytes(pem(made))
        environ[variable] = str(tmp_path / variable)

    together = Roots.default(environ)
    assert together.certificates == (two[0].der, two[1].der)
    assert "$SSL_CERT_FILE=" in together.source
    assert "$SSL_CERT_DIR=" in together.source
    assert Roots.default(environ | {"SSL_CERT_FILE": ""}).certificates == (two[1].der,)
    assert Roots.default(environ | {"SSL_CERT_DIR": ""}).certificates == (two[0].der,)
    without = environ | {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
    assert Roots.default(without).certificates == (third.der,)
    last = without | {"REQUESTS_CA_BUNDLE": ""}
    assert Roots.default(last).certificates == (fourth.der,)
    assert Roots.default(last).source == f"$CURL_CA_BUNDLE={tmp_path / 'CURL_CA_BUNDLE'} (1 root)"
    assert Roots.default({}) == Roots.system()
    assert Roots.default({}).source.startswith("the system's store")


def test_where_they_came_from_is_data_too(two: tuple[Made, Made], tmp_path: Path) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "both.pem").write_bytes(pem(*two))
    (tmp_path / "one.pem").write_bytes(pem(two[0], two[0]))
    file = str(tmp_path / "one.pem")
    roots = Roots.default({"SSL_CERT_FILE": file, "SSL_CERT_DIR": str(directory)})
    assert len(roots) == 2
    assert roots.sources == (
        RootsSource("$SSL_CERT_FILE", file, 1),
        RootsSource("$SSL_CERT_DIR", str(directory), 2),
    )
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        assert Roots.default({variable: file}).sources == (RootsSource(f"${variable}", file, 1),)
    assert Roots.from_path(file).sources == (RootsSource("", file, 1),)
    assert Roots.from_path(directory).sources == (RootsSource("", str(directory), 2),)
    assert Roots.from_der([two[0].der]).sources == (RootsSource("", "", 1),)
    (system,) = Roots.default({}).sources
    assert (system.name, system.count) == ("the system's store", len(Roots.system()))


def test_without_a_store_nothing_is_trusted_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handfast.trust.roots._system_paths", list)
    assert Roots.system().sources == (RootsSource("the system's store", "", 0),)


def test_the_environment_chooses_no_roots_for_a_setuid_program(
    two: tuple[Made, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.pem").write_bytes(pem(two[0]))
    own = os.geteuid()
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(tmp_path if variable == "SSL_CERT_DIR" else tmp_path / "one.pem"))
    assert two[0].der in Roots.default().certificates
    monkeypatch.setattr("handfast.trust.roots._system_paths", list)
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert Roots.default().certificates == ()
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    assert context.get_ca_certs() == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_variable_that_names_nothing_is_never_passed_over(variable: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        Roots.default({variable: str(tmp_path / "none")})
    assert f"${variable}=" in caught.value.what


def test_a_file_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[2J.pem"
    path.write_bytes(pem(server(root())))
    assert Roots.from_file(path).source.isprintable()


# Roots that are no good


def odd_roots() -> dict[str, tuple[Made, bytes]]:
    """Roots that have the shape of a certificate and do not parse whole: each as it was made, and as it is."""
    unreadable = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\5\0"), False)
    made = root("Odd", constraints(True))
    extended = root("Odd", constraints(True), unreadable)
    usage_twice = root("Odd", constraints(True), (usage("key_cert_sign"), True))
    return {
        "a name that does not decode": (extended, extended.der),
        "an extension twice": (usage_twice, usage_twice.der.replace(b"\x06\x03\x55\x1d\x0f", b"\x06\x03\x55\x1d\x13")),
        "version 8": (made, made.der.replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\7")),
    }


@pytest.mark.parametrize("what", odd_roots())
@pytest.mark.parametrize("by", ["directory", "environment", "file"])
def test_an_odd_root_is_named_and_the_others_serve(what: str, by: str, tmp_path: Path) -> None:
    made, odd = odd_roots()[what]
    good = root("Good")
    names = {"a.pem": encode("CERTIFICATE", odd), "b.pem": pem(good)}
    if by == "file":
        names = {"a.pem": encode("CERTIFICATE", odd) + pem(good)}
    for file, content in names.items():
        (tmp_path / file).write_bytes(content)
    if by == "environment":
        roots = Roots.default({"SSL_CERT_FILE": str(tmp_path / "a.pem"), "SSL_CERT_DIR": str(tmp_path)})
    else:
        roots = Roots.from_path(tmp_path / "a.pem" if by == "file" else tmp_path)
    verifier = PathVerifier(roots)

    def verdict_on(issuer: Made) -> Verdict:
        chain = server(issuer).chain
        return verifier.verify(PresentedChain(chain=chain, purpose=Purpose.SERVER, server_name="localhost", at=NOW))

    assert verdict_on(good)
    for issuer in (made, intermediate("Middle", made)):
        verdict = verdict_on(issuer)
        assert verdict.code == "unusable_root"
        assert "CN=Odd" in verdict.explanation
        assert str(tmp_path / "a.pem") in verdict.explanation
        assert "ParseError" not in verdict.explanation
    assert verdict_on(good)

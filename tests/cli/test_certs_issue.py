"""`handfast certs` beyond the one command: more from a CA that is there, requests, other forms, and no harm done."""

from __future__ import annotations

import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from handfast.credentials.credentials import Credentials
from handfast.x509.describe import describe
from tests.certificates import require_peer
from tests.cli.conftest import on_a_terminal, shown_until

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SERVER, CLIENT = [ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.fixture
def ca(run: Run, tmp_path: Path) -> Path:
    """The CA of a set that is there."""
    assert run("certs", "localhost", "--dir", tmp_path / "pki").status == 0
    return tmp_path / "pki" / "ca.pem"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def chain(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def usage(path: Path) -> list[x509.ObjectIdentifier]:
    return list(chain(path)[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def names(path: Path) -> tuple[str, ...]:
    return Credentials.from_files(path, path.with_suffix(".key")).names


def subject(path: Path) -> str:
    return describe(Credentials.from_files(path, path.with_suffix(".key")).chain[0]).subject


# From a CA that is there


def test_more_is_issued_without_touching_what_is_there(run: Run, ca: Path) -> None:
    before = contents(ca.parent)
    result = run(
        "certs", "--ca", ca, "--client", "bob", "--client", "carol,spiffe://corp.example/carol", "--server",
        "db.internal,10.0.0.7", "api.internal",
    )  # fmt: skip
    assert result.status == 0
    made = ["api.internal", "db.internal", "bob", "carol"]
    assert [Path(line).name for line in result.out.splitlines()] == [
        f"{name}.{ending}" for name in made for ending in ("pem", "key")
    ]
    after = contents(ca.parent)
    assert {name: after[name] for name in before} == before
    assert names(ca.parent / "db.internal.pem") == ("DNS:db.internal", "IP:10.0.0.7")
    assert names(ca.parent / "carol.pem") == ("URI:spiffe://corp.example/carol",)
    assert [usage(ca.parent / f"{name}.pem") for name in made] == [SERVER, SERVER, CLIENT, CLIENT]
    for name in made:
        chain(ca.parent / f"{name}.pem")[0].verify_directly_issued_by(chain(ca)[0])
        assert stat.S_IMODE((ca.parent / f"{name}.key").stat().st_mode) == 0o600


def test_two_sets_are_told_apart(run: Run, ca: Path, tmp_path: Path) -> None:
    assert run("certs", "localhost", "--dir", tmp_path / "other").status == 0
    one, other = (chain(path)[0].subject for path in (ca, tmp_path / "other" / "ca.pem"))
    assert one != other
    assert all("CN=handfast CA " in name.rfc4514_string() for name in (one, other))


def test_who_meets_a_ca_is_told_how_to_go_on(run: Run, ca: Path) -> None:
    before = contents(ca.parent)
    for wanted in (("localhost",), ("--client", "bob")):
        assert run("certs", *wanted, "--dir", ca.parent).is_error(2, "ca.pem", f"handfast certs --ca {ca}")
    assert contents(ca.parent) == before


def test_a_key_is_never_overwritten(run: Run, ca: Path) -> None:
    assert run("certs", "--ca", ca, "--client", "bob").status == 0
    before = contents(ca.parent)
    # All or nothing: carol would be new.
    assert run("certs", "--ca", ca, "--client", "carol", "--client", "bob").is_error(2, "bob.pem: exists already")
    (ca.parent / "bob.pem").unlink()
    assert run("certs", "--ca", ca, "--client", "bob").is_error(2, "bob.key: exists already")
    del before["bob.pem"]
    assert contents(ca.parent) == before


def test_the_key_may_lie_elsewhere_or_in_the_same_file(run: Run, ca: Path, tmp_path: Path) -> None:
    key = tmp_path / "safe" / "root.pem"
    key.parent.mkdir()
    os.rename(ca.with_suffix(".key"), key)
    assert run("certs", "--ca", ca, "--client", "bob").is_error(2, "there is no key beside it", "--ca-key FILE")
    assert run("certs", "--ca", ca, "--ca-key", key, "--client", "bob").status == 0
    both = tmp_path / "both.pem"
    both.write_bytes(ca.read_bytes() + key.read_bytes())
    assert run("certs", "--ca", both, "--client", "dora", "--dir", tmp_path / "dora").status == 0
    assert names(tmp_path / "dora" / "dora.pem") == ("DNS:dora",)


def test_a_leaf_is_no_ca_and_a_ca_ends(run: Run, ca: Path, tmp_path: Path) -> None:
    from handfast.pki import CertificateAuthority, write_files

    assert run("certs", "--ca", ca.parent / "server.pem", "--client", "bob").is_error(2, "not a CA's")
    old = CertificateAuthority.create("Old CA", now=datetime.now(UTC) - timedelta(days=400))
    write_files(tmp_path / "old", {"ca.pem": old.certificate_pem, "ca.key": old.key_pem()})
    assert run("certs", "--ca", tmp_path / "old" / "ca.pem", "--client", "bob").is_error(2, "this CA ended on")


def test_an_intermediate_issues_at_once_and_later(run: Run, ca: Path) -> None:
    folder = ca.parent
    assert run("certs", "--ca", ca, "--intermediate", "Issuing CA", "--server", "a.example").status == 0
    leaf, issuing = chain(folder / "a.example.pem")
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(chain(ca)[0])
    assert run("certs", "--ca", folder / "Issuing-CA.pem", "--client", "bob").status == 0
    assert chain(folder / "bob.pem")[1:] == [issuing]
    assert run("certs", "--ca", folder / "Issuing-CA.pem", "--intermediate", "no").is_error(2, "path length is 0")


# Requests


def test_a_request_goes_out_and_comes_back(run: Run, ca: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    result = run("certs", "--request", "--client", "bob,bob@corp.example", "--server", "db.internal", "--dir", mine)
    assert (result.status, sorted(contents(mine))) == (0, ["bob.csr", "bob.key", "db.internal.csr", "db.internal.key"])
    before = contents(mine)
    requests = [("--csr", mine / "bob.csr"), ("--csr", mine / "db.internal.csr")]
    assert run("certs", "--ca", ca, *(word for pair in requests for word in pair), "--dir", mine).status == 0
    assert {name: content for name, content in contents(mine).items() if name in before} == before
    assert (names(mine / "bob.pem"), usage(mine / "bob.pem")) == (("email:bob@corp.example",), CLIENT)
    assert (names(mine / "db.internal.pem"), usage(mine / "db.internal.pem")) == (("DNS:db.internal",), SERVER)


P256 = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl_request(folder: Path, *more: str, key: tuple[str, ...] = P256) -> Path:
    command = [require_peer("openssl"), "req", "-new", *key, "-nodes"]
    subprocess.run(
        [*command, "-keyout", "r.key", "-out", "r.csr", "-subj", "/O=Theirs/CN=printer", *more],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "r.csr"


@pytest.mark.parametrize(
    ("asked", "wanted", "purpose", "named"),
    [
        (("-addext", "subjectAltName=DNS:p.example"), (), SERVER, ("DNS:p.example",)),
        (("-addext", "subjectAltName=URI:spiffe://a/b"), (), CLIENT, ("URI:spiffe://a/b",)),
        ((), ("--as", "client"), CLIENT, ()),
        ((), ("--as", "server", "p.example", "10.0.0.9"), SERVER, ("DNS:p.example", "IP:10.0.0.9")),
        (("-addext", "subjectAltName=DNS:p.example"), ("q.example",), SERVER, ("DNS:q.example",)),
    ],
)
def test_a_request_of_openssls_is_signed(
    run: Run, ca: Path, tmp_path: Path, asked: tuple[str, ...], wanted: tuple[str, ...], purpose: object, named: object
) -> None:
    request = openssl_request(tmp_path, *asked)
    assert run("certs", "--ca", ca, "--csr", request, *wanted, "--dir", tmp_path).status == 0
    made = tmp_path / "r.pem"
    assert (usage(made), names(made)) == (purpose, named)
    assert subject(made) == "CN=printer,O=Theirs"


def test_what_a_request_may_not_get(run: Run, ca: Path, tmp_path: Path) -> None:
    asked = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    wishes: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
        ((), (), ("does not say what for", "--as")),
        ((), ("--as", "server"), ("has no name",)),
        (asked, (), ("certificate of a CA", "--as")),
    ]
    for more, options, words in wishes:
        request = openssl_request(tmp_path, *more)
        assert run("certs", "--ca", ca, "--csr", request, *options, "--dir", tmp_path / "out").is_error(2, *words)
    request = openssl_request(tmp_path, *asked)
    assert run("certs", "--ca", ca, "--csr", request, "--as", "client", "--dir", tmp_path).status == 0
    assert not chain(tmp_path / "r.pem")[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert run("certs", "--ca", ca, "--csr", request, "--as", "ca", "--dir", tmp_path / "sub").status == 0
    (tmp_path / "sub" / "r.key").write_bytes((tmp_path / "r.key").read_bytes())
    assert run("certs", "--ca", tmp_path / "sub" / "r.pem", "--client", "bob").status == 0


def test_files_that_are_no_requests(run: Run, ca: Path, tmp_path: Path) -> None:
    der = x509.load_pem_x509_csr(openssl_request(tmp_path).read_bytes()).public_bytes(Encoding.DER)
    altered = der.replace(b"printer", b"plotter")
    cases = {
        "key.csr": (ca.with_suffix(".key").read_bytes(), "it is a private key"),
        "cert.csr": (ca.read_bytes(), "it is a certificate"),
        "none.csr": (b"", "it is empty"),
        "forged.csr": (altered, "did not sign it"),
    }
    for name, (content, words) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert run("certs", "--ca", ca, "--csr", tmp_path / name).is_error(2, name, words)
    weak = openssl_request(tmp_path, key=("-newkey", "rsa:1024"))
    assert run("certs", "--ca", ca, "--csr", weak, "--as", "client").is_error(2, "too small")
    assert run("certs", "--ca", ca, "--csr", tmp_path / "absent.csr").is_error(2, "no such file")


def test_a_file_that_is_there_can_be_replaced(run: Run, ca: Path) -> None:
    given = ("certs", "--ca", ca, "--client", "bob")
    assert run(*given).status == 0
    assert run(*given).is_error(2, "bob.pem: exists already", "choose another --dir, or --replace")
    fault = ("certs", "--fault", "expired", "--dir", ca.parent)
    assert run(*fault).is_error(2, "exists already", "choose another --dir, or --replace")
    assert run(*given, "--replace").status == 0


def test_a_directory_in_place_of_a_list_is_named(run: Run, ca: Path) -> None:
    assert run("certs", "crl", "--ca", ca, "--out", ca.parent / ".").is_error(2, "directory")
    (ca.parent / "list").mkdir()
    refused = run("certs", "crl", "--ca", ca, "--out", ca.parent / "list")
    assert refused.is_error(2, f"{ca.parent / 'list'}: is a directory, not a regular file")


# Subjects and dates


def test_subject_fields(run: Run, tmp_path: Path) -> None:
    fields = "CN=ignored"
    assert run("certs", "localhost", "--subject", fields, "--dir", tmp_path).is_error(2, "several certificates")
    fields = "OU=Payments,O=Example\\, Inc.,C=DE"
    assert run("certs", "localhost", "--client", "bob", "--subject", fields, "--dir", tmp_path).status == 0
    assert subject(tmp_path / "client.pem") == "CN=bob,OU=Payments,O=Example\\, Inc.,C=DE"
    issuer = chain(tmp_path / "ca.pem")[0].subject.rfc4514_string()
    assert issuer.startswith("CN=handfast CA ")
    assert issuer.endswith(",OU=Payments,O=Example\\, Inc.,C=DE")
    more = ("--client", "dora", "--subject", "/O=Else/CN=Dora D.")
    assert run("certs", "--ca", tmp_path / "ca.pem", *more).status == 0
    assert subject(tmp_path / "dora.pem") == "CN=Dora D.,O=Else"


def test_a_cn_other_than_the_name_is_said(run: Run, ca: Path) -> None:
    other = run("certs", "--ca", ca, "--client", "bob", "--subject", "CN=carol")
    assert "handfast: warning: --subject: the CN is carol, and bob is not" in other.err
    assert "the client certificate is for CN=carol" in other.err
    same = run("certs", "--ca", ca, "--client", "dora", "--subject", "O=Else,CN=dora")
    assert (same.status, "warning" in same.err) == (0, False)


LONG = "a" * 65


@pytest.mark.parametrize(
    "arguments",
    [
        ("localhost", "--client", LONG),
        ("localhost", "--client", f"{LONG},bob.example"),
        ("localhost", "--client", f"{'b.' * 40}example,bob.example"),
        ("localhost", "--intermediate", LONG),
        ("localhost", "--ca-name", LONG),
        ("--request", "--client", LONG),
        ("localhost", "--client", LONG, "--subject", "O=Example"),
    ],
)
def test_a_name_that_would_stand_nowhere_is_refused(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert run("certs", *arguments, "--dir", tmp_path).is_error(2, "at most 64", "give a shorter one")
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_that_stands_in_subject_alt_name_is_none(run: Run, tmp_path: Path) -> None:
    uri = f"spiffe://corp.example/{LONG}"
    assert run("certs", "localhost", "--client", uri, "--dir", tmp_path).status == 0
    assert describe(chain(tmp_path / "client.pem")[0].public_bytes(Encoding.DER)).names == (f"URI:{uri}",)


def test_a_name_for_the_ca(run: Run, tmp_path: Path) -> None:
    assert run("certs", "localhost", "--ca-name", "Corp Root 7", "--dir", tmp_path).status == 0
    assert chain(tmp_path / "ca.pem")[0].subject.rfc4514_string() == "CN=Corp Root 7,O=handfast"


def test_until_a_day_or_a_moment(run: Run, ca: Path) -> None:
    day = (datetime.now(UTC) + timedelta(days=40)).date()
    assert run("certs", "--ca", ca, "--client", "bob", "--until", day).status == 0
    end = chain(ca.parent / "bob.pem")[0].not_valid_after_utc
    assert end == datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
    assert run("certs", "--ca", ca, "--client", "carol", "--until", f"{day}T12:30:00+02:00").status == 0
    end = chain(ca.parent / "carol.pem")[0].not_valid_after_utc
    assert end == datetime(day.year, day.month, day.day, 10, 30, tzinfo=UTC)
    days = run("certs", "--ca", ca, "--client", "dora", "--days", 400)
    assert "and they end with it" in days.err
    assert chain(ca.parent / "dora.pem")[0].not_valid_after_utc == chain(ca)[0].not_valid_after_utc


def test_a_new_ca_lasts_as_long_as_its_leaves(run: Run, tmp_path: Path) -> None:
    assert run("certs", "localhost", "--days", 800, "--dir", tmp_path).status == 0
    ends = {chain(tmp_path / name)[0].not_valid_after_utc for name in ("ca.pem", "server.pem", "client.pem")}
    assert len(ends) == 1


# Keys and other forms


def test_encrypted_keys(run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    folder = tmp_path / "pki"
    assert run("certs", "localhost", "--key-password-file", password, "--dir", folder).status == 0
    for key in folder.glob("*.key"):
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes()
        load_pem_private_key(key.read_bytes(), b"correct horse")
    more = ("certs", "--ca", folder / "ca.pem", "--client", "bob")
    assert run(*more).is_error(2, "ca.key", "encrypted")
    assert run(*more, "--ca-password-file", password).status == 0
    assert b"ENCRYPTED" not in (folder / "bob.key").read_bytes()
    assert run("certs", "--ca", folder / "ca.pem", "--client", "dora", "--key-password-file", password).status == 0
    assert b"ENCRYPTED" in (folder / "dora.key").read_bytes()
    (tmp_path / "empty").write_text("\n")
    assert run("certs", "x", "--key-password-file", tmp_path / "empty", "--dir", folder).is_error(2, "no password")


def test_a_ca_password_is_asked_for_at_a_terminal(run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    folder = tmp_path / "pki"
    assert run("certs", "localhost", "--key-password-file", password, "--dir", folder).status == 0
    with on_a_terminal("certs", "--ca", folder / "ca.pem", "--client", "bob") as (_, controller):
        shown = ""
        # The blank at the end comes when the terminal no longer shows what is typed.
        while not shown.endswith("ca.key: "):
            shown += os.read(controller, 1024).decode()
        os.write(controller, b"correct horse\n")
        shown += shown_until(controller, "is for CN=bob")
    assert "correct horse" not in shown
    assert (folder / "bob.pem").exists()


def test_pkcs12_and_combined(run: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    folder = tmp_path / "pki"
    options = ("--p12", "--p12-password-file", password, "--combined", "--intermediate", "issuing")
    assert run("certs", "localhost", *options, "--dir", folder).status == 0
    key, certificate, more = pkcs12.load_key_and_certificates((folder / "client.p12").read_bytes(), b"correct horse")
    assert [certificate, *more] == chain(folder / "client.pem")
    assert key is not None
    combined = folder / "client.combined.pem"
    assert combined.read_bytes() == (folder / "client.pem").read_bytes() + (folder / "client.key").read_bytes()
    for name in ("client.p12", "client.combined.pem", "client.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert run("certs", "localhost", "--p12", "--dir", tmp_path / "x").is_error(2, "--p12-password-file")
    ml_dsa = ("--key-type", "ml-dsa-44", "--dir", tmp_path / "x")
    assert run("certs", "localhost", *options[:3], *ml_dsa).is_error(2, "PKCS#12", "ML-DSA")
    assert not (tmp_path / "x").exists()


def test_a_ca_whose_key_never_was_on_disk(run: Run, tmp_path: Path) -> None:
    result = run("certs", "localhost", "--destroy-ca-key", "--dir", tmp_path)
    assert (result.status, (tmp_path / "ca.key").exists()) == (0, False)
    assert "never written" in result.err
    assert run("certs", "--ca", tmp_path / "ca.pem", "--client", "bob").is_error(2, "destroyed")


def test_a_ca_that_is_bound_to_names(run: Run, tmp_path: Path) -> None:
    bound = ("--constrain", "corp.example", "--constrain", "10.0.0.0/8")
    assert run("certs", "www.corp.example", *bound, "--client", "bob", "--dir", tmp_path / "a").status == 0
    for wanted in ("www.other.example", "192.0.2.1"):
        refused = run("certs", wanted, *bound, "--dir", tmp_path / "b")
        assert refused.is_error(2, wanted, "may not vouch for it")
    ca = tmp_path / "a" / "ca.pem"
    assert run("certs", "--ca", ca, "--server", "a.corp.example,10.1.2.3").status == 0
    assert run("certs", "--ca", ca, "--server", "a.example").is_error(2, "may not vouch")
    # What has no domain in it could not bind host names.
    assert run("certs", "x", "--constrain", "10.0.0.0/8", "--dir", tmp_path / "c").is_error(2, "no domain")
    assert run("certs", "--ca", ca, "--intermediate", "sub", "--client", "eve").status == 0
    assert run("certs", "--ca", tmp_path / "a" / "sub.pem", "--server", "b.example").is_error(2, "may not vouch")


@pytest.mark.parametrize("kind", ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"])
def test_ml_dsa(run: Run, tmp_path: Path, kind: str) -> None:
    assert run("certs", "localhost", "--key-type", kind, "--dir", tmp_path).status == 0
    chain(tmp_path / "server.pem")[0].verify_directly_issued_by(chain(tmp_path / "ca.pem")[0])
    assert run("certs", "--ca", tmp_path / "ca.pem", "--client", "bob").status == 0
    assert names(tmp_path / "bob.pem") == ("DNS:bob",)
    assert run("certs", "--request", "--client", "dora", "--key-type", kind, "--dir", tmp_path).status == 0
    assert run("certs", "--ca", tmp_path / "ca.pem", "--csr", tmp_path / "dora.csr").status == 0


# Files


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("*.example.com", "_wildcard.example.com"),
        ("spiffe://corp.example/api", "spiffe-corp.example-api"),
        ("::1", "1"),
        ("bob@corp.example", "bob@corp.example"),
    ],
)
def test_files_are_called_after_names(run: Run, ca: Path, name: str, file: str) -> None:
    assert run("certs", "--ca", ca, "--server", name).status == 0
    assert (ca.parent / f"{file}.pem").exists()


def test_a_name_leads_out_of_no_directory(run: Run, ca: Path) -> None:
    before = sorted(ca.parent.parent.iterdir())
    for name in ("../../evil", "/etc/evil", "..", "a/b", "\x1b[31m"):
        assert run("certs", "--ca", ca, "--client", name).status == 0
    assert sorted(ca.parent.parent.iterdir()) == before
    assert all(path.is_file() and path.name.isprintable() for path in ca.parent.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--client", "bob", "--server", "BOB", "--request"), ("bob", "two of the files")),
        (("--client", "bob,,x", "--request"), ("--client", "empty name")),
        (("--request",), ("NAME", "is missing")),
        (("x", "--client", "a", "--client", "ca"), ("ca.pem", "two of the files")),
        (("x", "--csr", "a.csr"), ("--csr", "--ca FILE")),
        (("x", "--ca-key", "a.key"), ("--ca-key", "--ca FILE")),
        (("x", "--request", "--days", "3"), ("--days", "--request")),
        (("x", "--days", "3", "--until", "2099-01-01"), ("--until", "--days")),
        (("x", "--until", "2020-01-01"), ("--until", "is over")),
        (("x", "--until", "2099-01-01"), ("--until", "825 days")),
        (("x", "--until", "tomorrow"), ("--until", "no date")),
        (("x", "--as", "client"), ("--as", "--csr")),
        (("x", "--p12-password-file", "f"), ("--p12-password-file", "--p12")),
        (("x", "--subject", "nonsense"), ("nonsense", "O=Example")),
        (("x", "--subject", "C=Germany"), ("two letters",)),
        (("x", "--subject", "CN=a,CN=b"), ("two CNs",)),
        (("x", "--constrain", "10.1.2.3/8"), ("10.0.0.0/8",)),
        (("x", "--constrain", "not a name"), ("not a name",)),
        (("x", "--ca", "absent.pem"), ("absent",)),
    ],
)
def test_what_does_not_go_together(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("certs", *arguments).is_error(2, *words)
    assert list(tmp_path.iterdir()) == []

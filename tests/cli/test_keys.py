"""Where --cert and --key lead: PKCS#12 files and keys in tokens."""

from __future__ import annotations

import re

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from handfast.engine import ClientAuth
from tests import certificates
from tests.cli.conftest import finish, https_server, start
from tests.softhsm import PIN, Tokens


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    made = Tokens(tmp_path_factory.mktemp("softhsm"))
    made.make("first")
    made.put("first", "alice", certificates.client())
    made.put("first", "server", certificates.server())
    return made


@pytest.fixture
def bundle(tmp_path):
    """A PKCS#12 file of the client's, whose password is "secret"."""
    issued = certificates.client()
    path = tmp_path / "alice.p12"
    encryption = BestAvailableEncryption(b"secret")
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"x", issued.key, issued.certificate, None, encryption))
    return path


def test_pkcs12_and_its_password(run, pki, bundle, tmp_path):
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "wrong").write_text("guess\n")
    with https_server(ClientAuth.REQUIRE_AND_VERIFY) as port:
        options = ("connect", f"https://localhost:{port}/", *pki.trust, "--cert", bundle)
        assert "alice" in run(*options, "--key-password-file", tmp_path / "password").out
        assert "alice" in run(*options, "--key", bundle, "--key-password-file", tmp_path / "password").out
        assert run(*options).is_error(2, "alice.p12", "encrypted", "--key-password-file")
        assert run(*options, "--key-password-file", tmp_path / "wrong").is_error(2, "alice.p12", "does not open")


def test_a_password_file_that_is_not_there_is_said_though_the_key_is_open(run, pki, tmp_path):
    missing = ("--key-password-file", tmp_path / "gone")
    assert run("connect", "https://localhost:1/", *pki.alice, *missing).is_error(2, "gone: no such file")


def test_both_sides_keys_in_a_token(pki, tokens, tmp_path):
    (tmp_path / "pin").write_text(f"{PIN}\n")
    uri = f"pkcs11:token=first;object=%s?module-path={tokens.module}"
    serve = ("serve", "--cert", pki.server_cert, "--key", f"{uri % 'server'}&pin-source=file:{tmp_path}/pin")
    with start(*serve, "--client-ca", pki.ca, "--listen", "127.0.0.1:0", env=tokens.environment) as server:
        assert server.stdout is not None
        found = re.search(r":(\d+)/", server.stdout.readline())
        assert found is not None
        port = found[1]
        options = (
            *pki.trust,
            "--cert",
            pki.client_cert,
            "--key",
            uri % "alice",
            "--key-password-file",
            tmp_path / "pin",
        )
        result = finish(start("connect", f"https://127.0.0.1:{port}/", *options, env=tokens.environment))
        server.terminate()
    assert "alice" in result.out
    assert result.status == 0


def test_the_only_token_need_not_be_named(pki, tokens):
    key = f"pkcs11:object=alice?module-path={tokens.module}&pin-value={PIN}"
    options = (*pki.trust, "--cert", pki.client_cert, "--key", key)
    assert finish(start("connect", "https://127.0.0.1:1/", *options, env=tokens.environment)).is_error(1, "refused")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:token=first;object=alice?module-path=MODULE&pin-value=9999", ("refuses the PIN", "locks itself")),
        ("pkcs11:token=first;object=alice?module-path=MODULE", ("wants a PIN", "--key-password-file")),
        ("pkcs11:token=third?module-path=MODULE", ("no token fits pkcs11:token=third;", "has 'first' (")),
        ("pkcs11:token=first;object=bob?module-path=MODULE&pin-value=1234", ("no such private key",)),
        ("pkcs11:token=first;object=server?module-path=MODULE&pin-value=1234", ("does not belong", "client.pem")),
        ("pkcs11:token=first?module-path=/none.so", ("/none.so: cannot be used as a PKCS#11 module",)),
        ("pkcs11:token=first?pin-source=|id", ("is a command",)),
        ("pkcs11:token=first;object", ("object has no value",)),
    ],
)
def test_what_is_wrong_with_a_token_is_said_in_two_lines(pki, tokens, uri, words):
    key = uri.replace("MODULE", tokens.module)
    options = (*pki.trust, "--cert", pki.client_cert, "--key", key)
    result = finish(start("connect", "https://127.0.0.1:1/", *options, env=tokens.environment))
    assert result.is_error(2, *words)
    assert "1234" not in result.err
    assert "9999" not in result.err

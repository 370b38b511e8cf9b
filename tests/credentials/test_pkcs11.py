"""Keys in PKCS#11 tokens, against SoftHSM2."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import handfast
from handfast.credentials.credentials import Credentials
from handfast.credentials.pkcs11 import Pkcs11Signer
from handfast.credentials.signers import ThreadSigner, must_be_checked
from handfast.crypto import signatures
from handfast.errors import ConfigError, LocalFailure
from handfast.registry import SignatureScheme
from handfast.x509.pem import encode
from tests import certificates
from tests.credentials.test_signers import client_config, serve_blocking, serve_in_a_loop
from tests.softhsm import PIN, Tokens
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handfast.pki.authority import Issued

KINDS = {
    "ecdsa-p256": (SignatureScheme.ecdsa_secp256r1_sha256,),
    "ecdsa-p384": (SignatureScheme.ecdsa_secp384r1_sha384,),
    "ed25519": (SignatureScheme.ed25519,),
    "rsa-2048": (
        SignatureScheme.rsa_pss_rsae_sha256,
        SignatureScheme.rsa_pss_rsae_sha384,
        SignatureScheme.rsa_pss_rsae_sha512,
    ),
}


SERVER = certificates.server("ecdsa-p256")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    """SoftHSM reads its configuration once per process: all tests here share these."""
    made = Tokens(tmp_path_factory.mktemp("softhsm"))
    made.make("first")
    made.make("second")
    for kind in KINDS:
        made.put("first", kind, certificates.server(kind))
    made.put("first", "twice", SERVER)
    made.put("first", "twice", certificates.client())
    made.put("second", "other", certificates.client())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made


def signer(tokens: Tokens, kind: str = "ecdsa-p256", **options: Any) -> Pkcs11Signer:
    uri = tokens.uri(f"pkcs11:token=first;object={kind}")
    return Pkcs11Signer(uri, certificates.server(kind).chain[0], **options)


def failure(uri: str, pin: Any = None, issued: Issued | None = None, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Pkcs11Signer(uri, (issued or SERVER).chain[0], pin, **options)
    assert caught.value.hint
    assert PIN not in f"{caught.value.what} {caught.value.details}"
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_signatures_of_every_kind(tokens: Tokens, kind: str) -> None:
    made = signer(tokens, kind)
    assert made.schemes == KINDS[kind]
    key = signatures.certificate_public_key(certificates.server(kind).chain[0])
    for scheme in made.schemes:
        assert signatures.verify(key, scheme, made.sign(scheme, b"message"), b"message")
    assert PIN not in repr(made)
    assert f"object={kind}" in repr(made)
    with pytest.raises(LocalFailure, match="cannot make ed448 signatures"):
        made.sign(SignatureScheme.ed448, b"message")


def test_a_key_by_its_id(tokens: Tokens) -> None:
    uri = tokens.uri("pkcs11:token=first;id=%00%01;type=private")
    assert Pkcs11Signer(uri, certificates.server("ecdsa-p256").chain[0]).schemes == KINDS["ecdsa-p256"]


@pytest.mark.parametrize("kind", ["ecdsa-p256", "rsa-2048", "ed25519"])
def test_a_handshake_in_both_roles(tokens: Tokens, kind: str, tmp_path: Path) -> None:
    issued = certificates.server(kind)
    (tmp_path / "cert.pem").write_bytes(issued.cert_pem)
    path = f"pkcs11:token=first;object={kind}?module-path={tokens.module}"
    credentials = Credentials.from_files(tmp_path / "cert.pem", path, PIN)
    assert credentials.chain == issued.chain
    assert isinstance(credentials.signer, ThreadSigner)
    assert must_be_checked(credentials.signer)
    assert serve_blocking(credentials.signer, issued) == b"hello"
    assert asyncio.run(serve_in_a_loop(credentials.signer, issued)) == b"hello"
    server = handfast.ServerConnection(
        handfast.ServerConfig(credentials=[credentials], client_auth=handfast.ClientAuth.REQUIRE_ANY)
    )
    client = handfast.ClientConnection(client_config(credentials=[credentials]), server_name="localhost")
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    assert server.info.peer is not None
    assert server.info.peer.chain == issued.chain


def test_many_threads_sign_at_once(tokens: Tokens) -> None:
    made = [signer(tokens), signer(tokens, "rsa-2048"), signer(tokens)]
    keys = [
        signatures.certificate_public_key(certificates.server(kind).chain[0]) for kind in ("ecdsa-p256", "rsa-2048")
    ]
    wrong = []

    def work(number: int) -> None:
        one, key = made[number % 3], keys[number % 3 == 1]
        for turn in range(20):
            message = b"%d %d" % (number, turn)
            if not signatures.verify(key, one.schemes[0], one.sign(one.schemes[0], message), message):
                wrong.append(message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_session_that_is_gone_is_opened_anew(tokens: Tokens) -> None:
    made = signer(tokens)
    made.close()
    assert made.sign(made.schemes[0], b"message")
    made._key.session.close()
    assert made.sign(made.schemes[0], b"message")


def test_what_is_not_there(tokens: Tokens) -> None:
    missing = failure(tokens.uri("pkcs11:token=third;object=x"))
    assert missing.code == "no_token"
    assert missing.what == f"no token fits pkcs11:token=third;object=x; {tokens.module} has 'first', 'second'"
    several = failure(tokens.uri("pkcs11:object=ecdsa-p256")).what
    assert several == f"several tokens fit pkcs11:object=ecdsa-p256; {tokens.module} has 'first', 'second'"
    for path, code in (
        # SoftHSM always has a blank token besides, whose label is empty.
        ("pkcs11:token=", "no_token"),
        ("pkcs11:token=first;object=none", "no_token_key"),
        ("pkcs11:token=first;id=%09", "no_token_key"),
        ("pkcs11:token=first;object=twice", "several_token_keys"),
        ("pkcs11:token=first;object=ecdsa-p256;manufacturer=Nobody", "no_token"),
        ("pkcs11:token=first;object=ecdsa-p256;library-version=1.0", "no_token"),
    ):
        assert failure(tokens.uri(path)).code == code
    everything = (
        "pkcs11:token=first;object=ecdsa-p256;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;"
        "library-manufacturer=SoftHSM;library-description=Implementation%20of%20PKCS11"
    )
    assert Pkcs11Signer(tokens.uri(everything), SERVER.chain[0]).schemes


@pytest.mark.parametrize("kind", ["ecdsa-p384", "rsa-2048", "twin"])
def test_a_key_of_another_certificate(tokens: Tokens, kind: str) -> None:
    issued = certificates.client() if kind == "twin" else certificates.server(kind)
    error = failure(tokens.uri("pkcs11:token=first;object=ecdsa-p256"), issued=issued, cert_name="cert.pem")
    assert error.code == "key_mismatch"
    assert "cert.pem" in error.what


def test_modules(tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "pkcs11:token=first;object=ecdsa-p256"
    (tmp_path / "text.so").write_text("no library")
    for uri, module in (
        (f"{path}?module-path=/none.so", None),
        (f"{path}?module-path={tmp_path}/text.so", None),
        (f"{path}?module-name=handfast-none", None),
        (f"{path}?module-path=libc.so.6", None),
        (tokens.uri(path), "/none.so"),
    ):
        assert failure(uri, module=module).code == "bad_pkcs11_module"
    monkeypatch.setenv("HANDFAST_PKCS11_MODULE", "/none.so")
    assert "/none.so" in failure(path).what
    monkeypatch.setenv("HANDFAST_PKCS11_MODULE", tokens.module)
    assert Pkcs11Signer(path, SERVER.chain[0], PIN).schemes
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    assert failure(tokens.uri(path)).code == "pkcs11_not_installed"


# In a process of its own: a login holds for a whole process, and SoftHSM reads its settings once.


def elsewhere(tokens: Tokens, script: str, **environment: str) -> str:
    """What the script prints, which has ``uri(path, pin)``, the certificate ``leaf`` and ``ConfigError``."""
    issued = certificates.server("rsa-2048" if "rsa" in script else "ecdsa-p256")
    head = f"""
from handfast.credentials.pkcs11 import Pkcs11Signer
from handfast.errors import ConfigError, LocalFailure
leaf = bytes.fromhex({issued.chain[0].hex()!r})
path = "pkcs11:token=first;object={"rsa-2048" if "rsa" in script else "ecdsa-p256"}"
module = {tokens.module!r}
"""
    done = subprocess.run(
        [sys.executable, "-c", head + script],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, **tokens.environment, **environment},
    )
    assert done.stderr == ""
    return done.stdout


def test_a_wrong_pin_and_none(tokens: Tokens) -> None:
    script = """
asked = []
def attempt(pin):
    try:
        Pkcs11Signer(path, leaf, pin, module=module)
        print("opened")
    except ConfigError as error:
        print(error.code)
def ask():
    asked.append(1)
    return "wrong"
attempt("wrong"), attempt("x" * 300), attempt(None)
lazy = Pkcs11Signer(path, leaf, ask, module=module)
print(len(asked), len(lazy.schemes))
for _ in range(5):
    try:
        lazy.sign(lazy.schemes[0], b"x")
    except LocalFailure as error:
        print(error.code, "refuses the PIN" in error.what, len(asked))
attempt("1234")
"""
    refused = "signing_failed True 1\n" * 5
    assert elsewhere(tokens, script) == f"pin_wrong\npin_wrong\npin_needed\n0 1\n{refused}opened\n"


def test_who_knows_the_pin_is_asked_at_the_first_signature(tokens: Tokens) -> None:
    script = """
asked = []
lazy = Pkcs11Signer(path, leaf, lambda: asked.append(1) or "1234", module=module)
print(len(asked), bool(lazy.sign(lazy.schemes[0], b"x")), bool(lazy.sign(lazy.schemes[0], b"x")), len(asked))
"""
    assert elsewhere(tokens, script) == "0 True True 1\n"


EACH_TIME = """
import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from handfast.crypto import signatures
session = next(pkcs11.lib(module).get_tokens(token_label="first")).open(rw=True, user_pin="1234")
names = pkcs11.Attribute
parameters = session.create_domain_parameters(
    pkcs11.KeyType.EC, {names.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")}, local=True
)
public, _ = parameters.generate_keypair(
    label=label,
    private_template={names.ALWAYS_AUTHENTICATE: True},
    capabilities=pkcs11.MechanismFlag.SIGN,
    store=True,
)
point = public[names.EC_POINT][2:]
key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
spki = signatures.describe_public_key(key)
signatures.certificate_public_key = lambda certificate: spki
"""
"""Makes a key that wants the PIN for each signature; ``session`` is logged in."""


def test_a_key_that_wants_the_pin_for_each_signature(tokens: Tokens) -> None:
    script = f"""
label = "each"
{EACH_TIME}
session.close()
one = Pkcs11Signer("pkcs11:token=first;object=each", b"", "1234", module=module)
scheme, = one.schemes
print(one._asks_each_time, [signatures.verify(spki, scheme, one.sign(scheme, b"x"), b"x") for _ in "12"])
"""
    assert elsewhere(tokens, script) == "True [True, True]\n"


def test_a_wrong_pin_for_each_signature_is_given_once(tokens: Tokens) -> None:
    # Another part of the process is logged in, so that the key is seen without the PIN.
    script = f"""
label = "each wrong"
{EACH_TIME}
one = Pkcs11Signer("pkcs11:token=first;object=each%20wrong", b"", lambda: "9999", module=module)
scheme, = one.schemes
for _ in "123":
    try:
        one.sign(scheme, b"x")
    except LocalFailure as error:
        print("refuses the PIN" in error.what)
    one.close()
"""
    assert elsewhere(tokens, script) == "True\n" * 3


def test_a_pin_that_is_no_text(tokens: Tokens) -> None:
    script = """
try:
    Pkcs11Signer(path, leaf, b"\\xff", module=module)
except ConfigError as error:
    print(error.what)
"""
    assert "the PIN that was given is not UTF-8" in elsewhere(tokens, script)


def test_a_token_of_pkcs1_signatures_only(tokens: Tokens) -> None:
    script = """
try:
    Pkcs11Signer(path, leaf, "1234", module=module)  # rsa
except ConfigError as error:
    print(error.code, error.what, error.hint)
"""
    told = elsewhere(
        tokens, script, **tokens.configured("pkcs1.conf", "slots.mechanisms = CKM_RSA_PKCS,CKM_SHA256_RSA_PKCS\n")
    )
    assert told.startswith(
        "token_pkcs1_only pkcs11:token=first;object=rsa-2048: the token signs with RSA in PKCS#1 v1.5 only"
    )
    told = elsewhere(tokens, script, **tokens.configured("none.conf", "slots.mechanisms = CKM_AES_CBC\n"))
    assert told.startswith("token_mechanism")


@pytest.mark.parametrize("mechanisms", ["CKM_RSA_PKCS", "CKM_RSA_PKCS,CKM_SHA256_RSA_PKCS,CKM_SHA512_RSA_PKCS"])
def test_a_client_with_a_token_of_pkcs1_signatures_only(tokens: Tokens, tmp_path: Path, mechanisms: str) -> None:
    (tmp_path / "cert.pem").write_bytes(certificates.server("rsa-2048").cert_pem)
    script = f"""
import handfast
from handfast.crypto import signatures
from handfast.registry import SignatureScheme
uri = path + "?module-path=" + module  # rsa
mine = handfast.Credentials.from_files({str(tmp_path / "cert.pem")!r}, uri, "1234", legacy_client_signatures=True)
print(*map(SignatureScheme.describe, mine.signer.schemes))
print(*[signatures.verify(mine.public_key, one, mine.signer.sign(one, b"x"), b"x") for one in mine.signer.schemes])
roots = handfast.Roots.from_der([{certificates.ca().certificate_der!r}])
trusting = dict(verifier=handfast.PathVerifier(roots), credentials=[mine])
own = handfast.Credentials.from_pem({SERVER.cert_pem!r}, {SERVER.key_pem!r})
asks = dict(credentials=[own], client_auth=handfast.ClientAuth.REQUIRE_ANY, accept_legacy_client_signatures=True)
for version in (0x0304, 0x0303):
    server = handfast.ServerConnection(handfast.ServerConfig(**asks))
    config = handfast.ClientConfig(**trusting, versions=[version])
    client = handfast.ClientConnection(config, server_name="localhost")
    while not (client.connected and server.connected):
        server.receive(client.outgoing())
        client.receive(server.outgoing())
    print(server.info.peer.chain == mine.chain, SignatureScheme.describe(server.info.peer_scheme))
"""
    told = elsewhere(tokens, script, **tokens.configured("legacy.conf", f"slots.mechanisms = {mechanisms}\n"))
    usual = [f"rsa_pkcs1_sha{size}" for size in (256, 384, 512)]
    assert told.splitlines() == [
        " ".join(usual + [f"{name}_legacy" for name in usual]),
        " ".join(["True"] * 6),
        "True rsa_pkcs1_sha256_legacy",
        "True rsa_pkcs1_sha256",
    ]


def test_a_token_that_can_do_better_is_not_asked_for_pkcs1(tokens: Tokens) -> None:
    for kind in ("rsa-2048", "ecdsa-p256"):
        assert signer(tokens, kind, legacy_client_signatures=True).schemes == KINDS[kind]


def test_a_token_that_hashes_no_message_is_given_digests(tokens: Tokens) -> None:
    script = """
from handfast.crypto import signatures
one = Pkcs11Signer(path, leaf, "1234", module=module)  # rsa
key = signatures.certificate_public_key(leaf)
print([signatures.verify(key, scheme, one.sign(scheme, b"x"), b"x") for scheme in one.schemes])
"""
    environment = tokens.configured("digests.conf", "slots.mechanisms = CKM_RSA_PKCS_PSS\n")
    assert elsewhere(tokens, script, **environment) == "[True, True, True]\n"


def test_a_fork_is_noticed(tokens: Tokens) -> None:
    script = """
import os, sys
one = Pkcs11Signer(path, leaf, "1234", module=module)
if os.fork() == 0:
    try:
        one.sign(one.schemes[0], b"x")
    except LocalFailure as error:
        print(error.what, flush=True)
    os._exit(0)
os.wait()
"""
    assert "opened before a fork" in elsewhere(tokens, script)


def test_p11_kits_proxy_finds_the_module(tokens: Tokens, tmp_path: Path) -> None:
    modules = tmp_path / "pkcs11" / "modules"
    modules.mkdir(parents=True)
    (modules / "softhsm.module").write_text(f"module: {tokens.module}\n")
    script = """
try:
    print(len(Pkcs11Signer(path, leaf, "1234").schemes))
except ConfigError as error:
    print(error.code)
"""
    told = elsewhere(tokens, script, XDG_CONFIG_HOME=str(tmp_path), HOME=str(tmp_path))
    if told == "bad_pkcs11_module\n":
        pytest.skip("p11-kit's proxy is not installed")
    assert told == "1\n"


def test_a_chain_for_a_token_is_checked_like_any_other(tokens: Tokens, tmp_path: Path) -> None:
    uri = tokens.uri("pkcs11:token=first;object=ecdsa-p256")
    (tmp_path / "none.pem").write_bytes(SERVER.key_pem)
    (tmp_path / "bad.pem").write_bytes(encode("CERTIFICATE", b"0\0"))
    (tmp_path / "leaf.crt").write_bytes(SERVER.chain[0])
    for name, code in (("none.pem", "no_certificate"), ("bad.pem", "bad_certificate"), ("x.pem", "file_missing")):
        with pytest.raises(ConfigError) as caught:
            Credentials.from_files(tmp_path / name, uri)
        assert caught.value.code == code
    assert Credentials.from_files(tmp_path / "leaf.crt", uri).chain == SERVER.chain

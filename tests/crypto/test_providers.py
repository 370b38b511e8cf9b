"""Providers are found by name, and one that is not the default is used only if it is the one that was looked at."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from handfast.credentials.signers import LocalSigner
from handfast.crypto import aws_lc, groups, known_answers, providers, signatures
from handfast.crypto.provider import CRYPTOGRAPHY, CryptoProvider
from handfast.crypto.providers import ACCEPTED_QH3, AWS_LC, provider_named
from handfast.crypto.suites import InvalidTag
from handfast.engine import ClientConfig, ServerConfig
from handfast.errors import ConfigError, LocalFailure, PeerMisbehaved
from handfast.registry import CipherSuite, NamedGroup, SignatureScheme
from handfast.roles import Role
from tests import certificates
from tests.protocol.ours import Judge, credentials
from tests.protocol.test_key_shares import parameters
from tests.syntax import ROOT, imported, modules

P256 = SignatureScheme.ecdsa_secp256r1_sha256


class Panic(BaseException):
    """What a panic of Rust code looks like in Python."""


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Patches under which nothing has been looked at yet."""
    providers._aws_lc.cache_clear()
    monkeypatch.undo()
    return monkeypatch


@pytest.fixture(autouse=True)
def forgotten_afterwards() -> Any:
    yield
    providers._aws_lc.cache_clear()


def refused(name: object = AWS_LC) -> str:
    with pytest.raises(ConfigError) as caught:
        ClientConfig(verifier=Judge(), crypto_provider=name)  # type: ignore[arg-type]
    assert caught.value.code == "bad_option"
    return f"{caught.value} {caught.value.hint}"


# Choosing


def test_the_default() -> None:
    assert ClientConfig(verifier=Judge()).crypto is CRYPTOGRAPHY
    assert ServerConfig(credentials=[credentials(certificates.server())]).crypto is CRYPTOGRAPHY


def test_the_other_one_by_name() -> None:
    config = ClientConfig(verifier=Judge(), crypto_provider="aws-lc")
    assert config.crypto is aws_lc.PROVIDER
    assert replace(config, groups=(NamedGroup.x25519,)).crypto is aws_lc.PROVIDER


@pytest.mark.parametrize("name", ["openssl", "", "AWS-LC", None, 7, [], CRYPTOGRAPHY])
def test_any_other_name_is_refused(name: object) -> None:
    assert "neither of cryptography and aws-lc" in refused(name)


def test_not_installed(anew: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    anew.setattr(metadata, "version", version)
    said = refused()
    assert "not installed" in said
    assert "pip install 'handfast[aws-lc]'" in said


@pytest.mark.parametrize(
    "found", ["2.0.9", "2.2.0", "2.10.0", "3.1.0", "21.0", "2", "", "2.1rc1", "2.1.0rc1", "2.1.0+mine"]
)
def test_another_version_is_refused(anew: pytest.MonkeyPatch, found: str) -> None:
    anew.setattr(metadata, "version", lambda name: found)
    said = refused()
    assert f"qh3{ACCEPTED_QH3}" in said
    assert f"{found} is installed" in said


def test_a_version_that_lacks_something_is_refused(anew: pytest.MonkeyPatch) -> None:
    anew.delitem(sys.modules, "handfast.crypto.aws_lc")
    anew.delattr("handfast.crypto.aws_lc")
    anew.delattr("qh3._hazmat.X25519KeyExchange")
    assert "X25519KeyExchange" in refused()


def test_the_same_versions_are_accepted_and_required() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["aws-lc"] == [f"qh3{ACCEPTED_QH3}"]
    assert f"qh3{ACCEPTED_QH3}" in extras["test"]
    (pinned,) = re.findall(r"^qh3==(\S+)", (ROOT / "requirements" / "test.txt").read_text(), re.MULTILINE)
    assert providers._ACCEPTED_RELEASE.fullmatch(pinned)


def test_who_imports_the_private_module() -> None:
    importing = {module.path for module in modules() for _, name in imported(module) if name.split(".")[0] == "qh3"}
    assert importing == {"crypto/aws_lc.py"}


def test_the_default_loads_nothing_of_it() -> None:
    code = (
        "import sys, handfast; handfast.ClientConfig()\n"
        "print([name for name in sys.modules if name.startswith('qh3') or name == 'handfast.crypto.aws_lc'])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"


# Known answers


def flipped(value: bytes) -> bytes:
    return bytes((value[0] ^ 1,)) + value[1:]


def panicking(*_: Any) -> Any:
    raise Panic


class Aead:
    """One of the provider's, with methods replaced."""

    def __init__(self, inner: Any, **replaced: Any) -> None:
        self.encrypt, self.decrypt = inner.encrypt, inner.decrypt
        vars(self).update(replaced)


def with_aead(suite: int, **replaced: Any) -> CryptoProvider:
    make = aws_lc.PROVIDER.aeads[suite]
    wrong: Any = lambda key: Aead(make(key), **replaced)  # noqa: E731
    return replace(aws_lc.PROVIDER, aeads={**aws_lc.PROVIDER.aeads, suite: wrong})


def other_share(group: int) -> groups.KeyShare:
    share = aws_lc.PROVIDER.generate(group)
    return groups.KeyShare(group, share.public, lambda public: flipped(share.shared_secret(public)))


def careless(group: int, public: bytes) -> tuple[bytes, bytes]:
    try:
        return aws_lc.PROVIDER.encapsulate(group, public)
    except PeerMisbehaved:
        return public, bytes(32)


def verifying(answer: bool) -> CryptoProvider:
    return replace(aws_lc.PROVIDER, verify=lambda *_: answer)


WRONG: dict[str, tuple[CryptoProvider, str]] = {
    "a client's secret": (replace(aws_lc.PROVIDER, generate=other_share), "x25519"),
    "a server's secret": (
        replace(aws_lc.PROVIDER, encapsulate=lambda *given: (aws_lc.PROVIDER.encapsulate(*given)[0], b"secret")),
        "x25519",
    ),
    "takes a bad public value": (replace(aws_lc.PROVIDER, encapsulate=careless), "x25519"),
    "a panic": (replace(aws_lc.PROVIDER, generate=panicking), "x25519"),
    "AES-128": (with_aead(0x1301, encrypt=lambda *_: b"sealed"), "TLS_AES_128_GCM_SHA256"),
    "AES-256": (with_aead(0x1302, decrypt=lambda *_: b"opened"), "TLS_AES_256_GCM_SHA384"),
    "a tag that is not checked": (
        with_aead(0x1303, decrypt=lambda *_: known_answers._SUNSCREEN),
        "TLS_CHACHA20_POLY1305_SHA256",
    ),
    "a panic in an AEAD": (with_aead(0x1303, decrypt=panicking), "TLS_CHACHA20_POLY1305_SHA256"),
    "believes every signature": (verifying(True), "ecdsa_secp256r1_sha256"),
    "believes none": (verifying(False), "ecdsa_secp256r1_sha256"),
    "signs something else": (
        replace(aws_lc.PROVIDER, signer=lambda key: lambda *_: signatures.sign(key, P256, b"simple")),
        "ecdsa_secp256r1_sha256",
    ),
}


@pytest.mark.parametrize(("provider", "what"), WRONG.values(), ids=WRONG)
def test_a_wrong_answer_is_an_error(anew: pytest.MonkeyPatch, provider: CryptoProvider, what: str) -> None:
    anew.setattr(aws_lc, "PROVIDER", provider)
    assert f"known answer for {what}" in refused()
    # It is no better the second time.
    assert f"known answer for {what}" in refused()


def test_who_interrupts_is_not_held_up() -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        known_answers.wrong_answer(replace(aws_lc.PROVIDER, generate=interrupted))


def test_the_answers_are_asked_for_once(anew: pytest.MonkeyPatch) -> None:
    asked = []

    def right(provider: CryptoProvider) -> str:
        asked.append(provider)
        return ""

    anew.setattr(known_answers, "wrong_answer", right)
    for _ in range(3):
        assert provider_named(AWS_LC) is aws_lc.PROVIDER
    assert asked == [aws_lc.PROVIDER]


def test_the_default_provider_knows_the_answers() -> None:
    assert known_answers.wrong_answer(CRYPTOGRAPHY) == ""


# Both providers over the same tables


def refusal(act: Any) -> tuple[object, ...]:
    with pytest.raises(PeerMisbehaved) as caught:
        act()
    return type(caught.value), caught.value.code, caught.value.alert, str(caught.value), caught.value.hint


@pytest.mark.parametrize(("group", "spoil"), parameters(Role.SERVER))
def test_bad_shares_of_clients(group: int, spoil: Any) -> None:
    bad = spoil(groups.generate(group).public)
    said = [refusal(lambda one=one: one.encapsulate(group, bad)) for one in (CRYPTOGRAPHY, aws_lc.PROVIDER)]
    assert said[0] == said[1]


@pytest.mark.parametrize(("group", "spoil"), parameters(Role.CLIENT))
def test_bad_shares_of_servers(group: int, spoil: Any) -> None:
    said = []
    for one in (CRYPTOGRAPHY, aws_lc.PROVIDER):
        share = one.generate(group)
        bad = spoil(groups.encapsulate(group, share.public)[0])
        said.append(refusal(lambda share=share, bad=bad: share.shared_secret(bad)))
    assert said[0] == said[1]


# Of what an encapsulation key may hold, the extremes at both places of a pair, and at both ends.
@pytest.mark.parametrize("place", [0, 1, 2, 383, 384, 766, 767])
@pytest.mark.parametrize(("coefficient", "valid"), [(0, True), (3328, True), (3329, False), (4095, False)])
def test_coefficients_of_an_encapsulation_key(place: int, coefficient: int, valid: bool) -> None:
    group = NamedGroup.X25519MLKEM768
    public = groups.generate(group).public
    number = int.from_bytes(public[:1152], "little") & ~(0xFFF << 12 * place) | coefficient << 12 * place
    changed = number.to_bytes(1152, "little") + public[1152:]
    for one in (CRYPTOGRAPHY, aws_lc.PROVIDER):
        if valid:
            assert len(one.encapsulate(group, changed)[1]) == 64
        else:
            assert refusal(lambda one=one: one.encapsulate(group, changed))[1] == "bad_key_share"


def integer(value: bytes) -> bytes:
    return bytes((2, len(value))) + value


KEY = ec.generate_private_key(ec.SECP256R1())
GOOD = KEY.sign(b"message", ec.ECDSA(hashes.SHA256()))
R, S = GOOD[4 : 4 + GOOD[3]], GOOD[6 + GOOD[3] :]
SIGNATURES = {
    "good": GOOD,
    "empty": b"",
    "cut": GOOD[:-1],
    "with a byte more": GOOD + b"\0",
    "of zeros": b"\x30\6" + 2 * integer(b"\0"),
    "r alone": b"\x30" + bytes((len(R) + 2,)) + integer(R),
    "padded r": b"\x30" + bytes((len(GOOD) - 1,)) + integer(b"\0" + R) + integer(S),
    "length in two bytes": b"\x30\x81" + GOOD[1:],
    "raw": R.rjust(32, b"\0")[-32:] + S.rjust(32, b"\0")[-32:],
    "altered": GOOD[:-1] + bytes((GOOD[-1] ^ 1,)),
    "long": b"\x30\x82\xff\xff" + bytes(0xFFFF),
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("message", [b"message", b"", b"massage"])
def test_signatures_are_judged_alike(signature: bytes, message: bytes) -> None:
    key = signatures.describe_public_key(KEY.public_key())
    for one, other in ((CRYPTOGRAPHY.verify, aws_lc.PROVIDER.verify), (CRYPTOGRAPHY.verify_12, aws_lc._verify_12)):
        assert one(key, P256, signature, message) == other(key, P256, signature, message)
    assert aws_lc.PROVIDER.verify(key, P256, signature, message) == (signature == GOOD and message == b"message")


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048"])
@pytest.mark.parametrize("scheme", [P256, SignatureScheme.ecdsa_secp384r1_sha384, SignatureScheme.ed25519])
def test_keys_and_schemes_go_together_or_not(kind: str, scheme: int) -> None:
    private_key = certificates.server(kind).key
    key = signatures.describe_public_key(private_key.public_key())
    for verify in ("verify", "verify_12"):
        verdicts = []
        for one in (CRYPTOGRAPHY, aws_lc.PROVIDER):
            try:
                made = one.signer(private_key)(scheme, b"message")
            except LocalFailure as failure:
                verdicts.append((failure.code, str(failure)))
            else:
                verdicts.append(tuple(getattr(by, verify)(key, scheme, made, b"message") for by in PROVIDERS))
        assert verdicts[0] == verdicts[1]


PROVIDERS = (CRYPTOGRAPHY, aws_lc.PROVIDER)


@pytest.mark.parametrize("suite", aws_lc.PROVIDER.aeads, ids=CipherSuite.describe)
@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_aeads_are_interchangeable(suite: int, size: int) -> None:
    key = bytes(range(16 if "AES_128" in CipherSuite.describe(suite) else 32))
    data, header = bytes(size), b"header"
    for nonce in (bytes(12), bytes(range(12)), b"\xff" * 12):
        one, other = (provider.aeads[suite](key) for provider in PROVIDERS)
        sealed = one.encrypt(nonce, data, header)
        assert other.encrypt(nonce, bytearray(data), header) == sealed
        assert other.decrypt(nonce, memoryview(sealed), memoryview(header)) == data
        place = bytearray(size + 16)
        assert other.encrypt_into(nonce, memoryview(data), header, memoryview(place)) == size + 16
        assert bytes(place) == sealed
        opened = bytearray(size)
        assert other.decrypt_into(nonce, memoryview(sealed), header, opened) == size
        assert opened == data
        for bad in (flipped(sealed), sealed[:-1], b"", sealed + b"\0"):
            for aead in (one, other):
                with pytest.raises(InvalidTag):
                    aead.decrypt(nonce, bad, header)


def test_all_that_is_spoken_is_there() -> None:
    assert aws_lc.PROVIDER.aeads.keys() == CRYPTOGRAPHY.aeads.keys()
    assert all(aws_lc.PROVIDER.generate(group).group == group for group in groups.ALL_GROUPS)


# Keys


def test_a_key_that_is_handed_over_proves_itself() -> None:
    signer, asked = LocalSigner(KEY), []

    def another(private_key: Any) -> Any:
        asked.append(private_key)
        return lambda scheme, message: signatures.sign(ec.generate_private_key(ec.SECP256R1()), scheme, message)

    with pytest.raises(LocalFailure) as caught:
        signer.sign_by(replace(aws_lc.PROVIDER, signer=another), P256, b"message")
    assert caught.value.code == "wrong_signature"
    assert asked == [KEY]
    key = signatures.describe_public_key(KEY.public_key())
    assert signatures.verify(key, P256, signer.sign_by(aws_lc.PROVIDER, P256, b"message"), b"message")


def test_a_key_is_handed_over_once() -> None:
    signer, asked = LocalSigner(KEY), []

    def given(private_key: Any) -> Any:
        asked.append(private_key)
        return aws_lc.PROVIDER.signer(private_key)

    provider = replace(aws_lc.PROVIDER, signer=given)
    for _ in range(3):
        signer.sign_by(provider, P256, b"message")
    assert asked == [KEY]


def test_no_secret_in_any_repr() -> None:
    signer = LocalSigner(KEY)
    signer.sign_by(aws_lc.PROVIDER, P256, b"message")
    assert repr(signer) == "LocalSigner(ECDSA P-256)"
    key = b"sixteen letters!"
    aead = aws_lc.PROVIDER.aeads[0x1301](key)
    aead.encrypt(bytes(12), b"", b"")
    shown = repr(aead) + repr(aws_lc.PROVIDER) + repr(aws_lc.PROVIDER.generate(NamedGroup.x25519))
    shown += repr(vars(signer)["_by_provider"])
    assert "sixteen" not in shown
    assert key.hex() not in shown
    assert "private" not in shown.lower()

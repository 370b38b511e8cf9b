"""The key schedule of TLS 1.2, against a published vector and the openssl command."""

from __future__ import annotations

import subprocess

import pytest

from handfast.crypto.hashes import SHA256, SHA384
from handfast.crypto.suites12 import SUITES_12
from handfast.errors import ApiMisuse
from handfast.events import SecretLevel
from handfast.keys import secret_names as keylog
from handfast.keys.schedule12 import MainSecret12, prf
from handfast.roles import Role
from tests.certificates import require_peer
from tests.waiting import LIMIT

RANDOMS = bytes(range(32)), bytes(range(32, 64))
SHARED = bytes(range(100, 132))
every_suite = pytest.mark.parametrize("suite", SUITES_12.values(), ids=lambda suite: suite.name)


def openssl_prf(hash_, secret, seed, length):
    digest = {"SHA-256": "SHA256", "SHA-384": "SHA384"}[hash_.name]
    command = [require_peer("openssl"), "kdf", "-keylen", str(length), "-kdfopt", f"digest:{digest}"]
    command += ["-kdfopt", f"hexsecret:{secret.hex()}", "-kdfopt", f"hexseed:{seed.hex()}", "TLS1-PRF"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
    return bytes.fromhex(run.stdout.strip().replace(":", ""))


def test_prf_of_the_published_vector():
    """The vector for P_SHA256 that was sent to the TLS working group's list in 2009, which everybody tests with."""
    secret = bytes.fromhex("9bbe436ba940f017b17652849a71db35")
    seed = bytes.fromhex("a0ba9f936cda311827a6f796ffd5198c")
    expected = (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
        "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
        "87347b66"
    )
    assert prf(SHA256, secret, "test label", seed, 100).hex() == expected


@pytest.mark.parametrize("hash_", [SHA256, SHA384])
@pytest.mark.parametrize("length", [1, 12, 32, 48, 49, 100])
def test_prf_of_openssl(hash_, length):
    expected = openssl_prf(hash_, SHARED, b"a label" + RANDOMS[0], length)
    assert prf(hash_, SHARED, "a label", RANDOMS[0], length) == expected


@every_suite
@pytest.mark.parametrize("session_hash", [None, b"\5" * 32])
def test_secrets_and_keys(suite, session_hash):
    client_random, server_random = RANDOMS
    main = MainSecret12.from_shared_secret(suite, SHARED, RANDOMS, session_hash)
    seed = b"master secret" + client_random + server_random
    if session_hash is not None:
        seed = b"extended master secret" + session_hash
    assert main.value == openssl_prf(suite.hash, SHARED, seed, 48)
    size = 2 * (suite.key_length + suite.iv_length)
    block = openssl_prf(suite.hash, main.value, b"key expansion" + server_random + client_random, size)
    keys = main.keys()
    ours, theirs = keys[Role.CLIENT], keys[Role.SERVER]
    assert ours.key + theirs.key + ours.iv + theirs.iv == block
    assert (len(ours.key), len(ours.iv)) == (suite.key_length, suite.iv_length)
    for role in Role:
        verify_data = main.finished_key(role).finished(b"hash")
        assert verify_data == openssl_prf(suite.hash, main.value, f"{role} finished".encode() + b"hash", 12)


def test_exporters():
    suite = SUITES_12[0xC02B]
    main = MainSecret12.from_shared_secret(suite, SHARED, RANDOMS, b"\5" * 32)
    randoms = b"".join(RANDOMS)
    for context, tail in ((None, b""), (b"", b"\0\0"), (b"abc", b"\0\3abc")):
        expected = openssl_prf(suite.hash, main.value, b"EXPERIMENTAL" + randoms + tail, 40)
        assert main.exporter().export("EXPERIMENTAL", context, 40) == expected
    weak = MainSecret12.from_shared_secret(suite, SHARED, RANDOMS, None)
    with pytest.raises(ApiMisuse) as caught:
        weak.exporter().export("EXPERIMENTAL", None, 40)
    assert caught.value.code == "no_exporter_12"


def test_what_is_reported():
    reports = []
    main = MainSecret12.from_shared_secret(
        SUITES_12[0xC02B], SHARED, RANDOMS, b"\5" * 32, lambda *report: reports.append(report)
    )
    main.keys()
    assert [report[:3] for report in reports] == [
        ("shared_secret", "", ()),
        ("main_secret", "extended master secret", ("shared_secret",)),
        ("key_block", "key expansion", ("main_secret",)),
    ]
    assert reports[1][3:] == (b"\5" * 32, main.value)
    assert keylog.about("main_secret", keylog.SECRETS_12) == ("CLIENT_RANDOM", SecretLevel.TRAFFIC)
    assert all(keylog.about(report[0], keylog.SECRETS_12)[1] is SecretLevel.TRAFFIC for report in reports)


def test_secrets_do_not_show():
    main = MainSecret12.from_shared_secret(SUITES_12[0xC02B], SHARED, RANDOMS, None)
    shown = repr((main, main.keys(), main.exporter(), main.finished_key(Role.CLIENT)))
    assert main.value.hex() not in shown
    assert main.keys()[Role.CLIENT].key.hex() not in shown
    assert str(main.value)[2:10] not in shown

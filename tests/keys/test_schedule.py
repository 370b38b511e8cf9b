"""The stages of the key schedule beyond what RFC 8448 section 3 covers."""

from __future__ import annotations

import pytest

from handfast.crypto.hashes import SHA256, SHA384
from handfast.crypto.suites import SUITES_13
from handfast.errors import ApiMisuse
from handfast.events import SecretLevel
from handfast.keys import secret_names as keylog
from handfast.keys.hkdf import expand_label, extract
from handfast.keys.schedule import EarlySecret, ExporterSecret, HandshakeSecret, MainSecret
from tests.vectors import rfc8448_simple as rfc

# RFC 8448 section 4, Resumed 0-RTT Handshake: the values that depend on the PSK alone, and the binder.
RESUMED_EARLY_SECRET = "9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c"
BINDER_KEY = "69fe131a3bbad5d63c64eebcc30e395b9d8107726a13d074e389dbc8a4e47256"
BINDER_HASH = "63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14"
BINDER = "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d"
TRANSCRIPT_HASH = bytes(range(32))


class Reports(list[tuple[str, str, tuple[str, ...], bytes, bytes]]):
    def __call__(self, *report):
        self.append(report)

    @property
    def names(self):
        return [report[0] for report in self]


def derive_everything(hash_, psk, report):
    transcript_hash = bytes(hash_.size)
    early = EarlySecret(hash_, psk, report)
    if psk is not None:
        early.binder_key()
        early.client_early_traffic_secret(transcript_hash)
        early.early_exporter_secret(transcript_hash)
    handshake = early.handshake_secret(b"\1" * 32)
    handshake.traffic_secrets(transcript_hash)
    main = handshake.main_secret()
    client, server, exporter = main.application_secrets(transcript_hash)
    resumption = main.resumption_secret(transcript_hash)
    return client, server, exporter, resumption


def test_psk_binder_of_rfc_8448():
    early = EarlySecret(SHA256, rfc.RESUMPTION_PSK)
    assert early.value.hex() == RESUMED_EARLY_SECRET
    binder_key = early.binder_key()
    assert binder_key.value.hex() == BINDER_KEY
    assert binder_key.finished(bytes.fromhex(BINDER_HASH)).hex() == BINDER
    assert early.binder_key(external=True).value != binder_key.value


def test_early_derivations_use_their_labels():
    early = EarlySecret(SHA256, b"psk")
    expected = expand_label(SHA256, early.value, b"c e traffic", TRANSCRIPT_HASH, 32)
    assert early.client_early_traffic_secret(TRANSCRIPT_HASH).value == expected
    expected = expand_label(SHA256, early.value, b"e exp master", TRANSCRIPT_HASH, 32)
    assert early.early_exporter_secret(TRANSCRIPT_HASH).value == expected
    expected = expand_label(SHA256, early.value, b"ext binder", SHA256.empty, 32)
    assert early.binder_key(external=True).value == expected


@pytest.mark.parametrize("hash_", [SHA256, SHA384], ids=lambda hash_: hash_.name)
def test_no_psk_is_a_psk_of_zeros_and_psk_ke_a_shared_secret_of_zeros(hash_):
    zeros = bytes(hash_.size)
    without = EarlySecret(hash_)
    assert without.value == EarlySecret(hash_, zeros).value == extract(hash_, b"", zeros)
    assert without.handshake_secret(b"x").value == EarlySecret(hash_, zeros).handshake_secret(b"x").value
    assert without.handshake_secret(None).value == without.handshake_secret(zeros).value


def test_stages_have_their_own_derivations_only():
    early = EarlySecret(SHA256)
    handshake = early.handshake_secret(b"shared")
    main = handshake.main_secret()
    assert isinstance(handshake, HandshakeSecret)
    assert isinstance(main, MainSecret)
    derivations = {
        stage: {name for name in dir(stage) if not name.startswith("_")} - {"hash", "name", "value"}
        for stage in (early, handshake, main)
    }
    assert derivations[early] == {
        "binder_key",
        "client_early_traffic_secret",
        "early_exporter_secret",
        "handshake_secret",
    }
    assert derivations[handshake] == {"traffic_secrets", "main_secret"}
    assert derivations[main] == {"application_secrets", "resumption_secret"}


@pytest.mark.parametrize("suite", SUITES_13.values(), ids=lambda suite: suite.name)
def test_keys_and_updates(suite):
    client, server, _, _ = derive_everything(suite.hash, None, None)
    key, iv = client.key_and_iv(suite)
    assert (len(key), len(iv)) == (suite.key_length, 12)
    assert key == expand_label(suite.hash, client.value, b"key", b"", suite.key_length)
    assert server.key_and_iv(suite) != (key, iv)
    updated = client.updated()
    assert updated.value == expand_label(suite.hash, client.value, b"traffic upd", b"", suite.hash.size)
    assert (updated.name, updated.generation) == ("client_application_traffic_secret_1", 1)
    assert updated.updated().name == "client_application_traffic_secret_2"


def test_exporters():
    exporter = ExporterSecret("exporter_secret", SHA256, rfc.EXPORTER_SECRET, None)
    secret = expand_label(SHA256, rfc.EXPORTER_SECRET, b"EXPERIMENTAL", SHA256.empty, 32)
    expected = expand_label(SHA256, secret, b"exporter", SHA256.digest(b"context"), 50)
    assert exporter.export("EXPERIMENTAL", b"context", 50) == expected
    assert exporter.export("EXPERIMENTAL", b"", 50) != expected
    assert exporter.export("EXPERIMENTAL 2", b"context", 50) != expected
    for label, length in (("x" * 250, 32), ("x", 255 * 32 + 1)):
        with pytest.raises(ApiMisuse):
            exporter.export(label, b"", length)


def test_every_derivation_is_reported_once_in_order():
    reports = Reports()
    client, _, _, resumption = derive_everything(SHA256, b"psk", reports)
    client.updated()
    resumption.psk(b"\0")
    assert reports.names == [
        "psk",
        "early_secret",
        "binder_key",
        "client_early_traffic_secret",
        "early_exporter_secret",
        "derived_from_early_secret",
        "shared_secret",
        "handshake_secret",
        "client_handshake_traffic_secret",
        "server_handshake_traffic_secret",
        "derived_from_handshake_secret",
        "main_secret",
        "client_application_traffic_secret_0",
        "server_application_traffic_secret_0",
        "exporter_secret",
        "resumption_secret",
        "client_application_traffic_secret_1",
        "resumption_psk",
    ]


def test_reports_can_be_recomputed_from_their_inputs():
    """Each report names its label, its inputs and its context: from those alone, the value follows."""
    reports = Reports()
    for psk in (None, b"psk"):
        del reports[:]
        derive_everything(SHA256, psk, reports)
        values = {"0": bytes(32)}
        for name, label, inputs, context, value in reports:
            if label:
                assert value == expand_label(SHA256, values[inputs[0]], label.encode(), context, 32), name
            elif inputs:
                assert value == extract(SHA256, values[inputs[0]], values[inputs[1]]), name
            values[name] = value


def test_a_report_changes_no_value():
    for quiet, heard in zip(
        derive_everything(SHA384, b"psk", None), derive_everything(SHA384, b"psk", Reports()), strict=True
    ):
        assert quiet.value == heard.value


def test_values_do_not_show():
    early = EarlySecret(SHA256)
    for secret in (early, early.handshake_secret(b"x"), *derive_everything(SHA256, None, None)):
        assert secret.name in repr(secret)
        assert secret.value.hex() not in repr(secret)
        assert repr(secret.value) not in repr(secret)


def test_the_key_log_knows_every_secret():
    reports = Reports()
    _, _, _, resumption = derive_everything(SHA256, b"psk", reports)
    resumption.psk(b"")
    assert set(reports.names) == set(keylog.SECRETS)
    labels = {label for label, _ in keylog.SECRETS.values() if label}
    assert labels == {
        "CLIENT_EARLY_TRAFFIC_SECRET",
        "EARLY_EXPORTER_SECRET",
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    }
    assert keylog.about("server_application_traffic_secret_0") == ("SERVER_TRAFFIC_SECRET_0", SecretLevel.TRAFFIC)
    assert keylog.about("server_application_traffic_secret_7") == ("", SecretLevel.TRAFFIC)
    assert keylog.about("handshake_secret") == ("", SecretLevel.TRAFFIC)
    assert keylog.about("exporter_secret") == ("EXPORTER_SECRET", SecretLevel.ALL)
    assert keylog.about("resumption_secret") == ("", SecretLevel.ALL)
    assert keylog.about("no such secret") == ("", SecretLevel.ALL)

"""Each case is broken in the way that its row says and in no other, as openssl, ssl and the bytes show."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from handfast.errors import CertificateRejected, ConfigError
from handfast.pki.faults import FAULTS, FaultNames, Role, build_fault, write_fault
from handfast.registry import AlertDescription as Alert
from tests.certificates import require_peer
from tests.pki.openssl import verify_errors

if TYPE_CHECKING:
    from handfast.pki.authority import Issued
    from handfast.pki.faults import FaultSet

NAMES = FaultNames(
    organization="Zebra & Sons",
    ca="Root of Blue",
    other_ca="Root of Green",
    intermediate="Branch",
    host="www.zebra.test",
    address="192.0.2.7",
    other_host="www.horse.test",
    permitted_domain="stripes.test",
    client="carol",
    client_uri="spiffe://zebra.test/carol",
    email="carol@zebra.test",
    key_password=b"hunter2",
)

# X509_V_ERR numbers of openssl.
NO_ISSUER, NOT_YET, EXPIRED, CRL_EXPIRED, SELF_SIGNED = 20, 9, 10, 12, 18
REVOKED, PURPOSE, SUBTREE, HOST, ADDRESS, WEAK, NOT_A_CA, NO_CERT_SIGN, NO_AKI = 23, 26, 47, 62, 64, 66, 79, 32, 85


class Expected(NamedTuple):
    """What openssl finds in the certificate of the side at fault, and the alert that the one who refuses it sends."""

    errors: set[int]
    alert: Alert | None = None


CERTIFICATES = {
    "good": Expected(set()),
    "good-intermediate": Expected(set()),
    "good-client-uri": Expected(set()),
    "good-crl": Expected(set()),
    "wrong-san": Expected({HOST}, Alert.bad_certificate),
    "no-san": Expected(set(), Alert.bad_certificate),
    "no-san-by-address": Expected({ADDRESS}, Alert.bad_certificate),
    "email-only-san": Expected(set(), Alert.bad_certificate),
    "address-not-in-san": Expected({ADDRESS}, Alert.bad_certificate),
    "expired": Expected({EXPIRED}, Alert.certificate_expired),
    "not-yet-valid": Expected({NOT_YET}, Alert.certificate_expired),
    "client-purpose": Expected({PURPOSE}, Alert.unsupported_certificate),
    "wrong-ca": Expected({NO_ISSUER}, Alert.unknown_ca),
    "same-name-ca": Expected({NO_ISSUER}, Alert.unknown_ca),
    "missing-intermediate": Expected({NO_ISSUER}, Alert.unknown_ca),
    "self-signed": Expected({SELF_SIGNED}, Alert.unknown_ca),
    "rsa-1024": Expected({WEAK}, Alert.unsupported_certificate),
    "issuer-not-a-ca": Expected({NOT_A_CA, NO_CERT_SIGN, PURPOSE}, Alert.unknown_ca),
    "name-constraints": Expected({SUBTREE}, Alert.bad_certificate),
    "no-aki": Expected({NO_AKI}),
    "no-digital-signature": Expected(set(), Alert.unsupported_certificate),
    "client-wrong-ca": Expected({NO_ISSUER}, Alert.unknown_ca),
    "client-same-name-ca": Expected({NO_ISSUER}, Alert.unknown_ca),
    "client-expired": Expected({EXPIRED}, Alert.certificate_expired),
    "client-not-yet-valid": Expected({NOT_YET}, Alert.certificate_expired),
    "client-server-purpose": Expected({PURPOSE}, Alert.unsupported_certificate),
    "client-missing-intermediate": Expected({NO_ISSUER}, Alert.unknown_ca),
    "client-self-signed": Expected({SELF_SIGNED}, Alert.unknown_ca),
    "client-revoked": Expected({REVOKED}, Alert.certificate_revoked),
    "client-stale-crl": Expected({CRL_EXPIRED}, Alert.internal_error),
    "client-no-digital-signature": Expected({PURPOSE}, Alert.unsupported_certificate),
    "client-issuer-not-a-ca": Expected({NOT_A_CA, NO_CERT_SIGN, PURPOSE}, Alert.unknown_ca),
    "client-rsa-1024": Expected({WEAK}, Alert.unsupported_certificate),
}
FILES = {
    "key-mismatch": "key_mismatch",
    "client-key-mismatch": "key_mismatch",
    "client-key-encrypted": "password_needed",
    "client-chain-order": "chain_order",
    "client-der": "der_as_pem",
    "client-swapped": "swapped",
}


def options(role: Role, host: str) -> tuple[str, ...]:
    """How openssl judges a certificate as the other side would, and a little more strictly."""
    common = ("-x509_strict", "-auth_level", "2")
    if role is Role.CLIENT:
        return (*common, "-purpose", "sslclient")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return (*common, "-purpose", "sslserver", "-verify_hostname", host)
    return (*common, "-purpose", "sslserver", "-verify_ip", host)


def root(made: FaultSet) -> bytes:
    return ssl.DER_cert_to_PEM_cert(made.roots[0]).encode()


def client_of(made: FaultSet) -> Issued:
    if made.client is None:
        raise AssertionError("this case has no client certificate")
    return made.client


def culprit(made: FaultSet, name: str) -> Issued:
    """What the side at fault has."""
    return client_of(made) if FAULTS[name].role is Role.CLIENT else made.server


def leaf(name: str) -> x509.Certificate:
    """The certificate of the side at fault."""
    return culprit(build_fault(name, NAMES), name).certificate


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def test_every_case_is_expected_here():
    assert set(FAULTS) == set(CERTIFICATES) | set(FILES) | {"client-none"}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_openssl_finds_what_is_wrong_and_nothing_else(tmp_path, name):
    made = build_fault(name, NAMES)
    errors = {
        Role.SERVER: verify_errors(tmp_path, root(made), made.server, *options(Role.SERVER, made.host)),
        Role.CLIENT: verify_errors(
            tmp_path, root(made), client_of(made), *options(Role.CLIENT, made.host), crl=made.crl
        ),
    }
    healthy: dict[Role, set[int]] = {Role.SERVER: set(), Role.CLIENT: set()}
    assert errors == healthy | {FAULTS[name].role: CERTIFICATES[name].errors}


@pytest.mark.parametrize("name", FAULTS)
def test_the_alert_is_the_one_that_fits(name):
    if name in CERTIFICATES:
        assert FAULTS[name].alert == CERTIFICATES[name].alert
    else:
        assert FAULTS[name].alert == (Alert.certificate_required if name == "client-none" else None)


@pytest.mark.parametrize("name", FAULTS)
def test_the_code_is_in_its_catalogue(name):
    fault = FAULTS[name]
    if fault.error is None:
        assert fault.code is None
        assert name.startswith("good") or name == "no-aki"
    else:
        assert fault.error is (ConfigError if name in FILES else CertificateRejected)
        assert fault.code in fault.error.catalogue


@pytest.mark.parametrize(("name", "code"), FILES.items())
def test_codes_of_files(name, code):
    assert FAULTS[name].code == code


@pytest.mark.parametrize("name", FAULTS)
def test_all_names_are_the_callers(name):
    made = build_fault(name, NAMES)
    blob = b"".join([*made.roots, *made.server.chain, *(made.client.chain if made.client else ())])
    defaults = FaultNames()
    for label in (defaults.organization, defaults.ca, defaults.other_ca, defaults.intermediate, defaults.host):
        assert label.encode() not in blob
    assert NAMES.organization.encode() in blob
    assert NAMES.ca.encode() in blob


@pytest.mark.parametrize("name", ["no-san", "no-san-by-address"])
def test_no_san_leaves_the_name_to_the_cn(name):
    certificate = leaf(name)
    assert extension(certificate, x509.SubjectAlternativeName) is None
    assert f"CN={NAMES.host}" in certificate.subject.rfc4514_string()


def test_email_only():
    assert list(extension(leaf("email-only-san"), x509.SubjectAlternativeName)) == [x509.RFC822Name(NAMES.email)]


@pytest.mark.parametrize("name", ["no-digital-signature", "client-no-digital-signature"])
def test_key_usage_lacks_the_signature(name):
    usage = extension(leaf(name), x509.KeyUsage)
    assert (usage.digital_signature, usage.key_encipherment) == (False, True)


def test_no_aki():
    assert extension(leaf("no-aki"), x509.AuthorityKeyIdentifier) is None
    assert extension(leaf("good"), x509.AuthorityKeyIdentifier) is not None


@pytest.mark.parametrize("name", ["wrong-ca", "client-wrong-ca"])
def test_wrong_ca_has_another_name(name):
    trusted = x509.load_der_x509_certificate(build_fault(name, NAMES).roots[0])
    assert leaf(name).issuer != trusted.subject
    assert NAMES.other_ca in leaf(name).issuer.rfc4514_string()


@pytest.mark.parametrize("name", ["same-name-ca", "client-same-name-ca"])
def test_twin_ca_has_the_name_and_not_the_key(name):
    made = build_fault(name, NAMES)
    trusted = x509.load_der_x509_certificate(made.roots[0])
    certificate = culprit(made, name).certificate
    assert certificate.issuer == trusted.subject
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(trusted)


@pytest.mark.parametrize("name", ["missing-intermediate", "client-missing-intermediate"])
def test_missing_intermediate_would_complete_the_chain(tmp_path, name):
    made = build_fault(name, NAMES)
    issued = culprit(made, name)
    assert len(issued.chain) == 1
    assert made.intermediate is not None
    whole = replace(issued, chain=(*issued.chain, made.intermediate))
    assert verify_errors(tmp_path, root(made), whole, *options(FAULTS[name].role, made.host)) == set()


@pytest.mark.parametrize("name", ["rsa-1024", "client-rsa-1024"])
def test_weak_key_is_what_it_says(name):
    key = leaf(name).public_key()
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 1024


@pytest.mark.parametrize("name", ["issuer-not-a-ca", "client-issuer-not-a-ca"])
def test_the_issuer_is_no_ca_and_is_sent(name):
    made = build_fault(name, NAMES)
    chain = culprit(made, name).chain
    certificate, issuer = map(x509.load_der_x509_certificate, chain)
    certificate.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(x509.load_der_x509_certificate(made.roots[0]))
    assert not extension(issuer, x509.BasicConstraints).ca


@pytest.mark.parametrize(
    ("name", "listed", "fresh"), [("good-crl", 0, True), ("client-revoked", 1, True), ("client-stale-crl", 0, False)]
)
def test_revocation_lists_say_what_they_should(name, listed, fresh):
    made = build_fault(name, NAMES)
    assert made.crl is not None
    crl = x509.load_pem_x509_crl(made.crl)
    assert [entry.serial_number for entry in crl].count(client_of(made).certificate.serial_number) == listed
    assert len(crl) == (1 if fresh else 0)
    assert crl.next_update_utc is not None
    assert (crl.next_update_utc > datetime.now(UTC)) is fresh


def test_the_time_is_the_callers():
    now = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    expired = build_fault("expired", NAMES, now=now).server.certificate
    future = client_of(build_fault("client-not-yet-valid", NAMES, now=now)).certificate
    assert expired.not_valid_after_utc == now - timedelta(days=2)
    assert future.not_valid_before_utc == now + timedelta(days=20)


def test_client_none_has_none():
    made = build_fault("client-none", NAMES)
    assert made.client is None
    assert not [name for name in made.files if name.startswith("client")]


def load(directory, role: str, password: str | None = None) -> None:
    """Load a pair as a Python program does; a password that is not given is not asked for on the terminal."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / f"{role}.pem", directory / f"{role}.key", password or (lambda: ""))


@pytest.mark.parametrize("name", FAULTS)
def test_files_are_as_good_as_their_row_says(tmp_path, name):
    made, written = write_fault(name, tmp_path, NAMES)
    assert {path.name: path.read_bytes() for path in written} == dict(made.files)
    for role in ("server", "client") if made.client else ("server",):
        # OpenSSL at its usual security level does not even load a weak certificate.
        if name in FILES and FAULTS[name].role == role:
            with pytest.raises((ssl.SSLError, OSError)):
                load(tmp_path, role)
        elif "rsa-1024" not in name:
            load(tmp_path, role)


def write(tmp_path, name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in write_fault(name, tmp_path, NAMES)[1]}


@pytest.mark.parametrize(("name", "role"), [("key-mismatch", "server"), ("client-key-mismatch", "client")])
def test_mismatched_key_is_a_good_key_of_somebody_else(tmp_path, name, role):
    write(tmp_path, name)
    openssl = require_peer("openssl")
    commands = (
        [openssl, "x509", "-in", f"{role}.pem", "-noout", "-pubkey"],
        [openssl, "pkey", "-in", f"{role}.key", "-pubout"],
    )
    of_certificate, of_key = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout for command in commands
    )
    assert b"BEGIN PUBLIC KEY" in of_certificate
    assert b"BEGIN PUBLIC KEY" in of_key
    assert of_certificate != of_key


def test_encrypted_key_opens_with_its_password(tmp_path):
    write(tmp_path, "client-key-encrypted")
    load(tmp_path, "client", password=NAMES.key_password.decode())


def test_reordered_chain_is_good(tmp_path):
    files = write(tmp_path, "client-chain-order")
    blocks = files["client.pem"].split(b"-----BEGIN")[1:]
    assert len(blocks) == 2
    (tmp_path / "client.pem").write_bytes(b"".join(b"-----BEGIN" + block for block in reversed(blocks)))
    load(tmp_path, "client")


def test_der_is_a_certificate_all_the_same(tmp_path):
    files = write(tmp_path, "client-der")
    (tmp_path / "client.pem").write_text(ssl.DER_cert_to_PEM_cert(files["client.pem"]))
    load(tmp_path, "client")


def test_swapped_files_are_good_when_swapped_back(tmp_path):
    files = write(tmp_path, "client-swapped")
    (tmp_path / "client.pem").write_bytes(files["client.key"])
    (tmp_path / "client.key").write_bytes(files["client.pem"])
    load(tmp_path, "client")


def test_keys_of_faults_are_the_owners_alone(tmp_path):
    write(tmp_path, "client-swapped")
    secret = [path for path in tmp_path.iterdir() if b"PRIVATE KEY" in path.read_bytes()]
    assert {path.name for path in secret} == {"server.key", "client.pem"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in secret)


def test_writing_a_fault_overwrites_only_when_asked(tmp_path):
    first = write(tmp_path, "good")
    with pytest.raises(ConfigError, match="exists already"):
        write_fault("expired", tmp_path, NAMES)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    made, _ = write_fault("expired", tmp_path, NAMES, replace=True)
    assert (tmp_path / "server.pem").read_bytes() == made.server.cert_pem != first["server.pem"]


def test_an_unknown_case_is_refused():
    with pytest.raises(ConfigError) as caught:
        build_fault("no-such-case")
    assert caught.value.code == "bad_option"
    assert "missing-intermediate" in caught.value.hint
    assert "hunter2" not in repr(NAMES)

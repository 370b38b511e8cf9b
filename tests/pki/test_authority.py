"""What the CA makes: other implementations accept it, and it says what it should."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from handfast.crypto import new_keys
from handfast.errors import ApiMisuse, ConfigError
from handfast.pki import authority
from handfast.pki.authority import CertificateAuthority, Issued
from tests import certificates
from tests.pki.openssl import context, handshake, verify_errors

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
# The default policy of `cryptography` knows the signatures of the web only.
WEB_KEYS = [kind for kind in new_keys.KEY_KINDS if not kind.startswith("ed")]
PURPOSES = {"server": "sslserver", "client": "sslclient"}


def healthy() -> dict[str, tuple[str, Issued]]:
    """Name -> (role, certificate), everything below `certificates.ca()`."""
    one_of_each = {f"{kind} server": ("server", certificates.server(kind)) for kind in new_keys.KEY_KINDS}
    return one_of_each | {
        "client": ("client", certificates.client()),
        "server below an intermediate": ("server", certificates.server_below_intermediate()),
        "client below an intermediate": ("client", certificates.client_below_intermediate()),
        "wildcard": ("server", certificates.ca().server("*.example.com", "localhost")),
        "URI": ("client", certificates.ca().client("alice", "spiffe://lab.example/alice")),
        "a name too long for a CN": ("server", certificates.ca().server(f"{'a' * 60}.example.com", "localhost")),
        "no name": ("client", certificates.ca().client("Alice Smith")),
    }


@pytest.fixture(scope="module")
def all_healthy() -> dict[str, tuple[str, Issued]]:
    return healthy()


def test_openssl_accepts_everything_strictly(tmp_path, all_healthy):
    for name, (role, issued) in all_healthy.items():
        options = ("-x509_strict", "-auth_level", "2", "-purpose", PURPOSES[role])
        assert verify_errors(tmp_path, certificates.ca().certificate_pem, issued, *options) == set(), name


def test_openssl_refuses_each_for_the_other_purpose(tmp_path, all_healthy):
    unsuitable = 26
    for name, (role, issued) in all_healthy.items():
        purpose = PURPOSES["client" if role == "server" else "server"]
        errors = verify_errors(tmp_path, certificates.ca().certificate_pem, issued, "-purpose", purpose)
        assert errors == {unsuitable}, name


@pytest.mark.parametrize("kind", [kind for kind in new_keys.KEY_KINDS if kind not in ("rsa-3072", "rsa-4096")])
def test_a_ca_with_each_kind_of_key(tmp_path, kind):
    chain = certificates.ca(kind).intermediate("Sub").server("localhost")
    options = ("-x509_strict", "-auth_level", "2", "-purpose", "sslserver", "-verify_hostname", "localhost")
    assert verify_errors(tmp_path, certificates.ca(kind).certificate_pem, chain, *options) == set()


def test_default_policy_of_cryptography_accepts_servers_and_named_clients(all_healthy):
    policy = PolicyBuilder().store(Store([certificates.ca().certificate]))
    for name, (role, issued) in all_healthy.items():
        leaf, *intermediates = [x509.load_der_x509_certificate(der) for der in issued.chain]
        if role == "server" and not name.startswith("ed"):
            policy.build_server_verifier(x509.DNSName("localhost")).verify(leaf, intermediates)
        elif role == "client" and name != "no name":
            policy.build_client_verifier().verify(leaf, intermediates)


def test_default_policy_accepts_cas_of_all_keys_of_the_web():
    for kind in (kind for kind in WEB_KEYS if kind not in ("rsa-3072", "rsa-4096")):
        leaf = certificates.ca(kind).server("localhost").certificate
        policy = PolicyBuilder().store(Store([certificates.ca(kind).certificate]))
        assert len(policy.build_server_verifier(x509.DNSName("localhost")).verify(leaf, [])) == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("chain", ["root", "intermediate"])
def test_python_ssl_shakes_hands_with_them(tmp_path, chain, version):
    root = certificates.ca().certificate_pem
    if chain == "root":
        server, client = certificates.server(), certificates.client()
    else:
        server, client = certificates.server_below_intermediate(), certificates.client_below_intermediate()
    client_context = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, root, client)
    client_context.minimum_version = client_context.maximum_version = version
    server_context = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, root, server)
    client_side, server_side = handshake(client_context, server_context, "server.example.com")
    assert client_side.getpeercert(binary_form=True) == server.chain[0]
    assert server_side.getpeercert(binary_form=True) == client.chain[0]


@pytest.mark.parametrize("kind", new_keys.KEY_KINDS)
def test_python_ssl_shakes_hands_with_each_kind_of_key(tmp_path, kind):
    root = certificates.ca().certificate_pem
    client_context = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, root, certificates.client())
    server_context = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, root, certificates.server(kind))
    client_side, _ = handshake(client_context, server_context, "127.0.0.1")
    assert client_side.getpeercert(binary_form=True) == certificates.server(kind).chain[0]


def test_rsa_pss_certificate_says_so_and_is_accepted(tmp_path):
    issued = certificates.rsa_pss()
    assert issued.certificate.public_key_algorithm_oid.dotted_string == "1.2.840.113549.1.1.10"
    options = ("-x509_strict", "-auth_level", "2", "-purpose", "sslserver", "-verify_hostname", "localhost")
    assert verify_errors(tmp_path, certificates.ca().certificate_pem, issued, *options) == set()


def test_validity_is_backdated_short_and_within_the_ca():
    ca = CertificateAuthority.create(now=NOW)
    leaf = ca.server("localhost").certificate
    assert leaf.not_valid_before_utc == NOW - authority.BACKDATE
    assert leaf.not_valid_after_utc == NOW + timedelta(days=authority.LEAF_DAYS)
    assert ca.certificate.not_valid_after_utc == NOW + timedelta(days=authority.CA_DAYS)
    assert ca.server("localhost", days=2000).certificate.not_valid_after_utc == ca.certificate.not_valid_after_utc
    assert ca.intermediate("Sub", days=2000).certificate.not_valid_after_utc == ca.certificate.not_valid_after_utc


def test_without_a_fixed_time_the_clock_counts():
    leaf = CertificateAuthority.create().server("localhost").certificate
    assert leaf.not_valid_before_utc <= datetime.now(UTC) < leaf.not_valid_after_utc


def test_names_go_where_their_kind_belongs():
    leaf = certificates.ca().server("localhost", "127.0.0.1", "::1", "spiffe://a/b", "bob@example.com").certificate
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://a/b"]
    assert names.get_values_for_type(x509.RFC822Name) == ["bob@example.com"]


def test_a_client_has_one_purpose_and_its_name():
    leaf = certificates.ca().client("alice@example.com").certificate
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert list(names) == [x509.RFC822Name("alice@example.com")]
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "alice@example.com"


def test_chain_ends_below_the_root():
    sub = certificates.ca().intermediate("Upper", path_length=1).intermediate("Lower")
    chain = [x509.load_der_x509_certificate(der) for der in sub.server("localhost").chain]
    names = [name.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for name in chain]
    assert names == ["localhost", "Lower", "Upper"]
    chain[0].verify_directly_issued_by(chain[1])
    chain[1].verify_directly_issued_by(chain[2])
    chain[2].verify_directly_issued_by(certificates.ca().certificate)
    assert sub.server("localhost").cert_pem.count(b"BEGIN CERTIFICATE") == 3


def path_length(ca: CertificateAuthority) -> int | None:
    return ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length


def test_path_length_shrinks_and_ends():
    root = CertificateAuthority.create(path_length=2)
    assert [path_length(root.intermediate("Sub", path_length=wanted)) for wanted in (None, 0, 1, 5)] == [1, 0, 1, 1]
    with pytest.raises(ApiMisuse, match="path length is 0"):
        root.intermediate("Sub", path_length=0).intermediate("Sub sub")


def test_permitted_domain_binds_what_the_ca_issues(tmp_path):
    ca = CertificateAuthority.create(constrain=("corp.example",))
    good, bad = ca.server("www.corp.example"), ca.server("www.other.example")
    permitted_subtree_violation = 47
    assert verify_errors(tmp_path, ca.certificate_pem, good, "-x509_strict") == set()
    assert verify_errors(tmp_path, ca.certificate_pem, bad, "-x509_strict") == {permitted_subtree_violation}


def test_crl_revokes_and_remembers(tmp_path):
    ca = CertificateAuthority.create()
    first, second, good = (ca.client(name) for name in ("first", "second", "good"))
    revoked = 23
    crl = ca.crl([first])
    assert verify_errors(tmp_path, ca.certificate_pem, first, "-x509_strict", crl=crl) == {revoked}
    assert verify_errors(tmp_path, ca.certificate_pem, second, "-x509_strict", crl=crl) == set()
    longer = ca.crl([second.certificate.serial_number, first.certificate], previous=crl)
    assert {entry.serial_number for entry in x509.load_pem_x509_crl(longer)} == {
        first.certificate.serial_number,
        second.certificate.serial_number,
    }
    for who, expected in ((first, {revoked}), (second, {revoked}), (good, set())):
        assert verify_errors(tmp_path, ca.certificate_pem, who, "-x509_strict", crl=longer) == expected


def test_crl_says_its_times():
    crl = x509.load_pem_x509_crl(CertificateAuthority.create(now=NOW).crl(days=7))
    assert crl.last_update_utc == NOW - authority.BACKDATE
    assert crl.next_update_utc == NOW + timedelta(days=7)
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == int(NOW.timestamp())


def test_destroyed_key_signs_nothing():
    ca = CertificateAuthority.create()
    ca.destroy_key()
    for use in (lambda: ca.server("localhost"), ca.crl, ca.key_pem):
        with pytest.raises(ApiMisuse, match="destroyed"):
            use()
    assert b"BEGIN CERTIFICATE" in ca.certificate_pem


def test_unknown_and_weak_kinds_of_key_are_refused():
    for kind in ("dsa", "rsa-1024", ""):
        with pytest.raises(ConfigError) as caught:
            CertificateAuthority.create(key=kind)
        assert caught.value.code == "bad_option"
        assert "ecdsa-p256" in caught.value.hint


def test_a_server_needs_a_name():
    with pytest.raises(ApiMisuse):
        certificates.ca().server()


def test_keys_do_not_show_and_open_with_their_password_only():
    issued = certificates.server()
    assert repr(issued) == "<Issued CN=localhost,O=handfast>"
    encrypted = issued.encrypted_key_pem(b"secret")
    assert b"ENCRYPTED" in encrypted
    with pytest.raises(ConfigError, match="encrypted"):
        CertificateAuthority.load(issued.cert_pem, encrypted, path="c", key_path="k")


def test_a_saved_ca_goes_on():
    sub = certificates.ca().intermediate("Sub")
    pem = b"".join(map(authority.certificate_pem, sub.chain))
    root = certificates.ca().certificate_pem
    loaded = CertificateAuthority.load(pem + root, sub.key_pem(b"pass"), path="c", key_path="k", password=b"pass")
    issued = loaded.server("localhost")
    assert issued.chain[1:] == (sub.certificate_der,)
    issued.certificate.verify_directly_issued_by(sub.certificate)
    again = CertificateAuthority.load(root, certificates.ca().key_pem(), path="c", key_path="k")
    assert again.server("localhost").chain[1:] == ()


def test_what_cannot_be_a_saved_ca():
    ca, leaf = certificates.ca(), certificates.server()
    wrong = {
        "no_certificate": (ca.key_pem(), ca.key_pem()),
        "bad_certificate": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ca.key_pem()),
        "no_key": (ca.certificate_pem, ca.certificate_pem),
        "key_mismatch": (ca.certificate_pem, leaf.key_pem),
        "not_a_ca": (leaf.cert_pem, leaf.key_pem),
    }
    for code, (certificate, key) in wrong.items():
        with pytest.raises(ConfigError) as caught:
            CertificateAuthority.load(certificate, key, path="c", key_path="k")
        assert caught.value.code == code

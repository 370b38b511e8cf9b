"""Paths that one program builds and another does not, at a real nginx; and what stands behind a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from handfast.doctor.catalogue import fixes
from handfast.pki.authority import CertificateAuthority, Issued
from tests.doctor.matrix import Answer, ask, target
from tests.doctor.servers import Running, Setting, nginx
from tests.waiting import until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


NOW = datetime.now(UTC)


class Place:
    """A folder with a root, the server's certificate below it, and two CAs between the root and the client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = CertificateAuthority.create("Corp Root")
        self.policy = self.root.intermediate("Corp Policy CA", path_length=1)
        self.issuing = self.policy.intermediate("Corp Issuing CA")
        self.ca = self.write("ca.pem", self.root.certificate_pem)
        server = self.root.server("localhost", "127.0.0.1")
        self.server = self.write("server.pem", server.cert_pem), self.write("server.key", server.key_pem)

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return path

    def client(self, issued: Issued, *chain: bytes) -> tuple[object, ...]:
        """The arguments that name a client's files."""
        files = self.write("client.pem", b"".join(chain) or issued.cert_pem), self.write("client.key", issued.key_pem)
        return "--cert", files[0], "--key", files[1]

    def nginx(self, *directives: str, ca: Path | None = None, version: str = "1.3") -> AbstractContextManager[Running]:
        """With a client certificate wanted, where ``ca`` names who may have issued it."""
        wanted = [] if ca is None else [f"ssl_client_certificate {ca}", "ssl_verify_client on"]
        return nginx(Setting(self.folder, *self.server, None, None, version), ";".join([*wanted, *directives]))

    def ask(self, running: Running, *arguments: object) -> Answer:
        return ask(*target(running), "--cacert", self.ca, *arguments)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def line(code: str, **names: object) -> list[str]:
    """nginx's directives of a fix, as it is printed."""
    printed = fixes()[code].filled({name: str(value) for name, value in names.items()})["nginx"]
    plain = "\n".join(one.partition("#")[0] for one in printed.split("\n"))
    return [one.strip() for one in plain.split(";") if one.strip()]


def log_of(running: Running) -> str:
    assert until(lambda: "verify error" in running.log()), running.log()
    return next(line for line in running.log().splitlines() if "verify error" in line)


def test_more_intermediates_than_nginx_allows(place: Place) -> None:
    client = place.client(place.issuing.client("alice"))
    with place.nginx(ca=place.ca) as running:
        answer = place.ask(running, *client)
        assert "client_path_not_built" in answer.causes
        assert any("ssl_verify_depth" in remark for remark in answer.document["remarks"])
        log = log_of(running)
        assert place.ask(running, *client, "--log", log, "--client-ca", place.ca).decides("client_path_not_built")
    with place.nginx(*line("server_builds_path", client_ca=place.ca), "ssl_verify_client on") as running:
        assert place.ask(running, *client).status == 0


def test_an_intermediate_that_is_trusted_without_its_root(place: Place) -> None:
    client = place.client(place.issuing.client("alice"))
    anchor = place.write("issuing.pem", place.issuing.certificate_pem)
    with place.nginx("ssl_verify_depth 3", ca=anchor) as running:
        answer = place.ask(running, *client)
        assert "client_path_not_built" in answer.causes
        both = place.ask(running, *client, "--client-ca", anchor, "--log", log_of(running))
    assert both.decides("client_path_not_built")
    offline = ask(*client, "--client-ca", anchor)
    assert offline.decides("client_path_not_built")
    assert "no root above it" in offline.document["findings"][0]["evidence"][0]
    whole = place.write("whole.pem", place.issuing.certificate_pem + place.ca.read_bytes())
    assert ask(*client, "--client-ca", whole).status == 0


def renewed(ca: CertificateAuthority) -> x509.Certificate:
    """A root of the same name and key, with another serial number."""
    old = ca.certificate
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=90))
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(ca.key, hashes.SHA256())


def identified_by_serial(ca: CertificateAuthority) -> Issued:
    """A client that names its issuer by issuer and serial number too. RFC 5280 4.2.1.1."""
    issued = ca.client("alice")
    own = x509.load_der_x509_certificate(issued.chain[0])
    names = [x509.DirectoryName(ca.certificate.issuer)]
    builder = x509.CertificateBuilder(ca.certificate.subject, own.subject, own.public_key(), own.serial_number)
    builder = builder.not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
    for extension in own.extensions:
        value = extension.value
        if isinstance(value, x509.AuthorityKeyIdentifier):
            value = x509.AuthorityKeyIdentifier(value.key_identifier, names, ca.certificate.serial_number)
        builder = builder.add_extension(value, extension.critical)
    made = builder.sign(ca.key, hashes.SHA256())
    return Issued((made.public_bytes(Encoding.DER),), issued.key)


def test_an_issuer_that_was_renewed_with_its_key_and_is_named_by_serial_number(place: Place) -> None:
    client = place.client(identified_by_serial(place.root))
    new = place.write("new.pem", renewed(place.root).public_bytes(Encoding.PEM))
    with place.nginx(ca=new) as running:
        answer = place.ask(running, *client, "--log", "client SSL certificate verify error: (20:unable to get local "
                           "issuer certificate) while reading client request headers")  # fmt: skip
        assert "client_path_not_built" in answer.causes
        both = place.ask(running, *client, "--client-ca", new)
    assert both.decides("client_path_not_built")
    assert "authorityKeyIdentifier" in both.document["findings"][0]["evidence"][0]
    assert ask(*client, "--client-ca", place.ca).status == 0


def cross_signed(place: Place) -> bytes:
    """The root's key under another root, until yesterday."""
    other = CertificateAuthority.create("Old Root")
    own = place.root.certificate
    builder = x509.CertificateBuilder(other.certificate.subject, own.subject, own.public_key(), 7)
    builder = builder.not_valid_before(NOW - timedelta(days=9)).not_valid_after(NOW - timedelta(days=1))
    for extension in own.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(other.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def test_what_no_path_needs_is_a_remark(place: Place) -> None:
    issued = place.root.client("alice")
    client = place.client(issued, issued.cert_pem, cross_signed(place))
    with place.nginx(ca=place.ca) as running:
        answer = place.ask(running, *client)
    assert (answer.status, answer.findings) == (0, ())
    assert any("expired" in remark and "no path needs" in remark for remark in answer.document["remarks"])


def test_an_order_that_others_take_is_a_remark_and_hides_nothing(place: Place) -> None:
    issued = place.policy.client("alice")
    leaf = issued.cert_pem.partition(b"-----END CERTIFICATE-----\n")
    mixed = (leaf[0] + leaf[1], place.root.certificate_pem, place.policy.certificate_pem)
    client = place.client(issued, *mixed)
    with place.nginx(ca=place.ca) as running:
        answer = place.ask(running, *client)
    assert (answer.status, answer.findings) == (0, ())
    assert len(answer.document["connections"]) == 2
    assert any("sort a chain themselves" in remark for remark in answer.document["remarks"])
    other = place.write("other.pem", CertificateAuthority.create("Other").certificate_pem)
    with place.nginx(ca=other) as running:
        assert "client_wrong_ca" in place.ask(running, *client).causes


@pytest.mark.parametrize(("status", "cause"), [(500, "server_failed"), (502, "behind_the_server")])
def test_an_answer_that_something_failed(place: Place, status: int, cause: str) -> None:
    with place.nginx(f"return {status}", ca=place.ca) as running:
        answer = place.ask(running, *place.client(place.root.client("alice")))
    assert answer.decides(cause)
    assert f"HTTP {status}" in answer.document["findings"][0]["evidence"][0]


@pytest.mark.parametrize("front_asks", [False, True])
def test_a_server_behind_that_wants_a_certificate_of_the_one_in_front(place: Place, front_asks: bool) -> None:
    (place.folder / "behind").mkdir()
    behind = Place(place.folder / "behind")
    client = place.client(place.root.client("alice"))
    # As a client nginx speaks TLS 1.3 by default since 1.23.4 only.
    with behind.nginx(ca=behind.ca, version="1.2") as inner:
        passing = f"location = / {{ proxy_pass https://127.0.0.1:{inner.port}; }} add_header X y"
        with place.nginx(passing, ca=place.ca if front_asks else None) as running:
            answer = place.ask(running, *client)
            assert answer.decides("behind_the_server"), answer.document["findings"]
            assert "its page says that no certificate was sent" in answer.document["findings"][0]["evidence"][0]
        own = behind.root.client("the server in front")
        place.write("own-client.pem", own.cert_pem)
        place.write("own-client.key", own.key_pem)
        with place.nginx(passing, *line("server_as_client"), ca=place.ca if front_asks else None) as running:
            assert "behind_the_server" not in place.ask(running, *client).causes

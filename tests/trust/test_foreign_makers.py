"""What well-known makers of certificates make, here and now by themselves, carries a mutual handshake of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme
from cryptography import x509

from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth, ClientConfig, ServerConfig
from handfast.pki.authority import CertificateAuthority
from handfast.pki.faults import Role
from handfast.registry import AlertDescription
from handfast.trust.presented import PresentedChain
from handfast.trust.revocation.crl_store import Crls
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import pem
from handfast.x509.purpose import Purpose
from tests.faults.meeting import Meeting
from tests.peers import require_peer
from tests.waiting import LIMIT

HOST = "localhost"
DEBIAN_EASY_RSA = "/usr/share/easy-rsa/easyrsa"


@dataclass(frozen=True)
class Made:
    """What a maker made, loaded as its user would load it; ``revoked`` is a client on the list in ``crls``."""

    roots: Roots
    server: Credentials
    client: Credentials
    crls: Crls | None = None
    revoked: Credentials | None = None

    def meet(self, *, policy: str = "handfast", server_name: str = HOST) -> Meeting:
        """A handshake in which both sides require and verify the other's certificate."""
        client = ClientConfig(credentials=(self.client,), verifier=PathVerifier(self.roots, policy=policy))
        server = ServerConfig(
            credentials=(self.server,),
            client_auth=ClientAuth.REQUIRE_AND_VERIFY,
            verifier=PathVerifier(self.roots, policy=policy, crls=self.crls),
            ca_names=self.roots.names(),
        )
        return Meeting(client, server, server_name)


@pytest.mark.filterwarnings("error")
def test_a_root_with_the_serial_number_0_is_used_without_a_word(tmp_path: Path) -> None:
    """As GoDaddy's G2 and others in every system's store: cryptography warns of each, on the program's terminal."""
    made = [require_peer("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-set_serial", "0", "-days", "1"]
    subprocess.run([*made, "-subj", "/CN=Old", "-keyout", "key", "-out", "ca.pem"], cwd=tmp_path, check=True)
    roots = Roots.from_file(tmp_path / "ca.pem")
    ours = CertificateAuthority.create()
    verifier = PathVerifier(Roots.from_der([*roots.certificates, ours.certificate_der]))
    chain, at = ours.server(HOST).chain, datetime.now(UTC)
    assert verifier.verify(PresentedChain(chain=chain, purpose=Purpose.SERVER, server_name=HOST, at=at)).accepted


class Folder:
    """Where a tool works: it gets no more of our environment than the way to programs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: str, **environment: str) -> None:
        known = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.path), "LC_ALL": "C"}
        done = subprocess.run(command, cwd=self.path, env=known | environment, capture_output=True, timeout=LIMIT)
        assert done.returncode == 0, done

    def roots(self, *names: str) -> Roots:
        return Roots.from_pem(b"".join((self.path / name).read_bytes() for name in names))

    def credentials(self, certificate: str, key: str = "") -> Credentials:
        path = self.path / certificate
        return Credentials.from_files(path, self.path / key if key else path.with_suffix(".key"))


def sscg(folder: Folder) -> Made:
    service = ("--ca-file", "ca.pem", "--cert-file", "server.pem", "--cert-key-file", "server.key")
    client = ("--client-file", "client.pem", "--client-key-file", "client.key")
    # It writes parameters for finite field Diffie-Hellman too, whether wanted or not; the smallest are the quickest.
    parameters = ("--dhparams-file", "dh.pem", "--dhparams-named-group", "ffdhe2048")
    names = ("--hostname", "server.example.com", "--subject-alt-name", HOST)
    folder.run(require_peer("sscg"), "-q", *names, *service, *client, *parameters)
    return Made(folder.roots("ca.pem"), folder.credentials("server.pem"), folder.credentials("client.pem"))


def mkcert(folder: Folder) -> Made:
    program = require_peer("mkcert")
    for role, names in (("server", (HOST, "127.0.0.1")), ("client", ("-client", "alice"))):
        outputs = ("-cert-file", f"{role}.pem", "-key-file", f"{role}.key")
        folder.run(program, *outputs, *names, CAROOT=str(folder.path / "root"))
    return Made(folder.roots("root/rootCA.pem"), folder.credentials("server.pem"), folder.credentials("client.pem"))


def easy_rsa(folder: Folder) -> Made:
    return _easy_rsa(folder, "ec", "prime256v1")


def easy_rsa_with_ed25519(folder: Folder) -> Made:
    return _easy_rsa(folder, "ed", "ed25519")


def _easy_rsa(folder: Folder, algorithm: str, curve: str) -> Made:
    program = require_peer(shutil.which("easyrsa") or DEBIAN_EASY_RSA)
    settings = {"EASYRSA_PKI": str(folder.path / "pki"), "EASYRSA_BATCH": "1"}
    for command in (
        "init-pki",
        "build-ca nopass",
        f"--subject-alt-name=DNS:{HOST} build-server-full {HOST} nopass",
        "build-client-full alice nopass",
        "build-client-full mallory nopass",
    ):
        folder.run(program, *command.split(), EASYRSA_ALGO=algorithm, EASYRSA_CURVE=curve, **settings)
    # Revoking moves the files away.
    mallory = folder.credentials("pki/issued/mallory.crt", "pki/private/mallory.key")
    for command in ("revoke mallory", "gen-crl"):
        folder.run(program, *command.split(), **settings)
    return Made(
        folder.roots("pki/ca.crt"),
        folder.credentials(f"pki/issued/{HOST}.crt", f"pki/private/{HOST}.key"),
        folder.credentials("pki/issued/alice.crt", "pki/private/alice.key"),
        Crls.from_file(folder.path / "pki/crl.pem"),
        mallory,
    )


def trustmes(_: Folder) -> Made:
    ca = trustme.CA()
    server, client = (
        Credentials.from_pem(ca.issue_cert(name).private_key_and_cert_chain_pem.bytes())
        for name in (HOST, "alice@example.com")
    )
    return Made(Roots.from_pem(ca.cert_pem.bytes()), server, client)


def openssl(folder: Folder, kind: str = "rsa:2048") -> Made:
    """As in the tutorials: `req -x509` makes the root, `x509 -req` the others with the extensions from a file."""
    _openssl(folder, f"req -x509 -days 30 -newkey {kind} -nodes -subj /CN=MyCA -keyout ca.key -out ca.pem")
    for role, extensions in (
        ("server", f"subjectAltName=DNS:{HOST}\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ):
        (folder.path / "extensions").write_text(extensions)
        _issue(folder, role, kind, "-extfile extensions")
    return Made(folder.roots("ca.pem"), folder.credentials("server.pem"), folder.credentials("client.pem"))


def openssl_self_signed(folder: Folder) -> Made:
    """No CA: each side's certificate signs itself, says that it is a CA, and is trusted by the other."""
    for role, name in (("server", HOST), ("client", "alice")):
        extension = f"-addext subjectAltName=DNS:{name}"
        make = f"req -x509 -days 30 -newkey ed25519 -nodes -subj /CN={name} {extension}"
        _openssl(folder, f"{make} -keyout {role}.key -out {role}.pem")
    roots = folder.roots("server.pem", "client.pem")
    return Made(roots, folder.credentials("server.pem"), folder.credentials("client.pem"))


def _openssl(folder: Folder, command: str) -> None:
    folder.run(require_peer("openssl"), *command.split())


def _issue(folder: Folder, role: str, kind: str, options: str = "") -> None:
    _openssl(folder, f"req -newkey {kind} -nodes -subj /CN={role} -keyout {role}.key -out request")
    _openssl(
        folder, f"x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out {role}.pem {options}"
    )


class Maker(NamedTuple):
    """``one_purpose``: its server certificates are for servers alone."""

    make: Callable[[Folder], Made]
    one_purpose: bool


MAKERS = {
    "sscg": Maker(sscg, one_purpose=True),
    "mkcert": Maker(mkcert, one_purpose=True),
    "easy-rsa": Maker(easy_rsa, one_purpose=True),
    "easy-rsa ed25519": Maker(easy_rsa_with_ed25519, one_purpose=True),
    "trustme": Maker(trustmes, one_purpose=False),
    "openssl": Maker(openssl, one_purpose=True),
    "openssl self-signed": Maker(openssl_self_signed, one_purpose=False),
}


@pytest.fixture(scope="module", params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def made(name: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return MAKERS[name].make(Folder(tmp_path_factory.mktemp("maker")))


@pytest.mark.parametrize("policy", ["handfast", "openssl"])
def test_a_mutual_handshake(made: Made, policy: str) -> None:
    made.meet(policy=policy).assert_complete()


def test_another_name(made: Made) -> None:
    meeting = made.meet(server_name="elsewhere.example")
    meeting.assert_refused(Role.SERVER, "name_mismatch", AlertDescription.bad_certificate)


def test_the_servers_certificate_at_a_client(made: Made, name: str) -> None:
    meeting = replace(made, client=made.server).meet()
    if MAKERS[name].one_purpose:
        meeting.assert_refused(Role.CLIENT, "wrong_purpose", AlertDescription.unsupported_certificate)
    else:
        meeting.assert_complete()


def test_the_strict_policy_is_as_strict_as_openssl(made: Made, tmp_path: Path) -> None:
    presented = PresentedChain(chain=made.server.chain, purpose=Purpose.SERVER, server_name=HOST, at=datetime.now(UTC))
    verdict = PathVerifier(made.roots, policy="strict").verify(presented)
    for file, certificates in (("roots", made.roots.certificates), ("leaf", made.server.chain)):
        (tmp_path / file).write_bytes(b"".join(pem.encode("CERTIFICATE", one) for one in certificates))
    options = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", HOST, "-CAfile", "roots", "-no-CApath"]
    command = [require_peer("openssl"), "verify", *options, "leaf"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=LIMIT)
    assert (done.returncode == 0) is verdict.accepted, done


@pytest.mark.parametrize("name", ["easy-rsa", "easy-rsa ed25519"], indirect=True)
def test_a_client_that_the_maker_revoked(made: Made) -> None:
    assert made.revoked is not None
    meeting = replace(made, client=made.revoked).meet()
    meeting.assert_refused(Role.CLIENT, "revoked", AlertDescription.certificate_revoked)
    replace(made, client=made.revoked, crls=None).meet().assert_complete()


def test_a_client_certificate_without_extensions(tmp_path: Path) -> None:
    """`openssl x509 -req` of OpenSSL 3.0 without -extfile makes X.509 version 1; from 3.2 on it makes version 3."""
    folder = Folder(tmp_path)
    healthy = openssl(folder, "ec -pkeyopt ec_paramgen_curve:P-256")
    _issue(folder, "bare", "ec -pkeyopt ec_paramgen_curve:P-256")
    bare = folder.credentials("bare.pem")
    meeting = replace(healthy, client=bare).meet()
    if x509.load_der_x509_certificate(bare.chain[0]).version is x509.Version.v3:
        meeting.assert_complete()
        return
    meeting.assert_refused(Role.CLIENT, "policy", AlertDescription.bad_certificate)
    refusal = meeting.error(Role.SERVER)
    assert refusal is not None
    assert "version 1" in refusal.what
    assert "-extfile" in refusal.what

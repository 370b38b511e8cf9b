"""Files that handfast reads and other programs do not, and files that are something else than what was wanted."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from handfast.cli import main
from handfast.file_contents import unread_by_openssl
from tests.doctor.matrix import Cast, ask, target
from tests.doctor.servers import SERVERS
from tests.peers.base import require_peer
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda pem: pem,
    "byte order mark": lambda pem: b"\xef\xbb\xbf" + pem,
    "CRLF": lambda pem: pem.replace(b"\n", b"\r\n"),
    "blanks behind": lambda pem: pem.replace(b"-----\n", b"-----  \n"),
    "text around": lambda pem: b"a - b -- c\n" + pem + b"-- \nend\n",
    "indented": lambda pem: b"".join(b"    " + line for line in pem.splitlines(keepends=True)),
    "glued": lambda pem: pem.replace(b"-----\n-----", b"----------"),
    "text before": lambda pem: b"certificate: " + pem,
}


def openssl_reads(cert: Path, key: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key)
    except ssl.SSLError:
        return False
    return True


@pytest.fixture
def files(cast: Cast) -> tuple[Path, Path]:
    """A certificate below an intermediate, with that, and its key."""
    return cast.identity("client", cast.scene.client(cast.scene.intermediate))


@pytest.mark.parametrize("form", FORMS)
def test_what_is_said_of_openssl_is_what_openssl_does(form: str, cast: Cast, files: tuple[Path, Path]) -> None:
    cert, key = files
    changed = cast.write("changed.pem", FORMS[form](cert.read_bytes()))
    said = unread_by_openssl(changed.read_bytes(), "changed.pem")
    assert (said is None) is openssl_reads(changed, key)
    changed = cast.write("changed.key", FORMS[form](key.read_bytes()))
    said = unread_by_openssl(changed.read_bytes(), "changed.key")
    assert (said is None) is openssl_reads(cert, changed)


@pytest.mark.parametrize("form", ["indented", "glued"])
def test_the_command_mends_the_file(form: str, cast: Cast, files: tuple[Path, Path]) -> None:
    cert, key = files
    changed = cast.write("changed.pem", FORMS[form](cert.read_bytes()))
    answer = ask("--cert", changed, "--key", key)
    assert answer.findings == (("client_files_unusable",),)
    (finding,) = answer.document["findings"]
    assert "OpenSSL, and with it curl, nginx, Python and Node, does not read it" in finding["evidence"][0]
    ((fix,),) = (cause["fixes"] for cause in finding["causes"])
    subprocess.run(["sh", "-c", fix["does"].partition(": ")[2]], cwd=cast.directory, check=True, timeout=LIMIT)
    new = cast.directory / "NEW.pem"
    assert new.read_bytes() == cert.read_bytes()
    new.unlink()


@pytest.mark.parametrize(
    ("option", "side"), [("--cacert", "client"), ("--client-ca", "server"), ("--server-cert", "server")]
)
def test_each_side_s_files_are_looked_at(option: str, side: str, cast: Cast) -> None:
    cert, key = cast.identity("client", cast.good)
    source = cast.server[0] if option == "--server-cert" else cast.ca
    changed = cast.write("changed.pem", FORMS["indented"](source.read_bytes()))
    answer = ask("--cert", cert, "--key", key, option, changed)
    assert (f"{side}_files_unusable",) in answer.findings


def test_it_is_said_beside_a_connection_that_works(cast: Cast) -> None:
    cert, key = cast.identity("client", cast.good)
    changed = cast.write("changed.key", FORMS["indented"](key.read_bytes()))
    with SERVERS["python"](cast.setting("1.3")) as running:
        answer = ask(*target(running), "--cacert", cast.ca, "--cert", cert, "--key", changed)
    assert answer.findings == (("client_files_unusable",),)


@pytest.fixture
def old_pkcs12(cast: Cast) -> Path:
    """A file as OpenSSL 1 and Windows made them."""
    cert, key = cast.identity("client", cast.good)
    command: list[str | Path] = [require_peer("openssl"), "pkcs12", "-export", "-legacy", "-in", cert, "-inkey", key]
    made = cast.directory / "old.p12"
    done = subprocess.run([*command, "-out", made, "-passout", "pass:changeit"], check=False, timeout=LIMIT)
    if done.returncode != 0:
        pytest.skip("this OpenSSL has no legacy provider")
    return made


def test_pkcs12_with_old_ciphers(old_pkcs12: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "curl: (58) could not parse PKCS12 file, OpenSSL error error:0308010C:digital envelope routines::unsupported"
    answer = ask("--cert", f"{old_pkcs12}:changeit", "--log", line)
    assert answer.findings == (("client_files_unusable",),)
    (finding,) = answer.document["findings"]
    assert "RC2" in finding["evidence"][0]
    assert f"openssl pkcs12 -legacy -in {old_pkcs12}" in finding["causes"][0]["fixes"][0]["does"]
    assert main(["certs", "show", f"{old_pkcs12}:changeit"]) == 0
    assert "PKCS#12" in capsys.readouterr().out


def test_certs_check_warns_of_such_files(cast: Cast, old_pkcs12: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "check", "--cacert", str(cast.ca), "--as", "client", f"{old_pkcs12}:changeit"]) == 0
    warning = capsys.readouterr().err.splitlines()[0]
    assert warning.startswith("handfast: warning:")
    assert "does not read it" in warning
    assert "openssl pkcs12 -legacy" in warning


def test_pkcs12_of_today_is_read(cast: Cast) -> None:
    made = cast.write("new.p12", cast.good.pkcs12(b"changeit"))
    assert ask("--cert", f"{made}:changeit").findings == ()


def test_a_server_s_pkcs12_without_a_key_file_is_told_of_too(cast: Cast) -> None:
    cert, key = cast.identity("site", cast.scene.server())
    made = cast.directory / "site.p12"
    command: list[str | Path] = [require_peer("openssl"), "pkcs12", "-export", "-in", cert, "-inkey", key, "-out", made]
    subprocess.run([*command, "-passout", "pass:", "-certpbe", "NONE", "-keypbe", "NONE"], check=True, timeout=LIMIT)
    document = ask("--server-cert", made, "--cacert", cast.ca).document
    assert any("site.pem" in one for one in document["remarks"])


def test_fixes_name_pem_where_a_program_wants_it(cast: Cast) -> None:
    made = cast.write("alice.p12", cast.good.pkcs12(b"changeit"))
    document = ask("--cert", f"{made}:changeit", "--log", "ssl alert number 48").document
    (remark,) = [one for one in document["remarks"] if "PKCS#12" in one]
    fixes = [fix for finding in document["findings"] for cause in finding["causes"] for fix in cause["fixes"]]
    named = [text for fix in fixes for text in fix.values() if "alice" in text]
    assert named
    assert all("alice.pem" in text and "alice.p12" not in text for text in named)
    command = remark.rpartition(": ")[2].split()
    done = subprocess.run([*command, "-passin", "pass:changeit"], cwd=cast.directory, check=False, timeout=LIMIT)
    assert done.returncode == 0
    assert openssl_reads(cast.directory / "alice.pem", cast.directory / "alice.pem")


def test_show_takes_one_password(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    made = cast.write("new.p12", cast.good.pkcs12(b"changeit"))
    other = cast.write("other.p12", cast.good.pkcs12(b"secret"))
    assert main(["certs", "show", f"{made}:changeit", f"{other}:secret"]) == 2
    assert "look at one file at a time" in capsys.readouterr().err
    assert main(["certs", "show", f"{made}:wrong"]) == 2
    said = capsys.readouterr()
    assert "wrong" not in said.out
    assert ":wrong" not in said.err


def trust_store(cast: Cast) -> Path:
    made = cast.directory / "trust.p12"
    command: list[str | Path] = [require_peer("openssl"), "pkcs12", "-export", "-nokeys", "-in", cast.ca, "-out", made]
    subprocess.run([*command, "-passout", "pass:changeit"], check=True, timeout=LIMIT)
    return made


def test_a_truststore_is_no_client_s_identity(cast: Cast) -> None:
    answer = ask("--cert", f"{trust_store(cast)}:changeit", "--client-ca", cast.ca)
    assert answer.findings == (("client_files_unusable",),)
    (finding,) = answer.document["findings"]
    assert "it is PKCS#12 with certificates only" in finding["evidence"][0]
    assert "this is a truststore" in finding["causes"][0]["fixes"][0]["does"]


@pytest.mark.parametrize("option", ["--cacert", "--client-ca"])
def test_a_truststore_of_pkcs12_is_converted_with_pkcs12(
    option: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    store = trust_store(cast)
    jks = cast.directory / "trust.jks"
    shutil.copy(store, jks)
    cert, key = cast.identity("client", cast.good)
    for path in (store, jks):
        assert main(["doctor", "--cert", str(cert), "--key", str(key), option, str(path)]) == 2
        error, hint = capsys.readouterr().err.splitlines()
        assert error.endswith("holds no certificate: it is PKCS#12, not PEM (our side's fault)")
        assert hint.endswith(f"openssl pkcs12 -in {path} -nokeys -out NEW.pem")


NO_CERTIFICATES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "UTF-16": (lambda pem: pem.decode().encode("utf-16"), "iconv -f UTF-16 -t ASCII"),
    "JKS": (lambda pem: b"\xfe\xed\xfe\xed" + bytes(40), "keytool -importkeystore"),
    "a request": (lambda pem: pem.replace(b"CERTIFICATE", b"CERTIFICATE REQUEST"), "have a CA sign it"),
    "nothing": (lambda pem: b"", "write it again"),
}


@pytest.mark.parametrize("kind", NO_CERTIFICATES)
@pytest.mark.parametrize("side", ["client", "server"])
def test_what_reads_no_certificate_says_what_to_do(
    side: str, kind: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = NO_CERTIFICATES[kind]
    cert, key = cast.identity("client", cast.good)
    odd = cast.write("odd.pem", change(cert.read_bytes()))
    own = ("--cert", odd, "--key", key) if side == "client" else ("--server-cert", odd, "--server-key", key)
    assert main(["doctor", *map(str, own)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"[{side}_files_unusable]" in lines[0]
    (fix,) = [line for line in lines if line.startswith("  fix: ")]
    assert words in fix
    assert lines[-1] == fix
    assert main(["doctor", *map(str, own), "--json"]) == 1
    ((cause,),) = (finding["causes"] for finding in json.loads(capsys.readouterr().out)["findings"])
    assert words in cause["fixes"][0]["does"]

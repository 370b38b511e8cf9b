"""`handfast certs install` and `uninstall`, with stores of the tests' own: never this machine's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from handfast.cli import trust_stores
from tests import certificates
from tests.certificates import require_peer
from tests.cli.conftest import Pki, Run
from tests.waiting import LIMIT


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without any database."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def label() -> str:
    return trust_stores.label(certificates.ca().certificate_der)


def output(*command: object) -> str:
    words = [require_peer(str(command[0])), *map(str, command[1:])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def database(directory: Path) -> Path:
    directory.mkdir(parents=True)
    output("certutil", "-N", "-d", f"sql:{directory}", "--empty-password")
    return directory


def test_without_a_store_it_only_says_what_it_would_do(
    run: Run, pki: Pki, home: Path, label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    result = run("certs", "install", pki.ca)
    assert result.status == 0
    assert f"install -D -m 644 {pki.ca}" in result.out
    assert f"ca-certificates/{label}.crt" in result.out
    assert f"certutil -A -d sql:{home}/.pki/nssdb -n {label}" in " ".join(result.out.replace("\\", "").split())
    assert "keytool -importcert -noprompt" in result.out
    assert "-cacerts" in result.out
    assert "nothing was changed" in result.err
    undone = run("certs", "uninstall", pki.ca)
    assert undone.status == 0
    assert f"rm -f /usr/local/share/ca-certificates/{label}.crt" in undone.out
    assert "keytool -delete" in undone.out


def test_a_database_of_nss(run: Run, pki: Pki, tmp_path: Path, label: str) -> None:
    directory = database(tmp_path / "nss")
    assert run("certs", "install", pki.ca, f"--nss={directory}").out.startswith("installed in the NSS database")
    assert f"{label}{' ' * 30}"[:30] in output("certutil", "-L", "-d", f"sql:{directory}")
    assert "C,," in output("certutil", "-L", "-d", f"sql:{directory}")
    again = run("certs", "install", pki.ca, f"--nss={directory}")
    assert (again.status, again.out.split(" in ")[0]) == (0, "is already")
    assert run("certs", "uninstall", pki.ca, f"--nss={directory}").out.startswith("removed from the NSS database")
    assert label not in output("certutil", "-L", "-d", f"sql:{directory}")
    assert run("certs", "uninstall", pki.ca, f"--nss={directory}").out.startswith("is not in")


def test_the_databases_of_the_browsers_are_found(run: Run, pki: Pki, home: Path, label: str) -> None:
    chromium, firefox = database(home / ".pki/nssdb"), database(home / ".mozilla/firefox/abc.default")
    result = run("certs", "install", "--nss", pki.ca)
    assert result.status == 0
    assert len(result.out.splitlines()) == 2
    for directory in (chromium, firefox):
        assert label in output("certutil", "-L", "-d", f"sql:{directory}")


@pytest.mark.skipif("HANDFAST_TOOLS" not in os.environ, reason="slow: `make certificate-tools` runs it")
def test_a_java_keystore(run: Run, pki: Pki, tmp_path: Path, label: str) -> None:
    keystore = tmp_path / "trust.p12"
    common = ("-keystore", keystore, "-storepass", "changeit")
    (tmp_path / "other.pem").write_bytes(certificates.other_ca().certificate_pem)
    output("keytool", "-importcert", "-noprompt", "-alias", "other", "-file", tmp_path / "other.pem", *common)
    assert run("certs", "install", pki.ca, f"--java={keystore}").out.startswith("installed in the Java keystore")
    assert label in output("keytool", "-list", *common)
    assert run("certs", "install", pki.ca, f"--java={keystore}").out.startswith("is already in")
    assert run("certs", "uninstall", pki.ca, f"--java={keystore}").out.startswith("removed from the Java keystore")
    left = output("keytool", "-list", *common)
    assert label not in left
    assert "other" in left


def test_the_store_of_a_system_under_a_folder(run: Run, pki: Pki, tmp_path: Path, label: str) -> None:
    require_peer("update-ca-certificates")
    root = tmp_path / "root"
    for folder in ("usr/share/ca-certificates", "usr/local/share/ca-certificates", "etc/ssl/certs"):
        (root / folder).mkdir(parents=True)
    (root / "etc/ca-certificates/update.d").mkdir(parents=True)
    (root / "etc/ca-certificates.conf").touch()
    other = root / "usr/local/share/ca-certificates/other.crt"
    other.write_bytes(certificates.other_ca().certificate_pem)
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    ours = certificates.ca().certificate_pem
    result = run("certs", "install", pki.ca, "--system", "--root", root)
    assert result.status == 0, result
    assert result.out.startswith("installed in the system's store under")
    assert ours in bundle.read_bytes()
    assert run("certs", "install", pki.ca, "--system", "--root", root).out.startswith("is already in")
    assert run("certs", "uninstall", pki.ca, "--system", "--root", root).out.startswith("removed from")
    assert bundle.read_bytes() == other.read_bytes()
    assert not [path for path in root.rglob("*") if label in path.name]


def test_a_store_that_keeps_what_it_should_lose_is_told(run: Run, pki: Pki, tmp_path: Path) -> None:
    """update-ca-certificates leaves its bundle as it was when no CA at all is left."""
    require_peer("update-ca-certificates")
    for folder in ("usr/local/share/ca-certificates", "etc/ssl/certs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/ca-certificates.conf").touch()
    assert run("certs", "install", pki.ca, "--system", "--root", tmp_path).status == 0
    result = run("certs", "uninstall", pki.ca, "--system", "--root", tmp_path)
    assert result.status == 1
    assert "still holds it, though no command failed" in result.err


def test_a_tool_that_is_missing_is_named_with_its_command(
    run: Run, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cert9.db").touch()
    monkeypatch.setattr(trust_stores, "tool", lambda _name: None)
    result = run("certs", "install", pki.ca, f"--nss={tmp_path}")
    assert result.status == 1
    assert "certutil is not installed (Debian: libnss3-tools)" in result.err
    assert "certutil -A -d" in result.out


def test_a_tool_that_fails_is_quoted(run: Run, pki: Pki, tmp_path: Path) -> None:
    require_peer("certutil")
    (tmp_path / "cert9.db").write_bytes(b"no database")
    result = run("certs", "install", pki.ca, f"--nss={tmp_path}")
    assert result.status == 1
    assert "certutil: " in result.err
    assert "certutil -A -d" in result.out


def test_with_p11_kit_alone_its_program_is_used(run: Run, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_stores, "tool", lambda name: "/usr/bin/trust" if name == "trust" else None)
    assert f"trust anchor --store {pki.ca}" in run("certs", "install", pki.ca).out
    assert f"trust anchor --remove {pki.ca}" in run("certs", "uninstall", pki.ca).out


# p11-kit heeds no configuration of root's home folder, so the test's own is put in the place of the system's for this
# process alone; so is what other systems do after a change, which is not there on Debian.
TRUST = """#!/bin/sh
exec unshare --mount sh -c 'mount --bind {modules} /usr/share/p11-kit/modules &&
  mount --bind {hooks} /usr/libexec/p11-kit && exec {trust} "$@"' trust "$@"
"""


@pytest.fixture
def p11_kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of p11-kit's alone, as Fedora and Arch have it; the folder of what is in it."""
    trust = require_peer("trust")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("a store of its own needs a mount namespace, and that needs root")
    store, modules, hooks, programs = (tmp_path / name for name in ("store", "modules", "hooks", "programs"))
    for folder in (store, modules, hooks, programs):
        folder.mkdir()
    module = f"module: p11-kit-trust.so\ntrust-policy: yes\nx-init-reserved: paths='{store}'\n"
    (modules / "p11-kit-trust.module").write_text(module)
    scripts = {
        hooks / "trust-extract-compat": "#!/bin/sh\n",
        programs / "trust": TRUST.format(modules=modules, hooks=hooks, trust=trust),
    }
    for path, script in scripts.items():
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    found = trust_stores.tool
    monkeypatch.setattr(trust_stores, "tool", lambda name: None if name == "update-ca-certificates" else found(name))
    return store


def test_the_store_of_p11_kit(run: Run, pki: Pki, p11_kit: Path) -> None:
    assert run("certs", "uninstall", pki.ca, "--system").out.startswith("is not in the system's store")
    assert run("certs", "install", pki.ca, "--system").out.startswith("installed in the system's store")
    assert len(list(p11_kit.iterdir())) == 1
    assert run("certs", "install", pki.ca, "--system").out.startswith("is already in the system's store")
    assert run("certs", "uninstall", pki.ca, "--system").out.startswith("removed from the system's store")
    assert list(p11_kit.iterdir()) == []


def test_a_store_of_p11_kit_that_cannot_be_written_is_told(run: Run, pki: Pki, p11_kit: Path) -> None:
    p11_kit.rmdir()
    p11_kit.write_bytes(certificates.other_ca().certificate_pem)
    result = run("certs", "install", pki.ca, "--system")
    assert result.status == 1
    assert "no configured writable location" in result.err
    assert f"trust anchor --store {pki.ca}" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("{server}",), ("not a CA's",)),
        (("{key}",), ("no certificate",)),
        (("none.pem",), ("no such file",)),
        (("{ca}", "--nss"), ("--nss", "no database of Chromium or Firefox")),
        (("{ca}", "--nss=none"), ("--nss", "certutil -N")),
        (("{ca}", "--java=none"), ("--java", "no file")),
        (("{ca}", "--root", "x"), ("--root", "--system")),
        ((), ("CA",)),
    ],
)
def test_bad_arguments(run: Run, pki: Pki, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    given = [one.format(ca=pki.ca, server=pki.server_cert, key=pki.server_key) for one in arguments]
    assert run("certs", "install", *given).is_error(2, *words)


def test_one_certificate_in_pem_is_wanted(run: Run, pki: Pki) -> None:
    (pki.directory / "two.pem").write_bytes(pki.ca.read_bytes() * 2)
    assert run("certs", "install", pki.directory / "two.pem").is_error(2, "holds 2 things")
    (pki.directory / "ca.der").write_bytes(certificates.ca().certificate_der)
    assert run("certs", "install", pki.directory / "ca.der").is_error(2, "DER (binary), not PEM")

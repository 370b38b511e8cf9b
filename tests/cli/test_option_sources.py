"""Options from a configuration file and from the environment: what wins, what is refused, and what is said."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from handfast.cli import option_sources
from tests.cli.conftest import https_server

if TYPE_CHECKING:
    from pathlib import Path


def written(folder: Path, text: str) -> Path:
    (folder / "handfast.toml").write_text(text)
    return folder / "handfast.toml"


IDENTITY = '[connect]\ncacert = "pki/ca.pem"\ncert = "pki/client.pem"\nkey = "pki/client.key"\n'


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The program is started where the files are not."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("by", ["--config", "$HANDFAST_CONFIG"])
def test_a_file_gives_options_and_its_paths_are_relative_to_it(run, pki, tmp_path, monkeypatch, by):
    path = written(tmp_path, IDENTITY)
    if by != "--config":
        monkeypatch.setenv(option_sources.CONFIG, str(path))
    given = ["--config", path] if by == "--config" else []
    with https_server() as port:
        result = run(*given, "connect", f"https://127.0.0.1:{port}/whoami")
    assert result.status == 0, result.err
    assert "CN=alice" in result.out


@pytest.mark.usefixtures("elsewhere")
def test_the_command_line_wins_over_the_file_and_the_file_over_the_environment(run, pki, tmp_path, monkeypatch):
    path = written(tmp_path, '[connect]\ncacert = "of-the-file.pem"\n')
    monkeypatch.setenv("HANDFAST_CACERT", "of-the-environment.pem")
    target = "https://127.0.0.1:1/"
    assert run("connect", target).is_error(2, "of-the-environment.pem: no such file")
    assert run("--config", path, "connect", target).is_error(2, f"{tmp_path}/of-the-file.pem: no such file")
    given = run("--config", path, "connect", "--cacert", "given.pem", target)
    assert given.is_error(2, "given.pem: no such file")
    assert not given.err.startswith(f"{tmp_path}")


def test_the_environment_gives_paths(run, pki, monkeypatch):
    monkeypatch.setenv("HANDFAST_CACERT", str(pki.ca))
    monkeypatch.setenv("HANDFAST_CERT", str(pki.client_cert))
    monkeypatch.setenv("HANDFAST_KEY", str(pki.client_key))
    with https_server() as port:
        assert "CN=alice" in run("connect", f"https://127.0.0.1:{port}/whoami").out


def test_certs_go_where_the_environment_says(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDFAST_DIR", str(tmp_path / "made"))
    assert run("certs", "localhost").status == 0
    assert (tmp_path / "made" / "ca.pem").exists()


def test_a_certificate_takes_no_key_from_a_weaker_place(run, pki, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDFAST_CERT", str(pki.server_cert))
    monkeypatch.setenv("HANDFAST_KEY", str(pki.server_key))
    both = tmp_path / "both.pem"
    both.write_bytes(pki.client_cert.read_bytes() + pki.client_key.read_bytes())
    path = written(tmp_path, '[connect]\ncert = "both.pem"\n')
    with https_server() as port:
        address = f"https://127.0.0.1:{port}/whoami"
        assert "CN=alice" in run("connect", *pki.trust, "--cert", both, address).out
        assert "CN=alice" in run("--config", path, "connect", *pki.trust, address).out


def test_a_failure_says_which_options_the_command_line_did_not_give(run, pki, tmp_path, monkeypatch):
    monkeypatch.setenv("HANDFAST_CERT", str(pki.server_cert))
    path = written(tmp_path, '[connect]\nkey = "pki/client.key"\n')
    result = run("--config", path, "connect", "https://127.0.0.1:1/")
    assert result.is_error(2, "key")
    assert f"handfast: --cert is that of $HANDFAST_CERT\nhandfast: --key is that of [connect] in {path}\n" in result.err
    assert "is that of" not in run("connect", "--cert", "x", "https://127.0.0.1:1/").err


def test_nobody_elses_environment_counts_when_setuid(run, tmp_path, monkeypatch):
    monkeypatch.setenv(option_sources.CONFIG, str(tmp_path / "none.toml"))
    monkeypatch.setenv("HANDFAST_CACERT", str(tmp_path / "none.pem"))
    own = os.geteuid()
    assert run("connect", "https://127.0.0.1:1/").is_error(2, f"${option_sources.CONFIG}=", "no such file")
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert "none" not in run("connect", "https://127.0.0.1:1/").err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[connect\n", ["this is no TOML", "line 1"]),
        ('[connect]\ncacert = "a"\ncacert = "b"\n', ["this is no TOML", "line 3"]),
        (b"\xff", ["this is no TOML"]),
        (f"[connect]\nmax-time = {'1' * 5000}\n", ["this is no TOML"]),
        (f"[connect]\nheader = {'[' * 5000}\n", ["this is no TOML"]),
        ("[conect]\n", ["[conect]", "no such command", "connect"]),
        ('connect = "x"\n', ["connect: this is no table", "[connect]"]),
        ('[connect]\ncacrt = "x"\n', ["[connect] cacrt: there is no such option", "did you mean cacert?"]),
        ('[serve]\ncacrt = "x"\n', ["[serve] cacrt"]),
        ('[connect]\ntarget = "x"\n', ["[connect] target: there is no such option", "options are"]),
        ("[connect]\nhelp = true\n", ["[connect] help: there is no such option"]),
        ("[connect]\ncacert = 1\n", ["[connect] cacert: this is no string"]),
        ('[connect]\ncacert = "a\\u0000b"\n', ["[connect] cacert: this has a zero byte"]),
        ('[connect]\nheader = ["a\\u0000b"]\n', ["[connect] header: this has a zero byte"]),
        ("[connect]\ncacert = false\n", ["[connect] cacert: this is no string"]),
        ("[connect]\npin = []\n", ["[connect] pin: this list is empty"]),
        (f"[connect]\nmax-time = 1{'0' * 400}\n", ["[connect] max-time: this has more than 64 bits"]),
        ("[connect]\ncacert = true\n", ["[connect] cacert: this is no string"]),
        ('[connect]\ninclude = "yes"\n', ["[connect] include: this is true or false"]),
        ('[connect]\nheader = "A: b"\n', ["[connect] header", "a list"]),
        ("[connect]\nheader = [1]\n", ["[connect] header: this is no string"]),
        ('[connect]\nmax-time = "1"\n', ["[connect] max-time: this is no number"]),
        ("[connect]\nmax-time = 0\n", ["[connect] max-time: 0"]),
        ("[certs]\ndays = 1.5\n", ["[certs] days: this is no whole number"]),
        ('[connect]\nocsp = "perhaps"\n', ["[connect] ocsp: 'perhaps'", "'require'"]),
        ('[connect]\ntrace = "all"\n', ["[connect] trace: 'all'"]),
        ("[connect]\ntrace = 1\n", ["[connect] trace: this is no string"]),
        ('[connect]\n"\\u001b" = 1\n', ["\\x1b: there is no such option"]),
    ],
)
def test_what_a_file_says_wrongly_is_named(run, tmp_path, text, words):
    path = tmp_path / "handfast.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert run("--config", path, "connect", "a:1").is_error(2, f"--config: {path}: ", *words)


def test_a_home_of_nobody(run, tmp_path):
    path = written(tmp_path, '[connect]\ncacert = "~no-such-user/ca.pem"\n')
    assert run("--config", path, "connect", "https://127.0.0.1:1/").is_error(2, "~no-such-user/ca.pem: no such file")


@pytest.mark.parametrize(("verb", "key"), [("connect", "insecure"), ("connect", "secrets"), ("certs", "replace")])
def test_no_file_switches_a_check_off_or_shows_secrets(run, tmp_path, verb, key):
    path = written(tmp_path, f"[{verb}]\n{key} = true\n")
    assert run("--config", path, verb, "a:1").is_error(2, f"[{verb}] {key}", "on the command line only", f"--{key}")


def test_no_variable_is_for_more_than_a_path():
    assert set(option_sources.ENVIRONMENT.values()) == {
        f"HANDFAST_{name}" for name in ("CERT", "KEY", "KEY_PASSWORD_FILE", "CACERT", "CLIENT_CA", "DIR")
    }
    assert not option_sources.COMMAND_LINE_ONLY.keys() & option_sources.ENVIRONMENT.keys()


def test_flags_lists_numbers_and_optional_values(run, pki, tmp_path):
    path = written(
        tmp_path,
        '[connect]\ncacert = "pki/ca.pem"\ninclude = true\nfail = false\ntls = ["1.2"]\nmax-time = 600\ntrace = true\n',
    )
    with https_server() as port:
        result = run("--config", path, "connect", f"https://127.0.0.1:{port}/")
        assert "ClientHello" in result.err
        assert "TLS 1.2" in result.err
        assert result.out.startswith("HTTP/1.1 200")
        fields = written(tmp_path, '[connect]\ncacert = "pki/ca.pem"\ntrace = "fields"\n')
        assert "cipher_suites" in run("--config", fields, "connect", f"https://127.0.0.1:{port}/").err


def test_help_names_file_and_variables(run):
    assert "$HANDFAST_CONFIG" in run("--help").out
    shown = run("connect", "--help").out + run("serve", "--help").out + run("certs", "--help").out
    for variable in option_sources.ENVIRONMENT.values():
        assert f"[${variable}]" in shown


def test_what_a_file_says_of_connections_does_not_stop_the_doctor_from_reading_files(run, pki, tmp_path):
    """On the command line such an option without TARGET is a mistake; in a file it is meant for other runs."""
    path = written(tmp_path, "[doctor]\nmax-time = 5\nstarttls = 'smtp'\ntls = ['1.3']\n")
    result = run("--config", path, "doctor", *pki.alice)
    assert result.status == 0, result.err

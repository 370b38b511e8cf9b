"""Values that are wrong whatever they are for: empty ones, and those of options that are given twice."""

from __future__ import annotations

from importlib import import_module

import click
import pytest

from handfast.cli import VERBS, given_values, program
from handfast.engine import ClientConnection
from handfast.errors import ConfigError
from tests.cli.conftest import https_server
from tests.lens.connections import client_config


def commands(command: click.Command, *names: str):
    """This command and those below it, each with its names."""
    yield command, names
    if isinstance(command, click.Group):
        with click.Context(command, info_name=names[-1]) as ctx:
            for name in command.list_commands(ctx):
                below = command.get_command(ctx, name)
                assert below is not None
                yield from commands(below, *names, name)


def with_a_text():
    """Every option and argument that takes a text or a path, with its command and names."""
    for verb in VERBS:
        for command, names in commands(import_module(f"handfast.cli.{verb}").command, verb):
            for parameter in command.params:
                texts = isinstance(parameter.type, click.Path | click.types.StringParamType)
                if texts and not getattr(parameter, "is_flag", False):
                    yield pytest.param(command, names, parameter, id=" ".join([*names, parameter.opts[-1]]))


def needed(command: click.Command, but: click.Parameter):
    for parameter in command.params:
        if parameter.required and parameter is not but:
            yield from [parameter.opts[-1], "x"] if isinstance(parameter, click.Option) else ["x"]


@pytest.mark.parametrize(("command", "names", "parameter"), list(with_a_text()))
def test_no_option_takes_an_empty_value_but_those_of_which_it_is_said(command, names, parameter):
    name = parameter.opts[-1]
    given = [f"{name}="] if name.startswith("--") else [name, ""] if name.startswith("-") else [""]

    def parse():
        # Below the program, whose settings a command takes on when it is first used.
        above = click.Context(program, info_name="handfast", **program.context_settings)
        command.make_context(names[-1], [*given, *needed(command, parameter)], parent=above)

    if parameter.name in given_values.MAY_BE_EMPTY:
        parse()
    else:
        with pytest.raises(ConfigError, match="its value is empty"):
            parse()


@pytest.fixture
def here(pki, monkeypatch):
    """The program is started where CA certificates lie."""
    monkeypatch.chdir(pki.directory)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "arguments",
    [
        ("serve", "--cert", "server.pem", "--key", "server.key", "--client-ca", ""),
        ("proxy", "--cert", "server.pem", "--from", "127.0.0.1:0", "--to", "127.0.0.1:1", "--client-ca="),
        ("connect", "--cacert", "", "localhost:1"),
        ("doctor", "--cacert", "", "localhost:1"),
        ("certs", "check", "--cacert", "", "client.pem"),
        ("decode", "--cacert", "", "capture"),
        ("connect", "https://localhost:1/", "-X", ""),
        ("connect", "localhost:1", "--servername", "", "--alpn", "http/1.1"),
        ("connect", ""),
        ("--config", "", "connect", "localhost:1"),
    ],
)
def test_an_empty_value_is_not_the_current_directory(run, arguments):
    assert run(*arguments).is_error(2, "its value is empty", "a variable of the shell that is not set")


@pytest.mark.parametrize("option", ["cacert", "servername"])
def test_nor_is_one_in_a_configuration_file(run, tmp_path, option):
    path = tmp_path / "handfast.toml"
    path.write_text(f'[connect]\n{option} = ""\n')
    assert run("--config", path, "connect", "localhost:1").is_error(2, f"[connect] {option}: this is empty")


# One file for two outputs


@pytest.mark.parametrize(
    "given",
    [
        ("connect", "https://localhost:1/", "--keylog", "b.x", "--pcapng", "b.x"),
        ("connect", "https://localhost:1/", "--keylog", "b.x", "--json", "./b.x"),
        ("connect", "https://localhost:1/", "--json", "b.x", "--html", "b.x"),
        ("connect", "https://localhost:1/", "-o", "b.x", "--json", "../here/b.x"),
        ("connect", "https://localhost:1/", "-o", "b.x", "--keylog", "link"),
        ("connect", "https://localhost:1/", "-o", "a.x", "--keylog", "second"),
        ("connect", "https://localhost:1/", "--session", "b.x", "-o", "folder/b.x"),
        ("connect", "https://localhost:1/", "--trust-on-first-use", "b.x", "--html", "b.x"),
        ("decode", "capture", "--write", "b.x", "--html", "b.x"),
        ("serve", "--cert", "c", "--json", "b.x", "--html", "b.x"),
        ("proxy", "--cert", "c", "--from", ":1", "--to", ":2", "--keylog", "b.x", "--access-log", "b.x"),
    ],
)
def test_two_outputs_do_not_go_to_one_file(run, tmp_path, monkeypatch, given):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "folder").symlink_to(folder)
    (folder / "link").symlink_to("b.x")
    (folder / "a.x").touch()
    (folder / "second").hardlink_to("a.x")
    assert run(*given).is_error(2, "the same file", "give each a file of its own")
    assert not (folder / "b.x").exists()


def test_nor_does_the_key_log_of_the_environment(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "b.x"))
    given = ("connect", "https://localhost:1/", "-o", tmp_path / "b.x")
    assert run(*given).is_error(2, "$SSLKEYLOGFILE", "-o", "the same file")


def test_what_is_no_file_may_take_two_outputs(run, pki):
    with https_server() as port:
        given = ("-o", "/dev/null", "--json", "-", "--trust-on-first-use", pki.directory / "met")
        assert run("connect", f"https://localhost:{port}/", *given).status == 0
    assert run("connect", "https://localhost:1/", "-o", "/dev/null", "--html", "/dev/null").is_error(2, "a device")


# What would do nothing


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("connect", "localhost:1", "--cert", "a", "--cert", "b"), ("--cert: it is given twice", "give it once")),
        (("connect", "localhost:1", "--max-time=1", "--max-time=2"), ("--max-time", "it is given twice")),
        (("connect", "localhost:1", "--trace", "--trace=bytes"), ("--trace", "it is given twice")),
        (("certs", "localhost", "--dir", "a", "--dir", "b"), ("--dir", "it is given twice")),
        (("connect", "localhost:1", "-4", "-6"), ("--ipv6: --ipv4 says the contrary",)),
        (("doctor", "localhost:1", "-6", "-4"), ("--ipv4: --ipv6 says the contrary",)),
        (("serve", "--cert", "c", "--once", "--naccept", "3"), ("--naccept", "--once is one connection")),
        (("connect", "localhost:1", "--tls", "1.3", "--old-main-secret"), ("--old-main-secret", "only TLS 1.2")),
        (("doctor", "localhost:1", "--tls", "1.3", "--old-main-secret"), ("--old-main-secret", "only TLS 1.2")),
        (("connect", "https://localhost:1/", "-I", "-d", "x"), ("--data", "HEAD, has no body")),
        *(
            (("connect", "https://localhost:1/", "--showcerts", *more), (more[0], "--showcerts asks for nothing"))
            for more in (("--data", "x"), ("--request", "PUT"), ("--include",), ("--location",), ("--key-update",))
        ),
        *(
            (("decode", "--hex", "paste", *more), (more[0], "bytes that are pasted are no connection"))
            for more in (
                ("--write", "f"),
                ("--keylog", "f"),
                ("--psk", "a:00"),
                ("--host", "127.0.0.1"),
                ("--port", "1"),
                ("--sni", "a"),
                ("--subject", "a"),
                ("--failed",),
                ("--summary",),
                ("--cacert", "f"),
                ("--no-secrets",),
                ("--html", "f"),
            )
        ),
        (("decode", "-x", "--json", "f"), ("-x", "--json has another form")),
        (("decode", "-x", "--summary", "f"), ("-x", "--summary has another form")),
        (("decode", "--secrets=all", "--summary", "f"), ("--secrets", "--summary shows none")),
        (("decode", "--hex", "-i", "lo"), ("-i", "bytes that are pasted are no connection")),
    ],
)
def test_options_that_would_do_nothing_are_refused(run, given, words):
    assert run(*given).is_error(2, *words)


def test_flags_may_come_again(run, pki):
    with https_server() as port:
        assert run("connect", "-4", "-4", "-s", "-s", f"https://127.0.0.1:{port}/", *pki.trust).status == 0


def test_a_configuration_file_may_hold_them_for_other_runs(run, tmp_path, pki):
    path = tmp_path / "handfast.toml"
    path.write_text(
        '[decode]\nsummary = true\nhost = "127.0.0.1"\n[connect]\nold-main-secret = true\nheader = ["a: b"]\n'
    )
    hello = ClientConnection(client_config(), server_name="localhost").outgoing()
    (tmp_path / "paste").write_text(hello.hex())
    assert run("--config", path, "decode", "--hex", tmp_path / "paste").status == 0
    with https_server() as port:
        given = (f"https://localhost:{port}/", "--tls", "1.3", *pki.trust)
        assert run("--config", path, "connect", *given).status == 0
        assert "BEGIN CERTIFICATE" in run("--config", path, "connect", "--showcerts", *given).out

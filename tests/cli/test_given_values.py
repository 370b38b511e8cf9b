"""Values that are wrong whatever they are for: empty ones, and those of options that are given twice."""

from __future__ import annotations

from importlib import import_module

import click
import pytest

from handfast.cli import VERBS, given_values
from handfast.errors import ConfigError


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
        command.make_context(names[-1], [*given, *needed(command, parameter)])

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

"""A verb with further commands: the first argument decides, and what is called as a command is goes behind ``--``."""

from __future__ import annotations

import sys
from types import ModuleType

import click
import pytest

from handfast.cli import main, options, ui, verb_groups
from handfast.cli.certs import SUBCOMMANDS


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """``verb NAME... [--loud]`` and ``verb show FILE``; each prints what it was given."""

    @click.command(cls=options.Verb, examples=("verb show a.pem",))
    @click.argument("file")
    def show(file: str) -> None:
        """Show a FILE."""
        click.echo(f"show {file}")

    module = ModuleType("handfast.cli.handfast_show")
    monkeypatch.setattr(module, "command", show, raising=False)
    monkeypatch.setitem(sys.modules, "handfast.cli.handfast_show", module)

    @click.command(cls=verb_groups.VerbGroup, subcommands={"show": "Show a file."}, examples=("verb a",))
    @click.argument("names", nargs=-1)
    @click.option("--loud", is_flag=True)
    def verb(names: tuple[str, ...], loud: bool) -> None:
        """Do something with NAMEs."""
        click.echo(f"verb {' '.join(names)} {loud}")

    return verb


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b"], "verb a b False"),
        (["--loud", "a"], "verb a True"),
        (["a", "--loud", "show"], "verb a show True"),
        (["show", "a.pem"], "show a.pem"),
        (["--", "show"], "verb show False"),
        ([], "verb  False"),
    ],
)
def test_the_first_argument_decides(
    verb: click.Command, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ui.run(verb, arguments) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_help_of_the_verb_names_its_commands(verb: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.run(verb, ["--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Examples:\n  verb a")
    assert "[OPTIONS] [NAMES]...\n" in out
    assert out.rstrip().endswith("show  Show a file.")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_each_command_opens_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Examples:\n  ")
    assert f"handfast certs {name} " in out
    assert f"Usage: handfast certs {name} [OPTIONS]" in out


def test_a_command_has_a_usage_of_its_own(verb: click.Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert ui.run(verb, ["show", "--help"]) == 0
    assert "Usage: handfast show [OPTIONS] FILE" in capsys.readouterr().out
    assert ui.run(verb, ["show"]) == 2
    assert "handfast show --help" in capsys.readouterr().err

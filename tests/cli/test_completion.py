"""``handfast completion``: what shells are told, asked as they ask, and where the script goes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handfast.cli import COMPLETE, VERBS, completion, main
from tests.cli.conftest import CLEAN_ENVIRONMENT
from tests.peers.base import require_peer
from tests.waiting import LIMIT


def asked(monkeypatch, capfd, shell, *words):
    """What the program answers to a shell whose command line has these words, the last of them unfinished."""
    given, position = (words[:-1], words[-1]) if shell == "fish" else (words, str(len(words)))
    monkeypatch.setenv(COMPLETE, f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["handfast", *given]))
    monkeypatch.setenv("COMP_CWORD", position)
    with pytest.raises(SystemExit):
        main([])
    return capfd.readouterr().out.lstrip()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["con"], "plain,connect\n"),
        (["comp"], "plain,completion\n"),
        (["--con"], "plain,--config\n"),
        (["connect", "--ca"], "plain,--cacert\n"),
        (["connect", "--ocsp", "r"], "plain,require\n"),
        (["connect", "--cacert", "ca"], "file,ca\n"),
        (["connect", "--key", "cl"], "file,cl\n"),
        (["connect", "--trace=fi"], "plain,fields\n"),
        # As bash splits it.
        (["connect", "--trace", "=", "fi"], "plain,fields\n"),
        (["connect", "--trace", "="], "plain,names\nplain,fields\nplain,bytes\n"),
        (["connect", "--cacert", "=", "c"], "file,c\n"),
        # What comes after it is no value of --trace.
        (["connect", "--trace", "fi"], ""),
        (["connect", "--trace", "--trac"], ""),
        (["completion", "f"], "plain,fish\n"),
        (["nonsense", "x"], ""),
    ],
)
def test_words_are_completed(monkeypatch, capfd, words, answer):
    assert asked(monkeypatch, capfd, "bash", *words) == answer


def test_every_verb_is_offered_and_explained_where_the_shell_can(monkeypatch, capfd):
    assert asked(monkeypatch, capfd, "bash", '""').splitlines() == [f"plain,{verb}" for verb in VERBS]
    assert VERBS["connect"] in asked(monkeypatch, capfd, "zsh", "con")
    assert VERBS["connect"] in asked(monkeypatch, capfd, "fish", "con")


def test_a_bad_environment_does_not_keep_words_from_being_completed(monkeypatch, capfd):
    monkeypatch.setenv("HANDFAST_CONFIG", "none.toml")
    assert asked(monkeypatch, capfd, "bash", "connect", "--cac") == "plain,--cacert\n"


# In the shells themselves: each is given the script, and asked what it makes of a beginning.
BASH = """source "$1"
COMP_WORDS=(handfast con); COMP_CWORD=1; _handfast_completion handfast; echo "${COMPREPLY[@]}"
complete -p handfast"""
ZSH = """autoload -Uz compinit; compinit -u -d "$2"
_describe() { print -l -- "${(P@)3}"; }
source "$1"; words=(handfast con); CURRENT=2; _handfast_completion; echo "$_comps[handfast]" """
FISH = """source $argv[1]; complete -C 'handfast con'"""


@pytest.mark.parametrize(("shell", "code"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)], ids=["bash", "zsh", "fish"])
def test_the_shell_itself_completes(shell, code, tmp_path):
    path = require_peer(shell)
    program = tmp_path / "bin" / "handfast"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m handfast "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(completion.script(shell))
    quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    command = [path, *quiet, "-c", code, *([] if shell == "fish" else [shell]), tmp_path / "script", tmp_path / "dump"]
    home = {"HOME": str(tmp_path), "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=CLEAN_ENVIRONMENT | home)
    assert "connect" in done.stdout.splitlines()[0], done.stderr
    if shell != "fish":
        assert "_handfast_completion" in done.stdout.splitlines()[-1]


# Where the script goes

PLACES = {
    "bash": ".local/share/bash-completion/completions/handfast",
    "zsh": ".zfunc/_handfast",
    "fish": ".config/fish/completions/handfast.fish",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "BASH_COMPLETION_USER_DIR", "ZDOTDIR", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_it_is_put_where_the_shell_looks_and_taken_away(run, home, shell):
    path = home / PLACES[shell]
    result = run("completion", shell, "--install")
    assert (result.status, result.out) == (0, f"{path}\n")
    assert path.read_text() == completion.script(shell) == run("completion", shell).out
    assert "--uninstall undoes it" in result.err
    assert run("completion", "--install", shell).status == 0
    assert run("completion", shell, "--uninstall").out == f"{path}\n"
    assert not path.exists()
    again = run("completion", shell, "--uninstall")
    assert (again.status, again.out) == (0, "")
    assert f"there is no {path}" in again.err


@pytest.mark.parametrize(
    ("shell", "variable", "place"),
    [
        ("bash", "XDG_DATA_HOME", "bash-completion/completions/handfast"),
        ("bash", "BASH_COMPLETION_USER_DIR", "completions/handfast"),
        ("zsh", "ZDOTDIR", ".zfunc/_handfast"),
        ("fish", "XDG_CONFIG_HOME", "fish/completions/handfast.fish"),
    ],
)
def test_variables_that_the_shell_heeds_are_heeded(home, monkeypatch, shell, variable, place):
    monkeypatch.setenv(variable, str(home / "other"))
    assert completion.place(shell) == home / "other" / place


def test_the_shell_is_that_of_its_user(run, home, monkeypatch):
    assert run("completion").is_error(2, "$SHELL", "bash, zsh, fish")
    monkeypatch.setenv("SHELL", "/bin/csh")
    assert run("completion", "--install").is_error(2, "$SHELL")
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert run("completion").out == completion.script("fish")
    assert run("completion", "csh").is_error(2, "csh")
    assert run("completion", "--install", "--uninstall").is_error(2, "--uninstall")


@pytest.mark.parametrize("what", ["a file of others", "a link", "a directory"])
@pytest.mark.parametrize("action", ["--install", "--uninstall"])
def test_what_others_put_there_stays(run, home, what, action):
    path = home / PLACES["bash"]
    path.parent.mkdir(parents=True)
    other = home / "other"
    other.write_text("mine")
    if what == "a link":
        path.symlink_to(other)
    elif what == "a directory":
        path.mkdir()
    else:
        path.write_text("mine")
    assert run("completion", "bash", action).is_error(2, str(path))
    assert os.path.lexists(path)
    assert other.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_named(run, home):
    (home / ".local").write_text("")
    assert run("completion", "bash", "--install").is_error(2, str(Path(PLACES["bash"])))

"""``handfast completion``: the script that makes a shell complete commands and options, printed or put in its place."""

from __future__ import annotations

import os
from pathlib import Path

import click

from handfast.cli import COMPLETE, completing, options, ui
from handfast.errors import bad_option
from handfast.files import errors_for

SHELLS = tuple(one.name for one in completing.CLASSES)
# What must be done once, where the shell does not look by itself.
_ONCE = {
    "bash": "bash finds it by its package bash-completion; without that, add to ~/.bashrc: source {path}",
    "zsh": "if ~/.zshrc does not have it yet, add before its compinit: fpath=({folder} $fpath)",
    "fish": "",
}


@click.command(
    cls=options.Verb,
    examples=(
        "handfast completion bash",
        "handfast completion --install  (for the shell that $SHELL names)",
        "handfast completion zsh --install",
        "handfast completion zsh --uninstall",
    ),
)
@click.argument("shell", required=False, type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where the shell looks, and say where.")
@click.option("--uninstall", is_flag=True, help="Remove what --install wrote.")
def command(shell: str | None, install: bool, uninstall: bool) -> None:
    """Print the script that makes SHELL complete the commands and options of handfast; a new shell then knows it.

    SHELL is bash, zsh or fish; without it, the one that $SHELL names."""
    if install and uninstall:
        raise bad_option("--install", "--uninstall undoes it", "leave one of them out")
    chosen = shell or _own_shell()
    if uninstall:
        _uninstall(chosen)
    elif install:
        _install(chosen)
    else:
        click.echo(script(chosen), nl=False)


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise bad_option("SHELL", "$SHELL names none that completes here", f"name it: {', '.join(SHELLS)}")
    return name


def script(shell: str) -> str:
    """What the shell runs."""
    from handfast.cli import program

    (kind,) = (one for one in completing.CLASSES if one.name == shell)
    return kind(program, {}, "handfast", COMPLETE).source().strip() + "\n"


def place(shell: str) -> Path:
    """Where the shell looks for what its user has: a variable that the shell heeds, or what it has without."""
    home = Path.home()
    if shell == "bash":
        data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
        return Path(os.environ.get("BASH_COMPLETION_USER_DIR") or data / "bash-completion") / "completions" / "handfast"
    if shell == "zsh":
        return Path(os.environ.get("ZDOTDIR") or home) / ".zfunc" / "_handfast"
    return Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish" / "completions" / "handfast.fish"


def _install(shell: str) -> None:
    path = place(shell)
    _check_ours(path)
    text = script(shell)
    with errors_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    click.echo(path)
    if _ONCE[shell]:
        ui.note(_ONCE[shell].format(path=path, folder=path.parent))
    ui.note(f"a new {shell} completes handfast; handfast completion {shell} --uninstall undoes it")


def _uninstall(shell: str) -> None:
    path = place(shell)
    _check_ours(path)
    if path.exists():
        path.unlink()
        click.echo(path)
        ui.note("removed")
    else:
        ui.note(f"there is no {path}")


def _check_ours(path: Path) -> None:
    """End the program where something is in the way that we did not write."""
    if not os.path.lexists(path) or (path.is_file() and not path.is_symlink() and COMPLETE in path.read_text()):
        return
    ui.fail(
        f"{path} is not what handfast completion writes",
        "this machine",
        "look at it, and move it away; handfast completion prints the script",
        ui.BAD_USAGE,
    )

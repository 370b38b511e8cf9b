"""Options that repeat: a TOML file with a table for each verb, and paths in the environment.

The command line wins over the file, and the file over the environment. All of it becomes click's default map of the
command, which ``options.Verb`` reads before it parses. A certificate and its key are one thing: where a stronger place
gives --cert, the --key and --key-password-file of weaker ones do not belong to it and are passed over.

The environment gives paths alone, never a secret's value, and nothing that switches a check off; a file gives no option
of ``COMMAND_LINE_ONLY``, since $HANDFAST_CONFIG may have named it long ago.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast.cli import given_values, ui
from handfast.cli.suggestions import instead_of
from handfast.errors import ConfigError, bad_option
from handfast.files import setuid
from handfast.text import escape
from handfast.x509.loading import read

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

CONFIG = "HANDFAST_CONFIG"
# Of each parameter that the environment may give: the variable.
ENVIRONMENT = {
    "cert": "HANDFAST_CERT",
    "key": "HANDFAST_KEY",
    "key_password_file": "HANDFAST_KEY_PASSWORD_FILE",
    "cacert": "HANDFAST_CACERT",
    "client_ca": "HANDFAST_CLIENT_CA",
    "directory": "HANDFAST_DIR",
}
COMMAND_LINE_ONLY = {
    "insecure": "it lets in whom nobody verified",
    "secrets": "it shows secrets",
    "replace": "it overwrites files",
    "system": "it changes whom this machine trusts",
}
_IDENTITY = ("cert", "key", "key_password_file")
# The largest number of 64 bits, beyond which Python's floating-point numbers have none.
_LARGEST = 2**63 - 1
# In a command's context: where each of its defaults came from.
_ORIGINS = "handfast.cli.option_sources.origins"


def of_environment() -> str:
    """The configuration file that $HANDFAST_CONFIG names; "" where it names none, or where we are setuid."""
    return "" if setuid() else os.environ.get(CONFIG, "")


def load(ctx: click.Context, path: str | None) -> None:
    """Put what the configuration file says into the program's default map. Raises ConfigError."""
    if path == "":
        raise given_values.empty("--config")
    named = path or of_environment()
    if named:
        ctx.default_map = _File(Path(named), escape(named) if path else f"${CONFIG}={escape(named)}").tables(ctx)


class _File:
    """A configuration file, and how errors call it."""

    def __init__(self, path: Path, shown: str) -> None:
        self.folder = path.parent
        self.shown = shown
        try:
            self.content = tomllib.loads(read(path, shown).decode())
        except (ValueError, RecursionError) as error:
            # tomllib's words name line and column. It fails otherwise for numbers of thousands of digits, and for lists
            # in a thousand lists.
            raise self.error(
                "", f"this is no TOML: {error}", 'write [connect], and below it cacert = "ca.pem"'
            ) from None

    def error(self, place: str, reason: str, advice: str) -> ConfigError:
        return bad_option("--config", f"{self.shown}: {place}{': ' if place else ''}{reason}", advice)

    def tables(self, ctx: click.Context) -> dict[str, Any]:
        """The default map of the program: that of each verb by its name."""
        return {name: self._table(ctx, name, table, name) for name, table in self.content.items()}

    def _table(self, parent: click.Context, name: str, table: object, place: str) -> dict[str, Any]:
        group = parent.command
        command = group.get_command(parent, name) if isinstance(group, click.Group) else None
        if command is None:
            verbs = group.list_commands(parent) if isinstance(group, click.Group) else []
            raise self.error(f"[{escape(place)}]", "there is no such command", f"there are {', '.join(verbs)}")
        if not isinstance(table, dict):
            raise self.error(escape(place), "this is no table", f"write [{name}], and its options below it")
        ctx = click.Context(command, info_name=name, parent=parent)
        known = dict(_options(command))
        below = command.list_commands(ctx) if isinstance(command, click.Group) else []
        made: dict[str, Any] = {}
        for key, value in table.items():
            if key in below and isinstance(value, dict):
                made[key] = self._table(ctx, key, value, f"{place}.{key}")
                continue
            where = f"[{place}] {escape(key)}"
            if key not in known:
                better = instead_of(f"--{key}", [f"--{one}" for one in known]).lstrip("-").partition(" ")[0]
                advice = f"did you mean {better}?" if better else f"options are {', '.join(known)}"
                raise self.error(where, "there is no such option", advice)
            option = known[key]
            if option.name in COMMAND_LINE_ONLY:
                reason = f"{COMMAND_LINE_ONLY[option.name]}, which is asked for on the command line only"
                raise self.error(where, reason, f"leave it out, and give --{key} where it is meant")
            if value is not False or not (option.is_flag or hasattr(option, "bare")):
                made[str(option.name)] = self._value(ctx, option, value, where)
        made[_ORIGINS] = f"[{place}] in {self.shown}"
        return made

    def _value(self, ctx: click.Context, option: click.Option, value: object, where: str) -> Any:
        """The value as click takes it from a command line."""
        if option.is_flag or (value is True and hasattr(option, "bare")):
            if value is not True:
                raise self.error(where, "this is true or false, not a value", "write true or false")
            return True if option.is_bool_flag else getattr(option, "bare", option.flag_value)
        if option.multiple:
            if not isinstance(value, list):
                raise self.error(where, "this may be given several times, so it is a list", 'write ["...", "..."]')
            if not value:
                raise self.error(where, "this list is empty, and would restrict nothing", "fill it, or leave it out")
            given: Any = [self._single(option, one, where) for one in value]
        else:
            given = self._single(option, value, where)
        try:
            option.type_cast_value(ctx, given)
        except click.BadParameter as error:
            reason = error.message.rstrip(".")
            raise self.error(
                where, reason[:1].lower() + reason[1:], f"--help of {ctx.command_path} tells more"
            ) from None
        return given

    def _single(self, option: click.Option, value: object, where: str) -> object:
        wanted, words = _kind(option)
        # In Python true is a number, in TOML it is none.
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise self.error(where, f"this is no {words}", f"write a {words}{' in quotes' if wanted is str else ''}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise self.error(where, "this has more than 64 bits", "write a smaller number")
        if given_values.is_empty(option, value):
            raise self.error(where, "this is empty", "write a value, or leave it out")
        if isinstance(value, str) and "\0" in value:
            raise self.error(where, "this has a zero byte, which nothing on a command line can have", "leave it out")
        return self._path(value) if isinstance(value, str) and _is_path(option, value) else value

    def _path(self, value: str) -> str:
        """Relative to the file, so that it means the same wherever the program is started."""
        return value if value == "-" else str(self.folder / os.path.expanduser(value))


def _options(command: click.Command) -> Iterator[tuple[str, click.Option]]:
    """What a table may say, without those that do something else instead, as --help."""
    for option in command.params:
        if isinstance(option, click.Option) and option.expose_value and not option.hidden:
            yield from ((name[2:], option) for name in option.opts if name.startswith("--"))


def _kind(option: click.Option) -> tuple[type | tuple[type, ...], str]:
    if isinstance(option.type, click.types.IntParamType):
        return int, "whole number"
    if isinstance(option.type, click.types.FloatParamType):
        return (int, float), "number"
    return str, "string"


def _is_path(option: click.Option, value: str) -> bool:
    return isinstance(option.type, click.Path) or (option.name == "key" and not value.lower().startswith("pkcs11:"))


def variable_of(parameter: click.Parameter) -> str:
    """The variable that gives this option; "" where none does."""
    return ENVIRONMENT.get(parameter.name or "", "") if isinstance(parameter, click.Option) else ""


def fill(ctx: click.Context) -> None:
    """Give a command what the environment says as defaults, below those of the file."""
    file = dict(ctx.default_map or {})
    named = file.pop(_ORIGINS, "")
    origins = dict.fromkeys(file, named)
    passed_over = {*file, *(_IDENTITY if "cert" in file else ())}
    for option in ctx.command.params:
        name, variable = option.name or "", variable_of(option)
        value = os.environ.get(variable, "") if variable and not setuid() else ""
        if value and name not in passed_over:
            file[name] = [value] if option.multiple else value
            origins[name] = f"${variable}"
    ctx.default_map = file
    ctx.meta[_ORIGINS] = origins


def on_command_line(ctx: click.Context) -> Iterator[click.Parameter]:
    """What the command line itself gave, and neither a file nor the environment nor a default."""
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Option) and parameter.is_flag and not parameter.is_bool_flag:
            # --ipv4 and --ipv6 are one parameter: the one whose value it has was given.
            if ctx.params[name] == parameter.flag_value:
                yield parameter
        else:
            yield parameter


def refuse_idle(names: Container[str | None], reason: str, advice: str) -> None:
    """ConfigError for an option of these that the command line gives: it would do nothing.

    A configuration file may hold it, for other runs.
    """
    for option in on_command_line(click.get_current_context()):
        if option.name in names:
            raise bad_option(option.opts[-1], reason, advice)


def drop_foreign_key(ctx: click.Context) -> None:
    """Where the command line gives --cert, leave out a key that it does not give."""
    if ctx.get_parameter_source("cert") is not click.core.ParameterSource.COMMANDLINE:
        return
    for option in ctx.command.params:
        name = option.name or ""
        if name in _IDENTITY and ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP:
            ctx.params[name] = () if option.multiple else None
            del ctx.meta[_ORIGINS][name]


def tell_origins(ctx: click.Context) -> None:
    """Say which options the command line did not give: one of them may be why it failed."""
    for option in ctx.command.params:
        name = option.name or ""
        if ctx.get_parameter_source(name) is click.core.ParameterSource.DEFAULT_MAP and name in ctx.meta[_ORIGINS]:
            ui.note(f"{option.opts[-1]} is that of {ctx.meta[_ORIGINS][name]}")

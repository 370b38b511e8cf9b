"""Options that several verbs share, and what they make of them.

``--trace`` and ``--secrets`` take a value after ``=`` only, so that ``--trace https://...`` means what it says. click
would take the next argument as the value; ``Verb`` gives such an option its default before click sees it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handfast import limits
from handfast.cli import given_values, option_sources, ui
from handfast.cli.option_groups import GROUPS, group_of
from handfast.crypto.groups import ALL_GROUPS
from handfast.crypto.providers import PROVIDERS, provider_named
from handfast.engine import ClientConfig, ServerConfig
from handfast.errors import ConfigError, HandfastError, bad_option
from handfast.registry import CipherSuite, NamedGroup, ProtocolVersion, Registry
from handfast.text import escape

if TYPE_CHECKING:
    from handfast.credentials.credentials import CredentialsHandle

F = TypeVar("F", bound=Callable[..., object])


class OptionalValue(click.Option):
    """An option whose value may be left out, and stands after ``=`` if it is there. ``bare`` is what it then means."""

    def __init__(self, *args: Any, bare: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.bare = bare


class Verb(click.Command):
    """A command whose help opens with examples."""

    def __init__(self, *args: Any, examples: tuple[str, ...] = (), **kwargs: Any) -> None:
        kwargs["context_settings"] = ui.CONTEXT_SETTINGS | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, then what click prints."""
        ui.write_examples(formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options in groups; those of no group come last."""
        groups = self.option_groups(ctx)
        for title, found in groups.items():
            with formatter.section("Options" if len(groups) == 1 else title):
                formatter.write_dl(found)

    def option_groups(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """What help says of each option, by the title of its group, with the variable that can give it."""
        records: dict[str, list[tuple[str, str]]] = {title: [] for title in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                variable = option_sources.variable_of(parameter)
                words = f"{record[1]}  [${variable}]" if variable else record[1]
                records.setdefault(group_of(parameter.name or ""), []).append((record[0], words))
        return {title: found for title, found in records.items() if found}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """click's parsing, after options with an optional value have got theirs, and all that repeats its defaults."""
        if not ctx.resilient_parsing:
            option_sources.fill(ctx)
        options = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        arguments = list(self._with_values(args, options))
        try:
            rest = super().parse_args(ctx, list(arguments))
        except click.UsageError as error:
            for name, value in pairwise(args):
                option = options.get(name)
                if isinstance(option, OptionalValue) and value in getattr(option.type, "choices", ()):
                    raise ui.UsageErrorWithHint(error, f"{name} takes its value with =: {name}={value}") from None
            raise
        if not ctx.resilient_parsing:
            given_values.check(ctx, arguments)
            option_sources.drop_foreign_key(ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; where that fails, say first which options the command line did not give."""
        try:
            return super().invoke(ctx)
        except (HandfastError, ui.CommandFailed):
            option_sources.tell_origins(ctx)
            raise

    def _with_values(self, args: list[str], options: dict[str, click.Option]) -> Iterator[str]:
        rest = iter(args)
        for argument in rest:
            option = options.get(argument)
            if isinstance(option, OptionalValue):
                yield f"{argument}={option.bare}"
                continue
            yield argument
            if argument == "--":
                yield from rest
            elif self._takes_next(argument, options):
                yield from (value for value in [next(rest, None)] if value is not None)

    @staticmethod
    def _takes_next(argument: str, options: dict[str, click.Option]) -> bool:
        """Whether the next argument is the value of this one: ``--data``, ``-d``, ``-kd``, but not ``-dvalue``."""
        if argument in options:
            return not options[argument].is_flag
        if not argument.startswith("-") or argument.startswith("--"):
            return False
        for position, letter in enumerate(argument[1:], 2):
            option = options.get(f"-{letter}")
            if option is None or not option.is_flag:
                return option is not None and position == len(argument)
        return False


class Seconds(click.FloatRange):
    """A number of seconds in a range; "nan" is in none, though it is neither below nor above one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if isnan(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


MAX_TIME = Seconds(0, limits.COMMAND_SECONDS_MOST, min_open=True)


def together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator for several options, in this order in the help."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_FILE = click.Path(path_type=Path)


def identity_options(command: F) -> F:
    """--cert, --key, --key-password-file."""
    return together(
        click.option(
            "--cert",
            type=_FILE,
            metavar="FILE[:PASSWORD]",
            help="Our certificate chain: PEM, leaf first, or PKCS#12.",
        ),
        click.option(
            "--key",
            metavar="FILE[:PASSWORD]|URI",
            help="Its private key: PEM, DER or PKCS#12, or pkcs11:... for a token. A password that is needed and not "
            "given is asked for on a terminal.",
        ),
        click.option("--key-password-file", type=_FILE, metavar="FILE", help="Holds the key's password, or the PIN."),
    )(command)


def parameter_options(command: F) -> F:
    """--tls, --suites, --groups, --alpn, --old-main-secret, --crypto-provider."""
    return together(
        click.option("--tls", multiple=True, metavar="VERSION", help="Speak exactly these: 1.2, 1.3; repeatable."),
        click.option("--suites", metavar="NAMES", help="Cipher suites, comma-separated, most wanted first."),
        click.option("--groups", metavar="NAMES", help="Key exchange groups, likewise."),
        click.option("--alpn", metavar="NAMES", help="Application protocols, likewise."),
        click.option(
            "--old-main-secret", is_flag=True, help="In TLS 1.2, let in peers without the extended main secret."
        ),
        click.option("--crypto-provider", type=click.Choice(PROVIDERS), help="Who computes. Default: cryptography."),
    )(command)


def session_options(command: F) -> F:
    """--key-update, --resume."""
    return together(
        click.option(
            "--key-update", is_flag=True, help="After a handshake of TLS 1.3, change the keys of both directions."
        ),
        click.option("--resume", is_flag=True, help="Resume: a client connects twice, a server gives tickets."),
    )(command)


def check_tls13(config: ClientConfig | ServerConfig, **asked: object) -> None:
    """ConfigError for one of these options that is given, where TLS 1.3, which alone has it, is not spoken."""
    given = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value]
    if given and ProtocolVersion.TLS13 not in config.enabled_versions:
        raise bad_option(given[0], "only TLS 1.3 has it", "let --tls have 1.3, or leave it out")


def page_options(command: F) -> F:
    """--html, --lang."""
    return together(
        click.option("--html", type=_FILE, metavar="FILE", help="Write a page that shows every byte, for a browser."),
        language_option,
    )(command)


def language_option(command: F) -> F:
    """--lang."""
    return click.option("--lang", type=click.Choice(["en", "zh"]), help="The language that the page opens in.")(command)


def explain_option(command: F) -> F:
    """--explain."""
    words = "Say in the trace what each message, secret, proof and alert is, and in which RFC."
    return click.option("--explain", is_flag=True, help=words)(command)


def lens_options(command: F) -> F:
    """--trace, --explain, --secrets, --html, --lang, --keylog, --pcapng."""
    return together(
        click.option(
            "--trace",
            cls=OptionalValue,
            bare="names",
            type=click.Choice(["names", "fields", "bytes"]),
            metavar="[=fields|=bytes]",
            help="Show every message on standard error; with =fields every field, with =bytes every byte.",
        ),
        explain_option,
        click.option(
            "--secrets",
            cls=OptionalValue,
            bare="traffic",
            type=click.Choice(["traffic", "all"]),
            metavar="[=all]",
            help="Show traffic secrets and data there; with =all those for resumption and exporters too.",
        ),
        page_options,
        click.option("--keylog", type=_FILE, metavar="FILE", help="Append this run's keys, for Wireshark."),
        click.option("--pcapng", type=_FILE, metavar="FILE", help="Write a capture with its keys inside, likewise."),
    )(command)


def credentials(
    cert: Path | None, key: str | None, key_password_file: Path | None, *, reload: bool = False
) -> tuple[CredentialsHandle, ...]:
    """What --cert, --key and --key-password-file name; () without --cert. Raises ConfigError."""
    from handfast.credentials.credentials import Credentials
    from handfast.reload.handles import ReloadingCredentials

    if cert is None:
        for option, value in (("--key", key), ("--key-password-file", key_password_file)):
            if value is not None:
                raise bad_option(option, "there is no --cert that it could belong to", "give --cert too")
        return ()
    chain, key_name, password = files_and_password(cert, key, key_password_file)
    kind = ReloadingCredentials if reload else Credentials
    return (kind.from_files(chain, key_name, password),)


def files_and_password(
    cert: Path, key: str | None, key_password_file: Path | None
) -> tuple[str, str | None, str | Path | Callable[[], str | None] | None]:
    """The files of --cert and --key, and the password as credentials are given it. Raises ConfigError."""
    chain, chain_password = file_and_password(str(cert))
    key_name, key_password = (None, None) if key is None else file_and_password(key)
    password = chain_password if key_password is None else key_password
    if password is not None and key_password_file is not None:
        raise bad_option("--key-password-file", "the password stands behind the file's name already", "give it once")
    # A token's PIN may stand in its URI.
    in_token = key_name is not None and _names_token(key_name)
    asked = None if in_token else cache(lambda: _ask_password(key_name or chain))
    return chain, key_name, key_password_file or password or asked


def _names_token(key: str) -> bool:
    return key[:7].lower() == "pkcs11:"


def file_and_password(text: str) -> tuple[str, str | None]:
    """curl's ``FILE:PASSWORD``: the longest beginning that is a file; the whole where none is, or for a token."""
    if _names_token(text) or Path(text).exists():
        return text, None
    colons = [position for position, character in enumerate(text) if character == ":"]
    for position in reversed(colons):
        if Path(text[:position]).is_file():
            return text[:position], text[position + 1 :]
    return text, None


def _ask_password(name: str) -> str | None:
    """The password of a key, typed on a terminal without being shown; None where there is no terminal."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    answer: str = click.prompt(f"password of {escape(name)}", hide_input=True, default="", show_default=False, err=True)
    return answer or None


def parameters(
    tls: tuple[str, ...],
    suites: str | None,
    groups: str | None,
    alpn: str | None,
    old_main_secret: bool = False,
    crypto_provider: str | None = None,
) -> dict[str, Any]:
    """The keyword arguments of a configuration that these options make. Raises ConfigError."""
    chosen: dict[str, Any] = {}
    if tls:
        chosen["versions"] = tuple(dict.fromkeys(map(_version, tls)))
    if suites is not None:
        chosen["suites"] = _numbers("--suites", suites, CipherSuite)
    if groups is not None:
        chosen["groups"] = _numbers("--groups", groups, NamedGroup)
    if alpn is not None:
        chosen["application_protocols"] = tuple(name for name in alpn.split(",") if name)
    if old_main_secret and ProtocolVersion.TLS12 not in chosen.get("versions", ServerConfig.versions):
        reason = "only TLS 1.2 has peers without the extended main secret"
        option_sources.refuse_idle({"old_main_secret"}, reason, "let --tls have 1.2, or leave it out")
    if old_main_secret:
        chosen["require_extended_main_secret"] = False
    if crypto_provider is not None:
        chosen["crypto_provider"] = _provider(crypto_provider)
    return chosen


def _provider(name: str) -> str:
    try:
        provider_named(name)
    except ConfigError as error:
        raise ConfigError(error.code, **error.details | {"option": "--crypto-provider"}) from None
    return name


def _version(text: str) -> int:
    with suppress(KeyError):
        version = ProtocolVersion.parse(text)
        if version in ServerConfig.versions:
            return version
    raise bad_option("--tls", f"handfast does not speak {escape(text)!r}", "leave it out, or give 1.2 or 1.3")


def _numbers(option: str, names: str, registry: type[Registry]) -> tuple[int, ...]:
    known = ServerConfig.suites if registry is CipherSuite else ALL_GROUPS
    spoken = ", ".join(map(registry.describe, known))
    try:
        # OpenSSL's lists have colons.
        numbers = tuple(registry.parse(name.strip()) for name in names.replace(":", ",").split(","))
    except KeyError as error:
        raise bad_option(option, f"unknown name {escape(str(error.args[0]))!r}", f"names are {spoken}") from None
    for number in numbers:
        if number not in known:
            raise bad_option(option, f"handfast does not speak {registry.describe(number)}", f"it has {spoken}")
    return numbers


def json_option(command: F) -> F:
    """--json."""
    words = (
        "Write events as JSON, one object a line, the outcome last; - is standard output, and then no body goes there."
    )
    return click.option("--json", type=_FILE, metavar="FILE|-", help=words)(command)

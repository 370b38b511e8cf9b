"""The command line: one file per verb, imported when its verb is used, so that ``handfast --help`` is quick."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

from handfast.cli import ui

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# In the order in which a newcomer meets them.
VERBS = {
    "demo": "The whole story in one go: two HTTPS connections, with a client certificate and without.",
    "serve": "An HTTPS server that tells each client who it is.",
    "connect": "Request an https:// URL, or talk over TLS with host:port.",
    "proxy": "TLS with client certificates before a service that has none, or from a program that speaks none.",
    "decode": "What is in a capture: every TLS connection, decrypted where its keys are, checked and explained.",
    "doctor": "Why mutual TLS fails, or would: the cause, the evidence, the fix.",
    "certs": "A CA, a server certificate and a client certificate in one command; or broken ones on purpose.",
    "completion": "What makes bash, zsh or fish complete commands and options.",
    "manpages": "Write a man page for each command.",
}


# click's: set by the script that a shell has from ``handfast completion``.
COMPLETE = "_HANDFAST_COMPLETE"

EXAMPLES = (
    "handfast demo",
    "handfast serve --cert server.pem --key server.key --client-ca ca.pem",
    "handfast connect --trace https://localhost:1337/ --cacert ca.pem",
    "handfast connect --help",
)


class Handfast(click.Group):
    """The group of verbs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(f"handfast.cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The verbs' names, for which none is imported, and the options."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(verb, help=about) for verb, about in VERBS.items() if verb.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, then what click prints."""
        ui.write_examples(formatter, EXAMPLES)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    import platform
    from importlib.metadata import version

    from handfast.crypto.library import versions

    cryptography, openssl = versions()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    click.echo(f"handfast {version('handfast')}\n{python}\ncryptography {cryptography}\n{openssl}")
    ctx.exit()


_SETTINGS = ui.CONTEXT_SETTINGS | {"help_option_names": ["-h", "--help"]}


@click.group(cls=Handfast, context_settings=_SETTINGS, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the versions of this program and of what it rests on.",
)
@click.option(
    "--config",
    metavar="FILE",
    help='Options by command, in TOML: a table [connect] with cacert = "ca.pem".  [$HANDFAST_CONFIG]',
)
@click.pass_context
def program(ctx: click.Context, config: str | None) -> None:
    """TLS you can watch: mutual TLS connections whose every message, certificate and key can be read."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    from handfast.cli import option_sources

    option_sources.load(ctx, config)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; the result is its exit status (see ``ui``)."""
    if arguments is None:
        arguments = sys.argv[1:]
        ui.prepare_process()
    if COMPLETE in os.environ:
        from handfast.cli import completing

        completing.register()
    return ui.run(program, arguments)

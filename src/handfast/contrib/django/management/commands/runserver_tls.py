"""``manage.py runserver_tls``: Django's development server over TLS, with client certificates."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.core.management.commands.runserver import Command as RunserverCommand

from handfast.contrib.django.server import TLSServer
from handfast.contrib.server_files import ServerFiles
from handfast.engine import ClientAuth
from handfast.errors import HandfastError


def _base() -> type[Any]:
    """What ``runserver`` is in this project."""
    if not (apps.ready and apps.is_installed("django.contrib.staticfiles")):
        return RunserverCommand  # type: ignore[no-any-return, unused-ignore]
    from django.contrib.staticfiles.management.commands.runserver import Command

    return Command  # type: ignore[no-any-return, unused-ignore]


class Command(_base()):  # type: ignore[misc]
    """As ``runserver``, which it is in all else: reloading, static files, threads."""

    help = "Starts a lightweight web server for development that speaks TLS and asks for client certificates."
    protocol = "https"

    def add_arguments(self, parser: Any) -> None:
        """Those of ``runserver``, and the files of TLS by the names that ``handfast serve`` gives them."""
        super().add_arguments(parser)
        parser.add_argument("--cert", required=True, help="The server's certificate chain, PEM.")
        parser.add_argument("--key", help="Its key, PEM, or a pkcs11: URI. Without it the key is in the chain's file.")
        parser.add_argument("--password-file", help="A file with the key's password or the PIN.")
        parser.add_argument("--client-ca", help="Who may issue client certificates: a file or a directory.")
        modes = [mode.value for mode in ClientAuth]
        parser.add_argument(
            "--client-auth", choices=modes, help="What is asked of clients, if not what --client-ca says."
        )

    def inner_run(self, *args: Any, **options: Any) -> None:
        """Read the files, in the process that serves, whenever it starts."""
        names = ("key", "password_file", "client_ca", "client_auth")
        try:
            files = ServerFiles(certificate=options["cert"], **{name: options[name] for name in names})
            context = files.ssl_context()
        except HandfastError as error:
            raise CommandError(error.explain()) from error
        self.server_cls = type("Server", (TLSServer,), {"context": context})
        super().inner_run(*args, **options)

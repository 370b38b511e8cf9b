"""``handfast demo``: a server and two clients, one with a certificate and one without, every message shown."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from handfast.cli import http, options, ui, verdict_words
from handfast.cli.lenses import log_to_terminal
from handfast.cli.page_file import PageFile
from handfast.credentials.credentials import Credentials
from handfast.engine import ClientAuth, ClientConfig, ServerConfig
from handfast.errors import HandfastError
from handfast.files import create_private
from handfast.io import sockets
from handfast.io.failure_log import address_text
from handfast.lens.keylog import KeyLog, open_key_log
from handfast.lens.outcome import Outcome
from handfast.lens.pcapng import CaptureFile, Flow
from handfast.lens.trace import Trace
from handfast.pki.authority import CertificateAuthority
from handfast.pki.directory import write_pki
from handfast.roles import Role
from handfast.trust.roots import Roots
from handfast.trust.verifiers import PathVerifier
from handfast.x509 import pem
from handfast.x509.describe import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.engine import ConnectionInfo
    from handfast.events import Observer, SecretSink
    from handfast.pki.authority import Issued
    from handfast.trust.presented import PresentedChain
    from handfast.verdict import Verdict

_HOST = "127.0.0.1"
_CA = "handfast demo CA"
_HTTP = ("http/1.1",)
_CAPTURE = "capture.pcapng"
_PAGE = "handshake.html"
_FILES = (
    ("ca.pem", "the CA both sides trust; its key is destroyed, so it can issue nothing more"),
    ("server.pem, server.key", "the server's certificate and key, for localhost and 127.0.0.1"),
    ("client.pem, client.key", "the client's certificate and key"),
    ("keys.log", "the keys of both connections: with them, Wireshark decrypts a capture of this run"),
    (_CAPTURE, "that capture, with the keys inside: Wireshark opens and decrypts it as it is"),
    (_PAGE, "both connections side by side, every byte explained: open it in a browser"),
)


@click.command(cls=options.Verb, examples=("handfast demo", "handfast demo --port 4433 --out /tmp/handfast-demo"))
@click.option("--port", type=click.IntRange(0, 0xFFFF), default=1337, show_default=True, help="Where to serve.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("handfast-demo"),
    show_default=True,
    metavar="DIRECTORY",
    help="Where certificates and keys are left.",
)
@options.language_option
def command(port: int, out: Path, lang: str | None) -> None:
    """The whole story in one go, with nothing needed: make a CA and certificates, serve HTTPS on this machine, connect
    with a client certificate and without, and show every message of both connections."""
    log_to_terminal(quiet=True)
    demo = Demo(out)
    with demo.listen(port) as listener:
        port = listener.address[1]
        click.echo(f"Starting to serve on https://{_HOST}:{port}.")
        threading.Thread(target=demo.serve, args=(listener,), daemon=True).start()
        with open_key_log(out / "keys.log") as file, create_private(out / _CAPTURE, replace=demo.replaces) as packets:
            page = PageFile(out / _PAGE, None, lang or "en", compared=True)
            left = _Left(KeyLog(lambda line: file.write(line.encode())), CaptureFile(packets.write), page)
            demo.connect(port, "A client with a certificate", demo.client, left)
            demo.connect(port, "A client without a certificate", (), left)
            page.write()
    _tell_files(out, port)


class _Left(NamedTuple):
    """What is left of each connection."""

    keys: KeyLog
    capture: CaptureFile
    page: PageFile


class Demo:
    """Certificates in a directory, a server and its clients."""

    def __init__(self, out: Path) -> None:
        authority = CertificateAuthority.create(_CA)
        server, client = authority.server("localhost", _HOST), authority.client("demo client")
        authority.destroy_key()
        # Only what an earlier run left is replaced.
        self.replaces = _is_ours(out / "ca.pem")
        write_pki(out, authority, server=server, client=client, replace=self.replaces, with_ca_key=False)
        self._trusted = Roots.from_der([authority.certificate_der])
        self.client = (_credentials(client),)
        self._server = (_credentials(server),)
        # What the server has to say of a connection, until it answers: its thread and the client's share one terminal.
        self._said: list[str] = []
        self._outcomes: list[Outcome] = []

    def listen(self, port: int) -> sockets.Listener:
        """A listener on ``port``, or on a free one if that is taken."""
        config = ServerConfig(
            credentials=self._server,
            verifier=Announcing("verifying client cert ...", self._said.append, self._trusted),
            client_auth=ClientAuth.REQUEST,
            ca_names=self._trusted.names(),
            application_protocols=_HTTP,
        )
        try:
            return sockets.listen(_HOST, port, config, observe=self._watch)
        except OSError as error:
            ui.note(f"port {port} cannot be used ({ui.reason(error)}), taking a free one")
            return sockets.listen(_HOST, 0, config, observe=self._watch)

    def _watch(self, _address: object) -> tuple[Sequence[Observer], Sequence[SecretSink]]:
        self._outcomes.append(Outcome(Role.SERVER))
        return self._outcomes[-1:], ()

    def serve(self, listener: sockets.Listener) -> None:
        """Answer one connection after the other, until the listener is closed."""
        while True:
            try:
                with listener.accept() as tls:
                    info = tls.handshake()
                    http.serve(tls, lambda _request, info=info: self._answer(info))  # type: ignore[misc]
            except HandfastError:
                continue
            except OSError:
                return

    def _answer(self, info: ConnectionInfo) -> http.Reply:
        for line in (*self._said, *_peer_certificates(info)):
            click.echo(line)
        self._said.clear()
        who = describe(info.peer_chain[0]).subject if info.peer_chain else "whoever you are, without a certificate"
        return http.Reply(200, f"hello, {who}\n".encode())

    def connect(self, port: int, title: str, credentials: tuple[Credentials, ...], left: _Left) -> None:
        """One connection of a client, and what both sides made of it."""
        click.echo()
        ui.heading(f"{title}:")
        label = str(len(self._outcomes) + 1)
        trace = Trace(ui.trace_as_output, label=label, describer=verdict_words.DESCRIBER)
        config = ClientConfig(
            credentials=credentials,
            verifier=Announcing("verifying server's cert ...", click.echo, self._trusted),
            application_protocols=_HTTP,
        )
        sock = sockets.open_tcp(_HOST, port)
        flow = Flow(left.capture, sock.getsockname(), sock.getpeername())
        ends = {"client": address_text(sock.getsockname()), "server": address_text(sock.getpeername())}
        story = left.page.story(Role.CLIENT, title=title, **ends)
        left.page.add(story)
        observers, sinks = (trace, flow, story), (left.keys, flow.secret, story.secret)
        with sockets.client(sock, config, server_name="localhost", observers=observers, secret_sinks=sinks) as tls:
            request = http.Request("GET", "/", [("Host", f"localhost:{port}")])
            parts = list(http.request(tls, request))
        body = b"".join(part for part in parts if isinstance(part, bytes))
        click.echo(f"Body:\n{body.decode().rstrip()}")
        verdict = verdict_words.verdict_line(self._outcomes[-1])
        ui.heading(verdict)
        # It is the server's: what the client thinks of the server stands in the story.
        story.told_by(verdict, failed=False)


class Announcing:
    """A verifier that says so before it judges."""

    def __init__(self, announcement: str, say: Callable[[str], object], trusted: Roots) -> None:
        self._announcement = announcement
        self._say = say
        self._verifier = PathVerifier(trusted)

    def verify(self, presented: PresentedChain) -> Verdict:
        """The verdict of the path to the trusted roots."""
        self._say(self._announcement)
        return self._verifier.verify(presented)


def _credentials(issued: Issued) -> Credentials:
    return Credentials.from_pem(issued.cert_pem, issued.key_pem)


def _peer_certificates(info: ConnectionInfo) -> list[str]:
    """The chain that the client presented, as the server saw it."""
    lines = [f"#(peer certs) = {len(info.peer_chain)}"]
    for index, certificate in enumerate(info.peer_chain):
        lines += [f"certs[{index}] goes as", pem.encode(pem.CERTIFICATE, certificate).decode().rstrip()]
    return lines


def _is_ours(ca: Path) -> bool:
    """Whether ``ca`` is a CA certificate that an earlier demo left."""
    try:
        found = Roots.from_file(ca).certificates
    except HandfastError:
        return False
    return len(found) == 1 and describe(found[0]).subject.startswith(f"CN={_CA},")


def _tell_files(out: Path, port: int) -> None:
    """What is left, and commands that run as they are printed."""
    click.echo(f"\nLeft in {click.format_filename(out)}:")
    for line in ui.definitions(_FILES):
        click.echo(line)
    folder = os.fspath(_from_here(out))
    ours = ["--cert", f"{folder}/server.pem", "--key", f"{folder}/server.key", "--client-ca", f"{folder}/ca.pem"]
    theirs = ["--cacert", f"{folder}/ca.pem", "--cert", f"{folder}/client.pem", "--key", f"{folder}/client.key"]
    click.echo("\nGo on by yourself, in two terminals:")
    for words_of_command in (
        ["serve", "--listen", f"{_HOST}:{port}", *ours],
        ["connect", "--trace=fields", f"https://localhost:{port}/", *theirs],
    ):
        click.echo("\n".join(["", *ui.command_lines([*_program(), *words_of_command])]))


def _from_here(path: Path) -> Path:
    """``path`` as the person can use it: a program that make started may stand elsewhere than its user."""
    return path.resolve() if "MAKELEVEL" in os.environ else path


def _program() -> list[str]:
    """How this program was started, in a way that works again."""
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    if Path(program).name == "__main__.py" or not Path(program).exists():
        return [os.path.abspath(sys.executable), "-m", "handfast"]
    found = shutil.which(Path(program).name)
    same = found is not None and os.path.samefile(found, program)
    return [Path(program).name if same else os.path.abspath(program)]

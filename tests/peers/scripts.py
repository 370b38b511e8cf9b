"""Peers that are a language's own TLS: each a program of ours in programs/, which its interpreter runs.

Its arguments are ``connect`` or ``serve``, the port to connect to, the version, and the paths of roots, certificate and
key, each "" where there is none, and what is asked of a client. A server prints ``listening|PORT`` and, in the end,
``peer|`` and what it knows of the client; both print what they read, and ``over|VERSION|SUITE`` when all went well.
Request and response stand in the environment.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from typing import ClassVar, Self

from tests.peers.base import (
    Cannot,
    ClientAuth,
    ClientPeer,
    Options,
    Outcome,
    ProcessPeer,
    ServerPeer,
    http_response,
    last,
    require_peer,
)
from tests.peers.hosted import PROGRAMS

_TOLD = {"certificate", "key", "trust", "client_auth", "server_name", "version", "request", "response"}


class ScriptPeer(ProcessPeer):
    """A program for one connection."""

    interpreter: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ()
    program: ClassVar[str]
    role: ClassVar[str]
    port = 0

    def command(self) -> list[str]:
        for field in fields(Options):
            if field.name not in _TOLD and getattr(self.options, field.name) != field.default:
                raise Cannot(f"{self.name} is not told of {field.name}")
        options = self.options
        paths = ("" if path is None else str(path) for path in (options.trust, options.certificate, options.key))
        port = str(self.port) if self.port else ""
        program = [require_peer(self.interpreter), *self.arguments, str(PROGRAMS / self.program)]
        return [*program, self.role, port, options.version or "", *paths, options.client_auth]

    def environment(self) -> dict[str, str]:
        told = {"REQUEST": self.options.request.decode(), "RESPONSE": self.options.response.decode()}
        return {**super().environment(), **told}

    def standard_input(self) -> int:
        return subprocess.PIPE

    def read_outcome(self, status: int) -> Outcome:
        text = self.text()
        version, suite = last(r"^over\|([^|]*)", text), last(r"^over\|[^|]*\|(.*)", text)
        errors = self.errors.decode(errors="backslashreplace").strip().splitlines()
        return Outcome(
            ok=status == 0 and version is not None,
            error=errors[0] if errors else "",
            text=text,
            received=http_response(self.output) if self.role == "connect" else self._request(),
            version=version,
            suite=suite,
            peer_subject=last(r"^peer\|(.*)", text) if self.role == "serve" else None,
        )

    def _request(self) -> bytes:
        """What a server read, behind the line that says where it listens."""
        return re.split(rb"\n(?:peer|over)\|", self.output.partition(b"\n")[2])[0]


class ScriptClient(ScriptPeer, ClientPeer):
    """Connects, asks, reads the answer, closes."""

    role = "connect"


class ScriptServer(ScriptPeer, ServerPeer):
    """Accepts one connection, reads a request, answers, closes."""

    role = "serve"

    def __enter__(self) -> Self:
        super().__enter__()
        self.wait_until(lambda output: b"listening|" in output and b"\n" in output.partition(b"listening|")[2])
        self.port = int(last(r"^listening\|(\d+)", self.text()) or 0)
        return self


class RubyPeer(ScriptPeer):
    name, interpreter, program = "ruby", "ruby", "peer.rb"


class PHPPeer(ScriptPeer):
    name, interpreter, program = "php", "php", "peer.php"


class PerlPeer(ScriptPeer):
    name, interpreter, program = "perl", "perl", "peer.pl"


class ErlangPeer(ScriptPeer):
    name, interpreter, program = "erlang", "escript", "peer.escript"

    def environment(self) -> dict[str, str]:
        # One scheduler that does not spin while it waits: others need the processors.
        return {**super().environment(), "ERL_FLAGS": "+S 1:1 +sbwt none"}


class RubyClient(RubyPeer, ScriptClient):
    """OpenSSL::SSL::SSLSocket."""


class RubyServer(RubyPeer, ScriptServer):
    """OpenSSL::SSL::SSLSocket."""


class PHPClient(PHPPeer, ScriptClient):
    """stream_socket_client."""


class PHPServer(PHPPeer, ScriptServer):
    """stream_socket_accept, which has no way to ask without requiring."""

    def command(self) -> list[str]:
        if self.options.client_auth is ClientAuth.REQUEST:
            raise Cannot("PHP requires a client certificate or asks for none")
        return super().command()


class PerlClient(PerlPeer, ScriptClient):
    """IO::Socket::SSL."""


class PerlServer(PerlPeer, ScriptServer):
    """IO::Socket::SSL."""


class ErlangClient(ErlangPeer, ScriptClient):
    """ssl:connect."""


class ErlangServer(ErlangPeer, ScriptServer):
    """ssl:handshake."""

"""Peers that take turns in one program, because starting it anew for each connection would take too long.

Such a program reads jobs from its standard input, a line each, and writes what comes of them, a line each, all in the
encoding of HTML forms, which every library knows. A job has a number, says ``do=serve``, ``connect`` or ``drop``, how
many milliseconds it may take as its ``limit``, and repeats what stands in ``Options``. The answers are
``event=listening`` with a port, ``event=secured``, by some servers, when a handshake is over, and ``event=over`` with
the fields of ``Outcome``. The program ends when its input does, so it never outlives the tests.
"""

from __future__ import annotations

import atexit
import itertools
import os
import subprocess
import sys
import threading
from abc import abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlencode

from tests.peers.base import Cannot, ClientPeer, Options, Outcome, Peer, PeerFailed, ServerPeer
from tests.waiting import LIMIT

PROGRAMS = Path(__file__).with_name("programs")


class Host:
    """A program and the jobs that it was given. It lives until the tests end."""

    def __init__(self, command: list[str], **more_environment: str) -> None:
        self._numbers = itertools.count(1)
        self._answers: dict[tuple[str, str], dict[str, list[str]]] = {}
        self._chatter = ""
        self._running = True
        self._changed = threading.Condition()
        environment = {name: value for name, value in os.environ.items() if name != "SSLKEYLOGFILE"}
        environment |= more_environment
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        atexit.register(self.close)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = parse_qs(line.rstrip("\n"), keep_blank_values=True, max_num_fields=1000)
            with self._changed:
                if "job" in answer and "event" in answer:
                    self._answers[answer["job"][0], answer["event"][0]] = answer
                else:
                    self._chatter += line
                self._changed.notify_all()
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def start(self, job: dict[str, Any]) -> str:
        """Gives the program a job; the job's number."""
        number = str(next(self._numbers))
        self.tell(number, job)
        return number

    def tell(self, number: str, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(urlencode({"job": number, **order}, doseq=True) + "\n")
        self._process.stdin.flush()

    def wait(self, number: str, *events: str) -> dict[str, list[str]]:
        """The answer to a job that is one of these events."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._found(number, events) or not self._running, LIMIT)
            answer = self._found(number, events)
        if not found or answer is None:
            raise PeerFailed(f"{self._process.args!r} does not answer:\n{self._chatter}")
        return answer

    def _found(self, number: str, events: tuple[str, ...]) -> dict[str, list[str]] | None:
        return next((self._answers[number, event] for event in events if (number, event) in self._answers), None)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        self._process.stdout.close()


class HostedPeer(Peer):
    """A job of a host. ``impossible`` names what the library has no means for."""

    impossible: ClassVar[dict[str, str]]

    @classmethod
    @abstractmethod
    def host(cls) -> Host:
        """The one host of this kind of peer; started when first asked for."""

    def require_possible(self) -> None:
        """Raises Cannot."""
        for field in fields(Options):
            asked = getattr(self.options, field.name) != field.default
            if asked and field.name in self.impossible:
                raise Cannot(self.impossible[field.name])

    def job(self) -> dict[str, Any]:
        job = {field.name: getattr(self.options, field.name) for field in fields(Options)}
        job |= {name: job[name].decode() for name in ("request", "response", "upload", "early_data")}
        return {name: value for name, value in job.items() if value is not None} | {"limit": int(1000 * LIMIT)}

    def __enter__(self) -> Self:
        self.require_possible()
        self._host = self.host()
        self._number = self._host.start(self.job())
        return self

    def drop(self) -> None:
        self._host.tell(self._number, {"do": "drop"})

    def outcome(self) -> Outcome:
        answer = self._host.wait(self._number, "over")
        single = {name: values[0] for name, values in answer.items()}
        known = {field.name for field in fields(Outcome)} - {"ok", "ca_names", "received", "resumed", "early_data"}
        facts: dict[str, Any] = {name: value for name, value in single.items() if name in known}
        return Outcome(
            ok=single["ok"] == "true",
            received=single.get("received", "").encode(),
            ca_names=tuple(filter(None, answer["ca_names"])) if "ca_names" in answer else None,
            resumed=answer["resumed"][-1] == "true" if "resumed" in answer else None,
            **facts,
        )

    def __exit__(self, *exception: object) -> None:
        self._host.tell(self._number, {"do": "drop"})
        self._host.wait(self._number, "over")


class HostedServer(HostedPeer, ServerPeer):
    """A server; closes first, and cleanly."""

    def job(self) -> dict[str, Any]:
        return {"do": "serve", **super().job()}

    def __enter__(self) -> Self:
        super().__enter__()
        answer = self._host.wait(self._number, "listening", "over")
        if "port" not in answer:
            raise PeerFailed(f"{self.name} did not start: {answer}")
        self.port = int(answer["port"][0])
        return self


class HostedClient(HostedPeer, ClientPeer):
    """A client."""

    def job(self) -> dict[str, Any]:
        return {"do": "connect", "port": self.port, **super().job()}


def beside_python(program: str) -> str | None:
    """A program that a wheel brought: it is where this Python is, which need not be on PATH."""
    path = Path(sys.executable).with_name(program)
    return str(path) if path.exists() else None

"""An endpoint that listens while the test does something else."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

from handfast.tools.endpoint import Address, run_each
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from handfast.tools.endpoint import Options, Outcome

LOCALHOST = "127.0.0.1"
ANY_PORT = Address(LOCALHOST, 0)


class EndpointFailed(Exception):
    """The endpoint did not start, or did not end in time."""


class Listening:
    """handfast's endpoint in either role, in a thread, waiting for its one peer."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._port: int | None = None
        self._listening = threading.Event()
        self._outcome: Outcome | BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            *_, self._outcome = run_each(self._options, listening=self._tell_port)
        except BaseException as error:
            self._outcome = error
        finally:
            self._listening.set()

    def _tell_port(self, address: Address) -> None:
        self._port = address.port
        self._listening.set()

    @property
    def port(self) -> int:
        self._listening.wait(LIMIT)
        if self._port is None:
            raise EndpointFailed(f"our endpoint does not listen: {self._outcome!r}")
        return self._port

    def outcome(self) -> Outcome:
        """Waits until the connections are over; that of the last."""
        self._thread.join(LIMIT)
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        if self._outcome is None:
            raise EndpointFailed("our endpoint did not end in time")
        return self._outcome

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is not None and self._port is not None:
            # Nobody comes any more: let it stop waiting.
            with contextlib.suppress(OSError):
                for _ in range(self._options.count):
                    socket.create_connection((LOCALHOST, self._port)).close()
        self._thread.join(LIMIT)

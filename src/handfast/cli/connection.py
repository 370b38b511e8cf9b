"""A connection of ``handfast connect``: how it is made, and how what came of it is told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import click

from handfast.cli import ui, verdict_words
from handfast.cli.lenses import ended
from handfast.cli.reach import Route, reach
from handfast.cli.session import Alerts
from handfast.cli.target import Target, port_hint, redirected
from handfast.errors import ApiMisuse, ConfigError, ConnectionLost, HandfastError, PeerRejected
from handfast.io import sockets
from handfast.outcome.cause import Cause, CauseCode, Manner
from handfast.roles import Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.cli.lenses import Lenses
    from handfast.cli.verbose import Verbose
    from handfast.engine import ClientConfig
    from handfast.lens.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Connector:
    """What the connections of one run share."""

    route: Route
    config: ClientConfig
    lenses: Lenses
    verbose: Verbose
    tell_alerts: bool = False

    def elsewhere(self) -> Connector:
        """For another server that the first one sent us to: who we are is not shown to it."""
        return replace(self, route=self.route.elsewhere(), config=replace(self.config, credentials=()))

    @contextmanager
    def connection(
        self, target: Target, early_data: bytes = b"", *, chain: list[bytes] | None = None
    ) -> Iterator[tuple[sockets.TLSSocket, Outcome]]:
        """A connection that is told in one line when it ends, or in two if it failed or the server refused us.

        ``chain`` takes the server's certificates, also those of one that was refused.
        """
        outcome, observers, sinks = self.lenses.watch()
        if self.tell_alerts:
            observers.append(Alerts(Direction.SERVER_TO_CLIENT, ui.note))
        try:
            sock, server_name = reach(target, self.route, self.verbose.say)
            flow = self.lenses.record(sock.getsockname(), sock.getpeername(), observers, sinks)
            if flow is not None:
                click.get_current_context().call_on_close(flow.finish)
            with sockets.client(
                sock,
                self.config,
                server_name=server_name,
                early_data=early_data,
                observers=observers,
                secret_sinks=sinks,
            ) as tls:
                self.verbose.handshake(outcome)
                yield tls, outcome
        except HandfastError as error:
            ended(observers, error)
            if outcome.info is None and outcome.hello is not None:
                self.verbose.handshake(outcome)
            self._tell_failure(outcome, error, redirected(target, self.route.connect_to)[1])
        except (KeyboardInterrupt, ui.CommandFailed) as error:
            # What was reached is worth a line also where what followed is another matter.
            if outcome.info is not None:
                ui.note(verdict_words.verdict_line(outcome))
            what = error.what if isinstance(error, ui.CommandFailed) else "interrupted"
            self.lenses.tell(outcome, what, failed=isinstance(error, ui.CommandFailed))
            raise
        finally:
            if chain is not None:
                chain[:] = outcome.chains.get(Direction.SERVER_TO_CLIENT, ())
        self._tell(outcome)

    def _tell(self, outcome: Outcome) -> None:
        line, cause = verdict_words.verdict_line(outcome), outcome.cause()
        hint = "" if cause is None else verdict_words.verdict_hint(outcome)
        refused = is_refusal(cause)
        self.lenses.tell(outcome, line, failed=refused, hint=hint)
        if refused:
            ui.fail(line, PeerRejected.fault, hint)
        ui.note(line)
        if cause is not None and cause.tells_more:
            ui.note(f"if that is about the certificate: {hint}")

    def _tell_failure(self, outcome: Outcome, error: HandfastError, port: int) -> NoReturn:
        """A handshake that failed is told by its verdict; one that came off, and what went wrong later, by both."""
        if isinstance(error, ConfigError | ApiMisuse):
            raise error
        what, hint = _failure(outcome, error, port)
        self.lenses.tell(outcome, what, failed=True, hint=hint, error=error)
        if hint:
            ui.fail(what, error.fault, hint)
        ui.note(what)
        raise error


def _failure(outcome: Outcome, error: HandfastError, port: int) -> tuple[str, str]:
    """What happened and what to do; "" where the error itself says that, after the verdict on what came off."""
    cause = outcome.cause(error)
    if outcome.info is not None and cause is None and not (isinstance(error, PeerRejected) and not outcome.answered):
        return verdict_words.verdict_line(outcome), ""
    silent = isinstance(error, ConnectionLost) and cause is None
    what = error.what if silent else verdict_words.verdict_line(outcome, error)
    if error.code == "too_slow":
        what += f"; the handshake stood {outcome.stage}"
    hint = port_hint(port) if cause is None or cause.code is CauseCode.LARGE_HELLO else ""
    if outcome.heard_nothing and isinstance(error, ConnectionLost) and hint:
        return what, hint
    return what, verdict_words.verdict_hint(outcome, error)


def is_refusal(cause: Cause | None) -> bool:
    """Whether the server refused us although the connection ended in order.

    An HTTP status counts where the answer speaks of a certificate, or the server had asked for one in a second
    handshake: any other may be about the path.
    """
    if cause is None or cause.manner is not Manner.HTTP or cause.code is CauseCode.RENEGOTIATION:
        return cause is not None
    return cause.http is not None and cause.http.about_certificate

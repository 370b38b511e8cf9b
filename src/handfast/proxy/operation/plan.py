"""All that a proxy is told, listeners and operation: what a file or a command line comes to, and a reload replaces."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handfast import limits, logs
from handfast.errors import HandfastError, bad_option
from handfast.errors.foreign import said_by
from handfast.proxy.admission import Ceilings
from handfast.proxy.settings import Address, Listener, address_words
from handfast.reload.handles import Reloading
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Operation:
    """How a proxy is run.

    Attributes:
        grace: seconds that clients have to end, when the proxy or their listener does.
        access_log: the file, "-" for standard output, None for none.
        admin: where metrics and health are told; None for nowhere. admin_names: under which names, besides its own.
        captures: the directory that captures of single clients may be written to; None forbids them.
        workers: processes that serve; 1 is this one.
    """

    grace: float = limits.PROXY_GRACE
    access_log: Path | None = None
    admin: Address | None = None
    captures: Path | None = None
    workers: int = 1
    admin_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.grace <= limits.PROXY_SECONDS:
            advice = f"give seconds, up to {limits.PROXY_SECONDS:.0f}, or 0 to cut connections at once"
            raise bad_option("grace", f"{self.grace:g} is no time", advice)
        if not 1 <= self.workers <= limits.PROXY_WORKERS:
            reason = f"this is outside 1..{limits.PROXY_WORKERS}"
            raise bad_option("workers", reason, "give about as many as there are processors")
        if self.captures is not None and self.admin is None:
            raise bad_option("captures", "they are asked for at the admin listener", "give an address for that")
        if self.captures is not None and not (self.captures.is_dir() and os.access(self.captures, os.W_OK | os.X_OK)):
            reason = f"{self.captures} is no directory in which files can be made"
            raise bad_option("captures", reason, "make it, for this user alone (mode 0700), or name another one")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a proxy does.

    Attributes:
        listeners: where clients come in.
        ceilings: how many.
        operation: how it is run.
        paths: the files that all this is made of, which are followed.
        on_use: called when it is in use: with it holds what else the files say, the keys of a fleet.
    """

    listeners: tuple[Listener, ...]
    ceilings: Ceilings = field(default_factory=Ceilings)
    operation: Operation = field(default_factory=Operation)
    paths: tuple[Path, ...] = ()
    on_use: Callable[[], object] = field(default=lambda: None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.listeners) <= limits.PROXY_LISTENERS:
            reason = f"{len(self.listeners)} is no number of listeners from 1 to {limits.PROXY_LISTENERS}"
            raise bad_option("listeners", reason, "say where clients come in")
        addresses = [listener.address for listener in self.listeners]
        for address in addresses:
            if addresses.count(address) > 1:
                raise bad_option("listeners", f"{address_words(address)} is there twice", "leave one of them out")


class ReloadingPlan(Reloading[Plan]):
    """A plan, made anew when its files change or a signal comes; ``changed`` is then called with it, in that thread.

    A plan that ``changed`` raises an error for is not in use, which is told in the log as for one that could not be
    loaded; it is tried again at the next ``reload``.
    """

    def __init__(self, load: Callable[[], Plan], *paths: Path) -> None:
        self.failures = 0
        self.changed: Callable[[Plan], object] = lambda _plan: None
        self._applied = True

        def load_and_follow() -> Plan:
            plan = load()
            self.paths = tuple(dict.fromkeys((*paths, *plan.paths)))
            return plan

        super().__init__(load_and_follow, *paths)

    def _reload(self) -> bool:
        generation = self.generation
        if not super()._reload():
            # The log has said why, or nothing was to be done.
            self.failures += self._seen != self._held[1]
            if self._applied:
                return False
        try:
            self.changed(self.current)
        except Exception as error:  # noqa: BLE001 (whatever it is, what runs goes on)
            self._applied = False
            self.failures += 1
            what = error.what if isinstance(error, HandfastError) else said_by(error)
            logs.say(logging.WARNING, f"not reloaded, what was loaded before stays in use: {escape(what)}")
            return False
        self._applied = True
        return self.generation != generation

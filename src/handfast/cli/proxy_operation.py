"""How ``handfast proxy`` is run: its options, and the program around what serves: this process, or one with workers."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from handfast import limits
from handfast.cli import loops, option_sources, options, proxy_options, ui
from handfast.cli.proxy_log import tell_entry
from handfast.errors import ConfigError, LocalFailure, bad_option
from handfast.proxy.admission import Ceilings, room_for
from handfast.proxy.operation.operating import Operator
from handfast.proxy.operation.plan import Operation, Plan, ReloadingPlan
from handfast.proxy.operation.running import Running
from handfast.proxy.operation.systemd import Handed, Notifier
from handfast.proxy.operation.workers import Workers, orders
from handfast.proxy.watching.access_log import check_place
from handfast.proxy.watching.admin import check_address
from handfast.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handfast.io.arguments import ObserverFactory
    from handfast.proxy.operation.operating import Ended
    from handfast.proxy.operation.stores import Stores
    from handfast.proxy.settings import Address
    from handfast.reload.handles import Reloading

    F = TypeVar("F", bound=Callable[..., object])

_FILE = click.Path(path_type=Path)
# The parameters of ``operation``.
OPERATION = ("workers", "access_log", "admin", "captures", "grace", "connections", "per_client", "per_second")
# What may stand beside a file that says all the rest.
_BESIDE_CONFIG = ("config_file", "check", "reload")


def operation_options(command: F) -> F:
    """--config, --check, --workers, --access-log, --admin, --captures, --grace, and limits."""
    return options.together(
        click.option(
            "--config",
            "config_file",
            type=_FILE,
            metavar="FILE",
            help="Do what this TOML file says, in place of --from, --to and all the rest: docs/proxy-operation.md.",
        ),
        click.option("--check", is_flag=True, help="Only check the file of --config, and what it names."),
        click.option(
            "--workers", type=int, default=1, metavar="NUMBER", help="Serve in so many processes, one per processor."
        ),
        click.option(
            "--access-log", type=_FILE, metavar="FILE", help="Append a line of JSON for each request and connection."
        ),
        click.option(
            "--admin", metavar="HOST:PORT|unix:PATH", help="Answer /metrics (Prometheus) and /health here, on loopback."
        ),
        click.option(
            "--captures",
            type=_FILE,
            metavar="DIRECTORY",
            help="Let POST /capture?client=ADDRESS&to=NAME there write a client's next connection and its keys here.",
        ),
        click.option(
            "--grace",
            type=float,
            default=limits.PROXY_GRACE,
            metavar="SECONDS",
            help="What clients have to end in, at a signal.",
        ),
        click.option(
            "--connections",
            type=int,
            default=limits.PROXY_CONNECTIONS,
            metavar="NUMBER",
            help="Clients at once; others are refused.",
        ),
        click.option(
            "--per-client",
            type=int,
            default=limits.PROXY_CONNECTIONS_PER_CLIENT,
            metavar="NUMBER",
            help="... of one address, or one /64 of IPv6.",
        ),
        click.option(
            "--per-second",
            type=float,
            default=0.0,
            metavar="NUMBER",
            help="... of it, new in a second; 0: any number.",
        ),
    )(command)


def operation(
    workers: int,
    access_log: Path | None,
    admin: str | None,
    captures: Path | None,
    grace: float,
    connections: int,
    per_client: int,
    per_second: float,
) -> tuple[Ceilings, Operation]:
    """What these options come to. Raises ConfigError."""
    address: Address | None = None
    if admin is not None:
        address = proxy_options.unix_or_host(admin, "--admin")
    try:
        if address is not None:
            check_address(address, anywhere=False)
        ceilings = Ceilings(connections, per_client, per_second=per_second)
        return ceilings, Operation(grace, access_log, address, captures, workers)
    except ConfigError as error:
        option = "--" + str(error.details["option"]).replace("_", "-")
        raise bad_option(option, str(error.details["reason"]), str(error.details["advice"])) from None


def refuse_beside_config() -> None:
    """ConfigError for options that the file says."""
    for option in option_sources.on_command_line(click.get_current_context()):
        if option.name not in _BESIDE_CONFIG:
            advice = "write it there, or leave --config out"
            raise bad_option(option.opts[0], "with --config the file says that", advice)


def refuse_lenses(given: dict[str, Any], how: Operation) -> None:
    """ConfigError for what several processes cannot write together."""
    for name in ("pcapng", "html"):
        if how.workers > 1 and given.get(name) is not None:
            raise bad_option(f"--{name}", "several workers cannot write one file", "leave --workers out")


def no_ends(listen_at: str | None) -> ConfigError:
    """The error where it is not said what to do."""
    option, what = ("--to", "where clients go") if listen_at else ("--from", "where clients come in")
    return bad_option(option, f"it is not said {what}", "give --from and --to, or --config FILE")


class Program:
    """This process: the one that was started, or a worker of it.

    Attributes:
        names: the addresses of sockets that systemd handed over, by their names.
        is_worker: whether it is a worker, which says nothing that the other one has said.
    """

    def __init__(self) -> None:
        self._orders = orders()
        self.is_worker = self._orders is not None
        self._handed = Handed()
        self.names = self._handed.names if self._orders is None else self._orders.names

    def serve(
        self,
        plan: Plan,
        stores: Stores,
        handles: Sequence[Reloading[Any]],
        *,
        watch: bool,
        observe: ObserverFactory | None,
    ) -> int:
        """Serve what options say; the exit status."""

        def make() -> Running:
            return Running(plan, tell_entry, handed=self._handed.sockets, observe=observe)

        if self._orders is not None:
            return self._work(make, stores, None, handles, watch=watch)
        return self._operate(plan, make, handles, watch=watch)

    def serve_file(self, path: Path, stores: Stores, *, watch: bool, check: bool) -> int:
        """Serve what a file says, or only check it; the exit status."""
        from handfast.proxy.operation import toml_file

        def load() -> Plan:
            return toml_file.load(path, stores, self.names)

        if check:
            plan = load()
            room_for(plan.ceilings)
            if plan.operation.access_log is not None:
                check_place(plan.operation.access_log)
            click.echo(f"{path}: {counted(len(plan.listeners), 'listener')}, {counted(len(plan.paths), 'file')}: good")
            return 0
        if self._orders is not None:
            return self._work(lambda: Running(load(), tell_entry), stores, load, (), watch=False)
        handle = ReloadingPlan(load, path)
        plan = handle.current
        return self._operate(
            plan,
            lambda: Running(plan, tell_entry, handed=self._handed.sockets),
            (handle,),
            watch=watch,
        )

    def _work(
        self,
        make: Callable[[], Running],
        stores: Stores,
        load: Callable[[], Plan] | None,
        handles: Sequence[Reloading[Any]],
        *,
        watch: bool,
    ) -> int:
        from handfast.cli.serve_options import following
        from handfast.proxy.operation.worker import Worker

        if self._orders is None:
            raise LocalFailure("internal_error", reason="a worker without a channel")
        channel = self._orders.channel

        async def main() -> None:
            await Worker(channel, make, stores, load=load, handles=handles).run()

        with following(handles, follow=watch):
            loops.run(main())
        return 0

    def _operate(
        self,
        plan: Plan,
        make: Callable[[], Running],
        handles: Sequence[Reloading[Any]],
        *,
        watch: bool,
    ) -> int:
        from handfast.fleet.key_file import KeyFile

        async def main() -> Ended:
            service = make() if plan.operation.workers == 1 else Workers(plan, _command(), self._handed)
            own = handles
            if plan.operation.workers > 1:
                # Workers of options follow their files themselves; this process is a node of the fleet as they are.
                own = [handle for handle in handles if isinstance(handle, ReloadingPlan | KeyFile)]
            operator = Operator(service, own, watch=watch, notifier=Notifier(), say=ui.note)
            try:
                return await operator.run(lambda: _tell(plan, service.addresses))
            except OSError as error:
                if error.filename is None:
                    raise
                reason = f"{error.filename}: {ui.reason(error)}"
                raise bad_option("address", reason, "give another address, or port 0") from None

        ended = loops.run(main())
        if ended.number == signal.SIGINT:
            return ui.INTERRUPTED
        return ui.FAILED if ended.at_once else 0


def _command() -> list[str]:
    """What starts this program once more."""
    return [sys.executable, "-m", "handfast", *sys.argv[1:]]


def _tell(plan: Plan, addresses: Sequence[Any]) -> None:
    for listener, bound in zip(plan.listeners, addresses, strict=True):
        proxy_options.tell(listener, bound)

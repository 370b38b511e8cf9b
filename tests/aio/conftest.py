"""Every test here runs under asyncio's loop and uvloop's, in debug mode, and must leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from tests.peers.base import missing
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


class Runner:
    """Runs a coroutine in a new loop. ``complaints`` is what went to the loop's exception handler: nothing may,
    unless the test takes it out."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop_factory = loop_factory
        self.complaints: list[dict[str, Any]] = []

    def __call__(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        # uvloop warns while it closes what was left open, and would wait for ever if the warning were an error there.
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always", ResourceWarning)
            with asyncio.Runner(debug=True, loop_factory=self.loop_factory) as runner:
                result = runner.run(self._watched(coroutine))
        assert [str(warning.message) for warning in left_open] == []
        return result

    async def _watched(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        result = await asyncio.wait_for(coroutine, LIMIT)
        # What was closed gets two rounds of the loop to say so.
        for _ in range(3):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        timers = [timer for timer in getattr(loop, "_scheduled", ()) if not timer.cancelled()]
        assert timers == []
        return result


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Runner]:
    runner = Runner(asyncio.new_event_loop if request.param == "asyncio" else uvloop_factory())
    yield runner
    # Unclosed transports, and exceptions that nobody retrieved, speak up now.
    gc.collect()
    assert runner.complaints == []


def uvloop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        missing("uvloop is not installed")
        raise
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory

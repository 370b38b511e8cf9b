"""Counts the bytecodes that the interpreter executes: what our own code costs, the same on every machine.

Time moves with the machine and its load; the number of bytecodes does not, and the time of a handshake beyond its
cryptography goes with it. From Python 3.12 on ``sys.monitoring`` counts, as there a trace function misses some.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

P = ParamSpec("P")
R = TypeVar("R")

if sys.version_info >= (3, 12):
    _TOOL, _INSTRUCTION = sys.monitoring.PROFILER_ID, sys.monitoring.events.INSTRUCTION

    def _start(count: Counter[CodeType]) -> None:
        def executed(code: CodeType, offset: int) -> None:
            count[code] += 1

        sys.monitoring.use_tool_id(_TOOL, "handfast bytecodes")
        sys.monitoring.register_callback(_TOOL, _INSTRUCTION, executed)
        sys.monitoring.set_events(_TOOL, _INSTRUCTION)

    def _stop() -> None:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)

else:

    def _start(count: Counter[CodeType]) -> None:
        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if event == "call":
                frame.f_trace_opcodes = True
                frame.f_trace_lines = False
            elif event == "opcode":
                count[frame.f_code] += 1
            return trace

        sys.settrace(trace)

    def _stop() -> None:
        sys.settrace(None)


class Bytecodes:
    """Counts while it calls; ``by_function`` has the bytecodes of each function, but for those in this file."""

    def __init__(self) -> None:
        self.by_function: Counter[CodeType] = Counter()

    @property
    def total(self) -> int:
        """All of them."""
        return self.by_function.total()

    def of(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        """What the function returns; what it executes is added up."""
        # What a collection frees may run code that is no part of this.
        collected = gc.isenabled()
        gc.disable()
        _start(self.by_function)
        try:
            return function(*arguments, **keywords)
        finally:
            _stop()
            if collected:
                gc.enable()
            for own in (Bytecodes.of, _start, _stop):
                self.by_function.pop(own.__code__, None)

"""Events are typed and built by keyword: no reader counts arguments, and a field that is added moves none."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any, get_type_hints

from handfast import connection_info, events, verdict
from handfast.wire import messages
from tests.syntax import Module, imported, modules

BUILT = {name: kind for name, kind in vars(events).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


def built_by_position(module: Module) -> list[int]:
    """The lines in which an event is built with an argument that has no name."""
    names = {dotted.rpartition(".")[2] for _, dotted in imported(module) if dotted.startswith("handfast.events.")}
    if module.path == "events.py":
        names = set(BUILT)
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call) and node.args]
    return [
        call.lineno
        for call in calls
        if (isinstance(call.func, ast.Name) and call.func.id in names & BUILT.keys())
        or (isinstance(call.func, ast.Attribute) and call.func.attr in BUILT and "events" in ast.dump(call.func.value))
    ]


def test_events_are_built_by_keyword():
    assert {module.path: lines for module in modules() if (lines := built_by_position(module))} == {}
    for kind in BUILT.values():
        assert all(field.kw_only for field in dataclasses.fields(kind)), kind


def test_the_check_of_keywords():
    def lines(source: str) -> list[int]:
        return built_by_position(Module("engine/driver.py", ast.parse(source)))

    assert lines("from handfast import events\nevents.Closed(now, direction=C2S, how=how)") == [2]
    assert lines("from handfast.events import Closed\nClosed(now, direction=C2S, how=how)") == [2]
    assert lines("from handfast.events import Closed\nf(Closed(time=now, direction=C2S, how=how))") == []
    assert lines("class Closed: ...\nClosed(now)") == []


def test_every_field_of_an_event_has_a_type():
    names = vars(connection_info) | vars(verdict) | vars(messages) | vars(events)
    for kind in BUILT.values():
        hints = get_type_hints(kind, globalns=names)
        assert Any not in hints.values(), kind
    assert "Any" not in vars(events)

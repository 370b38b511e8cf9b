"""Events are typed and built by keyword: no reader counts arguments, and a field that is added moves none."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any, get_type_hints

from handfast import connection_info, events, verdict
from handfast.wire import messages
from tests.syntax import modules

BUILT = {name: kind for name, kind in vars(events).items() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}


def built_by_position(tree: ast.AST) -> list[int]:
    """The lines in which an event is built with an argument that has no name."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args)
    return [
        call.lineno
        for call in calls
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) in BUILT
    ]


def test_events_are_built_by_keyword():
    assert {module.path: lines for module in modules() if (lines := built_by_position(module.tree))} == {}
    for kind in BUILT.values():
        assert all(field.kw_only for field in dataclasses.fields(kind)), kind


def test_the_check_of_keywords():
    assert built_by_position(ast.parse("events.Closed(now, direction=C2S, how=how)")) == [1]
    assert built_by_position(ast.parse("f(Closed(time=now, direction=C2S, how=how))")) == []


def test_every_field_of_an_event_has_a_type():
    names = vars(connection_info) | vars(verdict) | vars(messages) | vars(events)
    for kind in BUILT.values():
        hints = get_type_hints(kind, globalns=names)
        assert Any not in hints.values(), kind
    assert "Any" not in vars(events)

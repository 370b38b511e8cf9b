"""Alerts are chosen in one place: code raises, and ``engine/alerts.py`` sends what the catalogue of ``errors`` says.

So that an alert cannot depend on where an error was noticed, no other file gives an error another alert, makes an alert
or writes its record.
"""

from __future__ import annotations

import ast

import pytest

from tests.syntax import Module, imported, modules

PLACES = ("engine/alerts.py", "errors/")
# By what a record or an alert is written.
WRITERS = {"write", "_write", "_send", "seal", "_write_alert"}
ELSEWHERE = [module for module in modules() if not module.path.startswith(PLACES)]


def choices(module: Module) -> list[str]:
    """What in the module sets an error's ``alert``, makes an Alert, or writes a record of that type."""
    makes_one = [line for line, dotted in imported(module) if dotted == "handfast.wire.alerts.Alert"]
    found = [f"{module.path}:{line} imports Alert" for line in makes_one]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            set_here = [one for target in targets for one in ast.walk(target) if isinstance(one, ast.Attribute)]
            found += [f"{module.path}:{node.lineno} sets .alert" for one in set_here if one.attr == "alert"]
        elif isinstance(node, ast.Attribute) and node.attr == "_write_alert":
            found.append(f"{module.path}:{node.lineno} writes an alert")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
            named = [one for argument in node.args[:1] for one in ast.walk(argument)]
            if any("alert" in str(getattr(one, "id", getattr(one, "attr", ""))).lower() for one in named):
                found.append(f"{module.path}:{node.lineno} writes an alert")
    return found


SETTERS = {
    "tools/endpoint/report.py",  # what it tells of a connection has an alert of its own, which is no error's
    "io/sslcontext/setup.py",  # in ssl a program's sni_callback chooses one
    "io/sslcontext/configs.py",  # a server without certificates answers as OpenSSL does
}


@pytest.mark.parametrize("module", ELSEWHERE, ids=lambda module: module.path)
def test_no_other_file_chooses_an_alert(module):
    assert [line for line in choices(module) if module.path not in SETTERS or "sets" not in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "error.alert = AlertDescription.handshake_failure",
        "a, error.alert = 1, 2",
        "from handfast.wire.alerts import Alert",
        "self._records.write(ALERT, body)",
        "records.write(ContentType.alert, body)",
        "f(self._write_alert)",
    ],
)
def test_the_check_finds_a_choice(line):
    assert len(choices(Module("handshake/client.py", ast.parse(line)))) == 1


def test_the_place_itself_is_read():
    assert [module.path for module in modules("engine") if choices(module)] == ["engine/alerts.py"]

"""What must be true of every file of the project, whoever wrote it."""

from __future__ import annotations

import ast
import re
import string
import tomllib
from typing import TYPE_CHECKING

import pytest

from handfast import errors, limits
from handfast.errors import CertificateRejected, HandfastError
from tests.syntax import ROOT, Module, imported, modules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CACHES = {"__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
NOT_OURS = {".git", ".venv", "build", "dist", *CACHES}
MADE_BY_COMMANDS = {"handfast-demo", "pki"}

MACHINE_PATH = re.compile(r"(?<![\w.}])/(?:work|root|home|Users)/\w")
REGISTRY = re.compile(r"pypi[.]org|pythonhosted[.]org|npmjs[.]|deb[.]debian[.]|--(?:extra-)?index-url|--find[-]links")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|NotImplementedError)\b")

MOST_LINES = 450
MOST_LINES_OF_DECLARATIONS = 650
# Lists of declarations, which are looked up in and not read from start to end.
DECLARATIONS = {"src/handfast/errors/peer.py", "src/handfast/wire/extensions.py"}
MOST_LINES_OF_A_FUNCTION = 60
DEEPEST_NESTING = 4

ERRORS = {
    name: error
    for name, error in vars(errors).items()
    if isinstance(error, type) and issubclass(error, HandfastError) and error.catalogue
}


def texts() -> Iterator[tuple[str, str]]:
    """Every text file of the project: its path and what it says."""
    for path in sorted(ROOT.iterdir()):
        if path.name not in NOT_OURS | MADE_BY_COMMANDS:
            yield from texts_below(path)


def texts_below(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if child.name not in NOT_OURS:
                yield from texts_below(child)
    else:
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return


def lines_with(pattern: re.Pattern[str], under: str = "") -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        if path.startswith(under)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_path_of_a_machine():
    assert lines_with(MACHINE_PATH) == []


def test_no_address_of_a_registry():
    assert lines_with(REGISTRY) == []


def test_nothing_unfinished():
    assert lines_with(UNFINISHED, "src/") == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATH, "see " + "/home" + "/alice/notes"),
        (REGISTRY, "https://pypi" + ".org/simple"),
        (REGISTRY, "pip install --index" + "-url X"),
        (UNFINISHED, "# TODO" + ": later"),
        (UNFINISHED, "raise NotImplemented" + "Error"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, text):
    assert pattern.search(text)


# Errors


def codes_given(tree: ast.AST) -> Iterator[tuple[int, str, str, set[str] | None]]:
    """Line, class, code and names of the details of every error that is made with a literal code.

    None instead of names where they cannot be told from the source.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        code = node.args[0].value
        if not isinstance(code, str):
            continue
        if name == "refuse":
            yield node.lineno, CertificateRejected.__name__, code, None
        elif name in ERRORS:
            details = {keyword.arg for keyword in node.keywords if keyword.arg}
            yield node.lineno, name, code, details if len(details) == len(node.keywords) else None


def wrong_codes(module: Module) -> list[str]:
    """The errors that could not be made: no such code in the catalogue of the class, or a detail is missing."""
    found = []
    for line, name, code, details in codes_given(module.tree):
        entry = ERRORS[name].catalogue.get(code)
        if entry is None:
            found.append(f"{module.path}:{line}: {name} has no code {code}")
        elif details is not None and (missing := placeholders(entry.what + entry.hint) - details):
            found.append(f"{module.path}:{line}: {name} {code} lacks {', '.join(sorted(missing))}")
    return found


def placeholders(text: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(text) if field}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_every_error_is_in_its_catalogue(module):
    assert wrong_codes(module) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("raise PeerMisbehaved('no_such_code')", "PeerMisbehaved has no code no_such_code"),
        ("raise errors.PeerMisbehaved('bad_alert')", "PeerMisbehaved bad_alert lacks length"),
        ("return refuse('no_such_code', 'why')", "CertificateRejected has no code no_such_code"),
        ("raise PeerMisbehaved('bad_alert', length=3)", None),
        ("raise PeerMisbehaved('bad_alert', **details)", None),
    ],
)
def test_the_check_of_codes(line, complaint):
    found = wrong_codes(Module("bad.py", ast.parse(line)))
    assert found == ([] if complaint is None else [f"bad.py:1: {complaint}"])


@pytest.mark.parametrize(
    ("error", "code"), [(error, code) for error in ERRORS.values() for code in error.catalogue], ids=str
)
def test_every_error_says_what_and_what_to_do(error, code):
    entry = error.catalogue[code]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", code)
    assert entry.what
    assert not entry.what.endswith(".")
    assert entry.hint or error.default_hint
    assert not (entry.hint or error.default_hint).endswith(".")
    assert all(name.isidentifier() for name in placeholders(entry.what + entry.hint + error.default_hint))


# Limits


LIMITS = sorted(name for name in vars(limits) if name.isupper())


def names_used(some: Iterator[ast.AST]) -> set[str]:
    """The names and attributes mentioned in some trees, and the strings, by which tests name what they replace."""
    nodes = [node for tree in some for node in ast.walk(tree)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return attributes | strings | names


def test_every_limit_is_used():
    used = names_used(module.tree for module in modules())
    assert [name for name in LIMITS if name not in used] == []


def test_every_limit_has_a_test():
    files = (path for path in (ROOT / "tests").rglob("test_*.py") if path.name != "test_repository.py")
    used = names_used(ast.parse(path.read_bytes()) for path in files)
    assert [name for name in LIMITS if name not in used] == []


# Size


def size_complaints(path: str, text: str) -> list[str]:
    """Where a file is larger than a person reads in one sitting, or a function than a screen, or nested too deep."""
    lines = text.count("\n")
    most = MOST_LINES_OF_DECLARATIONS if path in DECLARATIONS else MOST_LINES
    found = [f"{path}: {lines} lines"] if lines > most else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_LINES_OF_A_FUNCTION:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines")
            if (depth := nesting(node)) > DEEPEST_NESTING:
                found.append(f"{path}:{node.lineno}: {node.name} is nested {depth} deep")
    return found


def nesting(node: ast.AST) -> int:
    """How many blocks stand inside of each other below a node; ``elif`` is no deeper than its ``if``."""
    blocks = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)
    deepest = 0
    for child in ast.iter_child_nodes(node):
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child) + (isinstance(child, blocks) and not is_elif))
    return deepest


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_files_and_functions_are_of_a_size_to_read(module):
    path = f"src/handfast/{module.path}"
    assert size_complaints(path, (ROOT / path).read_text()) == []


def test_the_check_of_size():
    tower = "def f():\n" + "".join("    " * depth + "if x:\n" for depth in range(1, 6)) + "    " * 6 + "pass\n"
    assert size_complaints("bad.py", tower) == ["bad.py:1: f is nested 5 deep"]
    assert size_complaints("bad.py", "def f():\n" + "    pass\n" * 60) == ["bad.py:1: f has 61 lines"]
    assert size_complaints("bad.py", "pass\n" * 451) == ["bad.py: 451 lines"]
    assert size_complaints("good.py", "pass\n" * 450) == []
    for declarations in DECLARATIONS:
        assert (ROOT / declarations).is_file()
        assert size_complaints(declarations, "pass\n" * 650) == []
        assert size_complaints(declarations, "pass\n" * 651) == [f"{declarations}: 651 lines"]
    chain = "def f():\n    if x:\n        pass\n" + "    elif x:\n        pass\n" * 5
    assert size_complaints("good.py", chain) == []


# Requirements


def test_what_is_installed_is_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[><=]", one)[0].lower() for one in project["dependencies"]}
    imports = {dotted.split(".")[0].lower() for module in modules() for _, dotted in imported(module)}
    assert wanted <= imports


def test_requirements_are_pinned_and_hashed():
    pins = {}
    for path in (ROOT / "requirements").glob("*.txt"):
        content = path.read_text().replace("\\\n", " ")
        requirements = [line for line in content.splitlines() if line and not line.startswith("#")]
        hashed = re.compile(r"[a-z0-9.-]+==[\w.]+( +--hash=sha256:[0-9a-f]{64})+")
        assert [line for line in requirements if not hashed.fullmatch(line)] == []
        pins[path.name] = {line.partition("==")[0] for line in requirements}
    beside = ["bench", "clients", "consumers", "doctor", "frameworks", "fuzz", "page", "scan", "sslyze"]
    assert set(pins) == {f"{name}.txt" for name in ["test", *beside]}
    pinned = pins["test.txt"]
    third_party = {dotted.split(".")[0].lower() for module in modules() for _, dotted in imported(module)}
    assert third_party & {"cryptography", "click", "h11"} <= pinned
    assert {"pytest", "hypothesis", "mypy", "ruff", "pyopenssl", "flit-core"} <= pinned

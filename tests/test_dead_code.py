"""Nothing is defined in the package that nothing there, in the examples or in the documentation speaks of."""

from __future__ import annotations

import ast
import enum
import importlib
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.syntax import ROOT, SOURCE, Module, modules

if TYPE_CHECKING:
    from collections.abc import Iterator

# Each with the reason why it stays.
EXCEPTIONS = {
    "contrib/django/apps.py: HandfastConfig": "Django looks for it by its place",
    "tools/pages/flights.py: LATER": "the order after the handshake, which the tests hold the machines against",
    "tools/pages/flights.py: may_come": "reads these tables for the tests",
    "tools/pages/flights12.py: FLIGHTS_12": "as LATER, for TLS 1.2",
    "io/aio/sendfile.py: TakesFiles._sendfile_compatible": "asyncio's loop.sendfile asks for it",
    "pki/authority.py: CertificateAuthority.ocsp_responder": "for the users of handfast.pki; CHANGELOG.md tells of it",
}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)


def definitions(node: ast.AST, owner: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions, methods, classes and constants below a node by qualified name, dunders and fields left out."""
    for child in ast.iter_child_nodes(node):
        inside, names = owner, list[str]()
        if isinstance(child, (*FUNCTIONS, ast.ClassDef)):
            names = [child.name]
            inside = f"{owner}{child.name}."
        elif isinstance(node, (ast.Module, ast.ClassDef)) and isinstance(child, (ast.Assign, ast.AnnAssign)):
            is_field = isinstance(child, ast.AnnAssign) and owner and "ClassVar" not in ast.unparse(child.annotation)
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            named = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
            names = [] if is_field else named
        yield from ((owner + name, child) for name in names if not name.startswith("__"))
        yield from definitions(child, inside)


def spoken_of(tree: ast.AST) -> Counter[str]:
    """How often each name is used below a node, also as a string or as a keyword; imports alone use nothing."""
    found: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()) | ast.Name(id=name, ctx=ast.Load()):
                found[name] += 1
            case ast.keyword(arg=str(name)) | ast.Constant(value=str(name)):
                found[name] += 1
            case ast.MatchClass(kwd_attrs=names):
                found.update(names)
    return found


def documented() -> set[str]:
    """The words of all code in the documentation."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return {word for page in pages for code in CODE.findall(page.read_text()) for word in re.findall(r"\w+", code)}


def dead(module: Module, used: Counter[str]) -> Iterator[str]:
    """What a module defines and nobody uses; a function that only calls itself is not used."""
    for qualified, node in definitions(module.tree):
        name = qualified.rpartition(".")[2]
        own = spoken_of(node)[name] if isinstance(node, (*FUNCTIONS, ast.ClassDef)) else 0
        if used[name] == own and not called_by_others(module, qualified):
            yield f"{module.path}: {qualified}"


def called_by_others(module: Module, qualified: str) -> bool:
    """Whether a name in a class is a registry's entry, or overrides one of a class that is not ours."""
    owner, _, name = qualified.rpartition(".")
    dotted = ".".join(("handfast", *module.path.removesuffix(".py").split("/"))).removesuffix(".__init__")
    try:
        here: Any = importlib.import_module(dotted) if owner and (SOURCE / module.path).exists() else None
    except ModuleNotFoundError as error:
        # A module of contrib whose server is not installed here: what it extends cannot be seen.
        return not (error.name or "handfast").startswith("handfast")
    kind = getattr(here, owner, None)
    if not isinstance(kind, type):
        return False
    theirs = [base for base in kind.__mro__ if not base.__module__.startswith("handfast")]
    return issubclass(kind, enum.Enum) or any(name in vars(base) for base in theirs)


def test_no_dead_code():
    used: Counter[str] = Counter(documented())
    examples = [ast.parse(path.read_bytes()) for path in (ROOT / "examples").glob("*.py")]
    for tree in (*examples, *(module.tree for module in modules())):
        used.update(spoken_of(tree))
    assert sorted(name for module in modules() for name in dead(module, used)) == sorted(EXCEPTIONS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("LIMIT = 1", ["LIMIT"]),
        ("LIMIT: int = 1\nprint(LIMIT)", []),
        ("def f():\n    f()", ["f"]),
        ("def f(): ...\ndef _g():\n    f()", ["_g"]),
        ("class A:\n    field: int\n    def m(self): ...\n    def __len__(self): ...\nA()", ["A.m"]),
        ("class A:\n    def m(self): ...\nA().m = 1", ["A.m"]),
        ("def f():\n    def g(): ...\nf", ["f.g"]),
        ("import f\ndef f(): ...\ngetattr(x, 'f')", []),
    ],
)
def test_the_check(source, found):
    module = Module("bad.py", ast.parse(source))
    assert list(dead(module, spoken_of(module.tree))) == [f"bad.py: {name}" for name in found]

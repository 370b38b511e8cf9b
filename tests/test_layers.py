"""Imports point to a lower layer only, so that a part can be read, tested and replaced without those above it."""

from __future__ import annotations

import ast

import pytest

from tests.layers import LAYERS, PAGE, with_table
from tests.syntax import SOURCE, Module, imported, modules

HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}

HAZMAT_FOLDERS = {"crypto", "pki"}
"""Primitives are chosen in ``crypto`` alone; ``pki`` must name hashes to sign certificates."""


def part_of(dotted: str) -> str | None:
    """Which part of LAYERS an absolute dotted name is about; None for what is not handfast's."""
    package, _, rest = dotted.partition(".")
    if package != "handfast":
        return None
    name = rest.split(".")[0]
    return name if (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file() else "__init__"


def upward_imports(module: Module) -> list[str]:
    """The imports that break the rule."""
    own = module.path.split("/")[0].removesuffix(".py")
    found = []
    for line, dotted in imported(module):
        part = part_of(dotted)
        if part is not None and part != own and HEIGHT[part] >= HEIGHT[own]:
            found.append(f"{module.path}:{line} imports {dotted}, which is not below {own}")
    return found


def hazmat_imports(module: Module) -> list[str]:
    """The imports of primitives."""
    return [
        f"{module.path}:{line} imports {dotted}"
        for line, dotted in imported(module)
        if dotted.startswith("cryptography.hazmat")
    ]


def test_every_module_has_a_layer():
    parts = {module.path.split("/")[0].removesuffix(".py") for module in modules()}
    assert parts - HEIGHT.keys() == set()


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_imports_point_downwards(module):
    assert upward_imports(module) == []


def test_primitives_are_imported_in_their_folder_only():
    outside = [module for module in modules() if module.path.split("/")[0] not in HAZMAT_FOLDERS]
    assert [line for module in outside for line in hazmat_imports(module)] == []


def names_in(module: Module) -> set[str]:
    """Every name that a module uses, imports or defines, and the modules that it imports from."""
    found = {dotted.rpartition(".")[2] for _, dotted in imported(module)}
    for node in ast.walk(module.tree):
        found |= {str(getattr(node, field, "")) for field in ("id", "attr", "name", "arg", "module")}
    return found


def version_of(module: Module) -> str:
    """The version that a module is of, by the end of its name or by its folder; "" for one that is of none."""
    folder, _, name = module.path.removesuffix(".py").rpartition("/")
    return "12" if folder.endswith("tls12") else name[-2:] if name[-2:] in ("12", "13") else ""


def of_other_versions(module: Module) -> set[str]:
    """What a module that is of one version says of another.

    TLS 1.3 says 1.2 in its legacy_version, for which there is the name TLS12.
    """
    other = {"12": "13", "13": "12"}.get(version_of(module))
    if other is None:
        return set()
    names = names_in(module) | {part for _, dotted in imported(module) for part in dotted.split(".")}
    return {name for name in names if name.rstrip("_").endswith(other)} - {"TLS12"}


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.path)
def test_below_the_fork_no_file_names_another_version(module):
    assert of_other_versions(module) == set()


def test_the_check_of_versions():
    assert len([module for module in modules() if version_of(module)]) > 10
    for line in (
        "import handfast.handshake.tls12.client",
        "import handfast.record.protection12",
        "from handfast.crypto.suites12 import X",
        "SUITES_12",
        "a.b12",
    ):
        assert of_other_versions(Module("handshake/client13.py", ast.parse(line))), line
    assert not of_other_versions(Module("handshake/client13.py", ast.parse("negotiate.TLS12")))
    assert of_other_versions(Module("handshake/tls12/client.py", ast.parse("from x import TLS13")))


@pytest.mark.parametrize(
    ("path", "line", "breaks"),
    [
        ("wire/codec.py", "from handfast.engine import config", True),
        ("wire/codec.py", "import handfast.engine.config", True),
        ("wire/codec.py", "from handfast import engine", True),
        ("wire/codec.py", "from ..engine import config", True),
        ("wire/codec.py", "from handfast import connect", True),
        ("wire/codec.py", "def f():\n    from handfast.crypto import hashes", True),
        ("wire/codec.py", "from handfast import errors", False),
        ("wire/codec.py", "from .messages import Alert", False),
        ("wire/codec.py", "import ssl, handfastening", False),
        ("errors/peer.py", "import handfast.wire.codec", True),
        ("errors/peer.py", "from handfast.registry import AlertDescription", False),
    ],
)
def test_the_check_of_layers(path, line, breaks):
    assert bool(upward_imports(Module(path, ast.parse(line)))) == breaks


def test_the_check_of_primitives():
    module = Module("wire/codec.py", ast.parse("def f():\n    from cryptography.hazmat.primitives import hashes"))
    assert hazmat_imports(module) == ["wire/codec.py:2 imports cryptography.hazmat.primitives.hashes"]


def graph(of: tuple[Module, ...]) -> dict[str, set[str]]:
    """Which modules each module imports, wherever in it and for whatever use."""
    names = {module: module.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for module in of}
    known = set(names.values())
    found: dict[str, set[str]] = {}
    for module, name in names.items():
        inside = [dotted.removeprefix("handfast.") for _, dotted in imported(module)]
        # ``from a import b`` imports the module b of a, or a.
        targets = {one if one in known else one.rpartition(".")[0] for one in inside}
        found[name] = (targets & known) - {name, "__init__"}
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """The names along one circle of ``arrows``; [] if there is none."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    if not left:
        return []
    walked = [next(iter(left))]
    while True:
        following = min(left[walked[-1]] & left.keys())
        if following in walked:
            return [*walked[walked.index(following) :], following]
        walked.append(following)


def test_no_modules_import_each_other_in_a_circle():
    assert circle(graph(modules())) == []


def test_the_check_of_circles():
    def arrows(**sources: str) -> dict[str, set[str]]:
        return graph(tuple(Module(f"{name}.py", ast.parse(source)) for name, source in sources.items()))

    lazily = "def f():\n    from handfast.a import g"
    assert circle(arrows(a="from handfast import b", b="from handfast.c import f", c=lazily)) == ["a", "b", "c", "a"]
    assert circle(arrows(a="from handfast import b, c", b="from handfast.c import f", c="import ast")) == []


def test_the_page_shows_this_table():
    page = PAGE.read_text()
    assert page == with_table(page), "write it anew: python -m tests.layers"

"""A helper of the handshake that is called without ``yield from`` builds a generator that nobody runs.

That silently skips a check, and no linter sees it. So in `handshake/` and `engine/` every call of a generator function
of `handshake/`, and every mention of a method with the name of a helper, must stand directly under ``yield from``; a
need that is made must be asked right there; and only context.py may yield by itself.
"""

from __future__ import annotations

import ast

import pytest

from tests.syntax import Module, modules

HELPERS = {"expect", "maybe", "ask", "sign", "judge", "choose", "resolve"}
"""The names of what a handshake waits for, methods of the hands."""

EXCEPTIONS = {
    ("handshake/needs.py", "self.credentials.signer.sign"),  # another object's method: this is where the need is met
    ("engine/driver.py", "need.ask"),  # another one too: this is where the question is put
    ("engine/client.py", "client"),  # the connection is given the generator, and runs it
    ("engine/server.py", "server"),
    ("handshake/post_auth.py", "answer_request"),  # these are begun here, and the connection runs them
    ("handshake/post_auth.py", "request_identity"),
}

MODULES = (*modules("handshake"), *modules("engine"))

NEEDS = {
    node.name
    for module in MODULES
    if module.path == "handshake/needs.py"
    for node in module.tree.body
    if isinstance(node, ast.ClassDef)
}


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def yields(function: ast.FunctionDef) -> bool:
    """Whether a function is a generator function; what a function inside of it does is not its own doing."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return False


def generator_functions(some: tuple[Module, ...]) -> set[str]:
    """The names of the generator functions and methods of some modules."""
    return {function.name for module in some for function in functions(module.tree) if yields(function)}


def forgotten(module: Module, generators: set[str]) -> list[str]:
    """The mentions of helpers and generator functions that nobody waits for."""
    awaited = {
        id(node.value.func)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.YieldFrom) and isinstance(node.value, ast.Call)
    }
    called = {id(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            suspect = node.attr in HELPERS or (node.attr in generators and id(node) in called)
        elif isinstance(node, ast.Name):
            suspect = node.id in generators | HELPERS and id(node) in called
        else:
            continue
        text = ast.unparse(node)
        if suspect and id(node) not in awaited and (module.path, text) not in EXCEPTIONS:
            found.append(f"{module.path}:{node.lineno}: {text} without yield from")
    return found


def unasked(module: Module) -> list[str]:
    """The needs that are made and not asked."""
    asked = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "ask":
            asked |= {id(argument) for argument in node.args}
        elif isinstance(node, ast.Yield):
            asked.add(id(node.value))
    return [
        f"{module.path}:{node.lineno}: {node.func.id} is not asked"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in NEEDS and id(node) not in asked
    ]


def yielding_by_itself(module: Module) -> list[str]:
    """The bare yields."""
    return [f"{module.path}:{node.lineno}: yield" for node in ast.walk(module.tree) if isinstance(node, ast.Yield)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)
def test_nothing_is_forgotten(module):
    assert forgotten(module, generator_functions(modules("handshake"))) == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.path)
def test_every_need_is_asked(module):
    assert unasked(module) == []


def test_only_the_flow_yields():
    assert [
        line for module in MODULES if module.path != "handshake/context.py" for line in yielding_by_itself(module)
    ] == []


def test_there_is_something_to_check():
    generators = generator_functions(modules("handshake"))
    assert generators >= {
        "expect",
        "maybe",
        "ask",
        "sign",
        "judge",
        "client13",
        "server13",
        "prove_identity",
        "read_certificate_verify",
        "answer_request",
        "request_identity",
    }
    assert {"Sign", "Judge", "Redeem", "Issue", "Find", "Keep", "CheckReplay", "Choose", "Resolve"} <= NEEDS
    waits = [node for module in MODULES for node in ast.walk(module.tree) if isinstance(node, ast.YieldFrom)]
    assert len(waits) > 10


def test_no_exception_is_out_of_date():
    names = {
        (module.path, ast.unparse(node.func))
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
    }
    assert names >= EXCEPTIONS


GENERATORS = """
def prove(hs):
    yield from hs.sign()

def plain(hs):
    def inner():
        yield 1
    return inner
"""


@pytest.mark.parametrize(
    "line",
    [
        "hs.expect(Finished)",
        "finished = hs.expect(Finished)",
        "return hs.maybe(Finished, before=Certificate)",
        "wait = hs.expect",
        "hs.ask(Keep(store, session_id, state, policy, lifetime))",
        "session = yield hs.ask(Redeem(tickets, ticket, policy))",
        "finished = yield hs.expect(Finished)",
        "yield from [hs.expect(Finished)]",
        "prove(hs)",
        "proof = identity.prove(hs)",
        "yield from (prove(hs) if certain else ())",
        "signature = credentials.signer.sign(scheme, content)",
    ],
)
def test_what_is_forgotten_is_found(line):
    module = Module("handshake/bad.py", ast.parse(f"def story(hs):\n    {line}"))
    assert len(forgotten(module, {"prove"})) == 1


@pytest.mark.parametrize(
    "line",
    [
        "finished = yield from hs.expect(Finished)",
        "return (yield from prove(hs))",
        "state = decode((yield from hs.ask(Redeem(tickets, ticket, policy))))",
        "check((yield from identity.prove(hs)))",
        "hs.send(prove)",
        "plain(hs)",
        "self.expected = hs.send(expect=1)",
    ],
)
def test_what_is_waited_for_is_not(line):
    module = Module("handshake/good.py", ast.parse(f"def story(hs):\n    {line}"))
    assert forgotten(module, {"prove"}) == []


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("Keep(store, session_id, state, policy, lifetime)", 1),
        ("ticket = Issue(tickets, state, policy, lifetime)", 1),
        ("return (yield from hs.ask(decode(Redeem(tickets, ticket, policy))))", 1),
        ("return (yield from hs.ask(Redeem(tickets, ticket, policy)))", 0),
        ("return as_verdict((yield Judge(verifier, presented)))", 0),
    ],
)
def test_a_need_that_nobody_asks_is_found(line, count):
    module = Module("handshake/some.py", ast.parse(f"def story(hs):\n    {line}"))
    assert len(unasked(module)) == count


def test_generator_functions_and_yields_are_found():
    module = Module("handshake/bad.py", ast.parse(GENERATORS))
    assert generator_functions((module,)) == {"prove", "inner"}
    assert yielding_by_itself(module) == ["handshake/bad.py:7: yield"]

"""The catalogue of causes: each entry is whole, and its fixes can be filled in."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from handfast.cli import program
from handfast.doctor import catalogue
from tests.doctor import causes_page

CAUSES = catalogue.causes()
FAULTS = {"client", "server", "path", "neither"}
IN_ALL_PROGRAMS = ("server_asks", "client_shows_certificate", "server_trusts_client_ca", "client_trusts_server_ca")


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.code)
def test_a_cause_is_whole(cause: catalogue.KnownCause) -> None:
    assert re.fullmatch(r"[a-z][a-z_]+", cause.code)
    assert cause.fault in FAULTS
    for words in (cause.says, cause.signs, cause.needs, *(fix.does for fix in cause.fixes)):
        assert words
        assert words[-1] != "."
        assert "{" not in words
    assert cause.fixes
    assert all(fix.templates["command"] for fix in cause.fixes)


def test_an_entry_with_sides_makes_a_cause_for_each() -> None:
    assert catalogue.cause("client_expired").says == "the client's certificate, or one above it, has expired"
    assert catalogue.cause("server_expired").says == "the server's certificate, or one above it, has expired"
    assert catalogue.cause("client_crl_stale").fault == "server"


@pytest.mark.parametrize("name", catalogue.fixes())
def test_a_fix_is_filled_with_what_is_known(name: str) -> None:
    fix = catalogue.fixes()[name]
    filled = fix.filled({"host": "www.example", "port": "8443", "cert": "alice.pem", "crl": ""})
    assert filled.keys() == fix.templates.keys()
    text = "\n".join(filled.values())
    assert not re.search(r"\$(?!ssl_client|allowed)\w", text)
    assert "HOST" not in text
    assert "client.pem" not in text or "client.pem" in str(fix.templates)


@pytest.mark.parametrize("name", IN_ALL_PROGRAMS)
def test_what_is_most_often_wrong_can_be_mended_everywhere(name: str) -> None:
    assert catalogue.fixes()[name].filled({}).keys() == catalogue.PLACES.keys()


OUR_COMMANDS = [
    pytest.param(fix.filled({})["command"], id=name)
    for name, fix in catalogue.fixes().items()
    if fix.templates["command"].startswith("handfast ")
]


@pytest.mark.parametrize("command", OUR_COMMANDS)
def test_our_own_commands_are_ones_that_there_are(command: str) -> None:
    _, *words = shlex.split(command, comments=True)
    found: click.Command | None = program
    context = click.Context(program, info_name="handfast")
    while words and isinstance(found, click.Group) and (below := found.get_command(context, words[0])) is not None:
        context = click.Context(below, info_name=words.pop(0), parent=context)
        found = below
    assert found is not None
    assert found is not program
    known = {name for parameter in found.params for name in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def test_the_page_lists_them() -> None:
    page = causes_page.PAGE.read_text()
    assert causes_page.with_table(page) == page

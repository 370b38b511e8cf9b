"""docs/endpoint.md, docs/errors.md and docs/messages.md say what the code does."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from handfast.errors import HandfastError
from handfast.tools.endpoint import Shutdown
from handfast.tools.endpoint.flags import parser
from handfast.tools.endpoint.report import (
    Exported,
    Failure,
    FatalAlert,
    Judgement,
    Negotiated,
    Outcome,
    PresentedCertificate,
)
from handfast.tools.pages.error_codes import classes, error_table
from handfast.tools.pages.messages import message_page
from tests.sentences import all_sentences

DOCS = Path(__file__).parents[2] / "docs"
ENDPOINT = (DOCS / "endpoint.md").read_text()
PARTS = (Failure, FatalAlert, Negotiated, PresentedCertificate, Judgement, Exported)


def section(title: str) -> str:
    """The text under one heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", ENDPOINT, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def first_cells(text: str) -> str:
    return "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("|"))


def test_every_flag_is_described_and_no_other():
    known = {flag for action in parser()._actions for flag in action.option_strings} - {"-h", "--help"}
    assert set(re.findall(r"`(--[a-z-]+)", first_cells(section("Flags")))) == known


def test_every_way_to_end_is_described():
    assert all(f"| `{how}` |" in section("Flags") for how in Shutdown)


def test_every_field_is_described():
    line = json.loads(Outcome(role="client", error=None, negotiated=None).to_json())  # type: ignore[arg-type]
    assert set(re.findall(r"`(\w+)`", first_cells(section("Fields of a line")))) == set(line)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_field_of_a_part_is_described(part):
    assert all(f"`{field.name}`" in section("Fields of a line") for field in fields(part))


def test_the_page_of_errors_is_current():
    assert (DOCS / "errors.md").read_text() == error_table(), (
        "write it anew: python -m handfast.tools.pages.error_codes > docs/errors.md"
    )


def test_the_page_of_errors_has_every_code_and_says_what_it_means():
    assert set(classes()) == set(HandfastError.__subclasses__())
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", error_table(), re.MULTILINE)
    assert [code for code, _, _ in rows] == [code for kind in classes() for code in kind.catalogue]
    for code, _, meaning in rows:
        assert re.sub(r"\*\w+\*", "", meaning).strip(" :"), code


def test_the_page_of_messages_is_current_and_has_every_sentence():
    page = (DOCS / "messages.md").read_text()
    assert page == message_page(), "write it anew: python -m handfast.tools.pages.messages > docs/messages.md"
    # Only its section is shown, of bytes that do not decode.
    assert [text for text in all_sentences() if text not in page] == ["The rules by which bytes are read."]


def test_the_links_of_the_page_of_messages_lead_to_its_headings():
    page = (DOCS / "messages.md").read_text()
    headings = set(re.findall(r"^### (\w+)$", page, re.MULTILINE))
    assert set(re.findall(r"\(#(\w+)\)", page)) <= headings

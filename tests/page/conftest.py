"""A browser for the run, windows for each test, and the pages they look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handfast.lens.page.page import render
from tests.lens.page.stories import scenario, story_of
from tests.lens.page.test_page import hostile_story
from tests.page.browser import Window, chromium, missing


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    why = missing()
    if why and os.environ.get("HANDFAST_PAGE") == "1" and os.environ.get("HANDFAST_REQUIRE_PEERS") == "1":
        pytest.fail(why)
    if why:
        pytest.skip(why)
    with chromium() as started:
        yield started


@pytest.fixture
def window(browser: Any) -> Iterator[Callable[..., Window]]:
    """Opens windows, and closes them; one that complained fails the test."""
    opened: list[Window] = []

    def open_window(**options: Any) -> Window:
        opened.append(Window(browser, **options))
        return opened[-1]

    yield open_window
    for one in opened:
        one.context.close()
        assert one.quiet, (one.complaints, one.requests)


def two() -> str:
    stories = [
        story_of(scenario("mutual").client_side, title="A client with a certificate"),
        story_of(scenario("declined").client_side, title="A client without a certificate"),
    ]
    return render(stories, compared=True)


def many() -> str:
    """Two hundred connections, most of them the same one told again."""
    good, bad = scenario("mutual").server_side, scenario("certificate_required").server_side
    return render([story_of(bad if number % 10 == 0 else good) for number in range(200)])


MADE: dict[str, Callable[[], str]] = {
    "two": two,
    "many": many,
    "hostile": lambda: render([hostile_story()]),
    "with secrets": lambda: render([story_of(scenario("mutual").client_side, "all")]),
    "in Chinese": lambda: render([story_of(scenario("mutual").client_side)], language="zh"),
}


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The file:// address of a page: one of ``MADE``, or that of a connection of tests/passive."""
    folder = tmp_path_factory.mktemp("pages")
    made: dict[str, str] = {}

    def address_of(name: str) -> str:
        if name not in made:
            path = folder / f"{len(made)}.html"
            make = MADE.get(name)
            path.write_text(make() if make else render([story_of(scenario(name).client_side)]), "utf-8")
            made[name] = path.as_uri()
        return made[name]

    return address_of

"""Debian's Chromium, driven by Playwright, without any network of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tests.waiting import LIMIT

QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run")


def missing() -> str:
    """Why there is no browser to test with; "" if there is one."""
    if os.environ.get("HANDFAST_PAGE") != "1":
        return "HANDFAST_PAGE=1 is not set: make page"
    if find_spec("playwright") is None:
        return "playwright is not installed: make page"
    return "" if shutil.which("chromium") else "chromium is not installed: apt install chromium"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, until the block ends."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*QUIET])
        yield browser
        browser.close()


class Window:
    """One window; what it complains of, asks for or pops up is kept."""

    def __init__(self, browser: Any, **options: Any) -> None:
        width = options.pop("width", 1280)
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.context.set_default_timeout(LIMIT * 1000)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.requests.append(request.url))

    def _dismiss(self, dialog: Any) -> None:
        self.complaints.append(dialog.message)
        dialog.dismiss()

    def open(self, address: str) -> Any:
        """Open a page, and nothing else."""
        self.page.goto(address)
        return self.page

    @property
    def quiet(self) -> bool:
        """Whether it loaded a file and nothing more, and complained of nothing."""
        return not self.complaints and all(url.startswith("file:") for url in self.requests)

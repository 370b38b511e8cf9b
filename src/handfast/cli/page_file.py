"""``--html``: the file that a page is written to, when the program ends and while a server goes on."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handfast import limits
from handfast.cli import ui
from handfast.cli.in_options import in_options
from handfast.cli.verdict_words import DESCRIBER
from handfast.errors import ConfigError, bad_option
from handfast.files import PRIVATE, check_replaceable, errors_for, setuid, write_whole
from handfast.fork import renew_in_children
from handfast.lens.page.page import MARK, Page
from handfast.lens.page.story import Story

if TYPE_CHECKING:
    from handfast.roles import Role

_READABLE = 0o666
# Between two writings of a server's page lies so much more time than one takes.
_PAUSE = 10


class PageFile:
    """The page of one run. ``compared`` shows two connections side by side.

    Raises ConfigError for a path where it cannot be written, or where something else than a page is.
    """

    _lock: threading.Lock

    def __init__(self, path: Path, secrets: str | None, language: Any = "en", *, compared: bool = False) -> None:
        if setuid():
            raise bad_option("--html", "not for a program that runs with another user's rights", "leave it out")
        check_replaceable(path, replace=_is_page(path))
        self.path = path
        self._secrets: Any = secrets or "none"
        self._compared = compared
        self._page = Page(language)
        self._stories: list[Story] = []
        self._over: list[Story] = []
        self._more = 0
        renew_in_children(self, _lock=threading.Lock)
        self._due = 0.0
        self._waiting = self._closed = False

    def story(self, role: Role | None, **about: Any) -> Story:
        """The story of another connection, which ``add`` puts on the page."""
        story: Story
        story = Story(
            role,
            secrets=self._secrets,
            describer=DESCRIBER,
            reword=in_options,
            over=lambda: self._ended(story),
            **about,
        )
        return story

    def add(self, story: Story) -> None:
        """Tell of a connection, unless there are too many."""
        with self._lock:
            if len(self._stories) < limits.PAGE_CONNECTIONS:
                self._stories.append(story)
            else:
                self._more += 1

    def write_at_end(self, *, and_meanwhile: bool = False) -> None:
        """Write it when the command ends; a server's also after each connection."""
        self._waiting = not and_meanwhile
        click.get_current_context().call_on_close(self._close)

    def write(self) -> None:
        """Write what there is. Raises ConfigError."""
        with self._lock:
            if self._closed:
                return
            html = self._page.render(self._stories, over=self._over, more=self._more, compared=self._compared)
            write_whole(self.path, html.encode(), _READABLE if self._secrets == "none" else PRIVATE)

    def _close(self) -> None:
        written = self._try()
        # A writing that begins now would be cut off by the end of the process.
        with self._lock:
            self._closed = True
        if written:
            held = "" if self._secrets == "none" else ": whoever has that file can read the connection"
            ui.note(f"wrote the page {self.path}, to be opened in a browser{held}")

    def _try(self) -> bool:
        try:
            self.write()
        except ConfigError as error:
            ui.warn(f"{error.what}: the page is not written")
            return False
        return True

    def _ended(self, story: Story) -> None:
        """A connection is over: write now, or soon."""
        self._over.append(story)
        if self._waiting:
            return
        self._waiting = True
        timer = threading.Timer(max(0.0, self._due - time.monotonic()), self._meanwhile)
        timer.daemon = True
        timer.start()

    def _meanwhile(self) -> None:
        self._waiting = False
        started = time.monotonic()
        self._try()
        now = time.monotonic()
        self._due = now + _PAUSE * (now - started)


def _is_page(path: Path) -> bool:
    """Whether a file is there that a page may replace: an older page, or nothing yet."""
    if not path.is_file():
        return False
    with errors_for(path), open(path, "rb") as file:
        return file.read(len(MARK)) in (b"", MARK)

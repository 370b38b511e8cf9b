"""Stories -> one HTML file: the data as JSON, the program and the looks inline, and nothing that is loaded.

The policy in the file lets nothing run but this program, told by its hash; what a peer says is data, and reaches the
document as text only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

from handfast import limits
from handfast.lens.page import plain_words
from handfast.lens.page.story_data import told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handfast.lens.page.story import Story

Language = Literal["en", "zh"]
# What every page starts with: by this a page is known that may be replaced.
MARK = b"<!doctype html><!-- handfast page -->"


class Page:
    """A page that can be made again while stories go on; a story that is over is told once.

    ``language`` is the one that it opens in: both are in it, and a switch changes it.
    """

    def __init__(self, language: Language = "en") -> None:
        self._language = language
        self._told: dict[int, str] = {}

    def render(
        self, stories: Sequence[Story], *, over: Sequence[Story] = (), more: int = 0, compared: bool = False
    ) -> str:
        """The HTML of these stories, the first ``PAGE_CONNECTIONS`` of them; ``more`` counts others that there were.

        Those in ``over`` change no more. ``compared`` shows two side by side, with what differs marked.
        """
        shown = stories[: limits.PAGE_CONNECTIONS]
        finished = set(map(id, over))
        parts = []
        for story in shown:
            part = self._told.get(id(story))
            if part is None:
                part = _json(told(story))
                if id(story) in finished:
                    self._told[id(story)] = part
            parts.append(part)
        data = {
            "language": self._language,
            "chinese": plain_words.chinese(),
            "compared": compared,
            "connections": [_summary(story) for story in shown],
            "more": more + len(stories) - len(shown),
        }
        return _fill(_json(data), parts, title=_title(shown))


def render(stories: Sequence[Story], *, language: Language = "en", compared: bool = False) -> str:
    """The HTML page of these stories, in the language that it opens in."""
    return Page(language).render(stories, compared=compared)


def _summary(story: Story) -> dict[str, Any]:
    """What the list of connections says of one before it is opened."""
    end = story.verdict()
    return {
        "title": story.title,
        "client": story.client,
        "server": story.server,
        "line": end.line,
        "hint": end.hint,
        "failed": end.failed,
        "started": story.started or 0.0,
    }


def _title(stories: Sequence[Story]) -> str:
    return stories[0].verdict().line if len(stories) == 1 else f"{len(stories)} TLS connections"


def _json(data: object) -> str:
    """JSON that ends no element, opens no comment and holds no line break that old programs trip over."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _fill(data: str, stories: list[str], *, title: str) -> str:
    # Not needed by who makes no page.
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    style, script = _file("page.css"), _file("page.js")
    html = environment.from_string(_file("template.html.j2")).render(
        title=title,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=data,
        stories=stories,
    )
    return MARK.decode() + html


def _file(name: str) -> str:
    from importlib import resources

    return (resources.files(__package__) / name).read_text("utf-8")


def _hash(text: str) -> str:
    """A source of a Content Security Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

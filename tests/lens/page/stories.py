"""Stories of connections in memory, for the tests of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handfast.cli.in_options import in_options
from handfast.events import SecretDerived
from handfast.lens.page.story import Story
from tests.passive.test_same_stream import SCENARIOS

if TYPE_CHECKING:
    from tests.passive.recorded import Pair, Side


def story_of(side: Side, secrets: Any = "none", **about: Any) -> Story:
    """What one side of a connection told; a secret comes before the event that names it."""
    ends = {"client": "127.0.0.1:51515", "server": "127.0.0.1:1337"}
    story = Story(side.role, secrets=secrets, reword=in_options, **ends | about)
    waiting = list(side.secrets)
    for event in side.events:
        if isinstance(event, SecretDerived):
            found = [one for one in waiting if one.name == event.name][:1]
            for one in found:
                story.secret(one)
                waiting.remove(one)
        story(event)
    return story


def scenario(name: str) -> Pair:
    """A connection of ``tests/passive``, by its name there."""
    connect: Any = SCENARIOS[name]
    pair: Pair = connect()
    return pair

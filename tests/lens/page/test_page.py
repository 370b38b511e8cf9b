"""The file itself: what is in it, what must not be, and that nothing in it can be more than text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

import handfast.lens.page
from handfast import limits
from handfast.errors import CertificateRejected
from handfast.events import MessageSeen, RecordSeen, SecretLevel
from handfast.lens.page import plain_words
from handfast.lens.page.page import MARK, render
from handfast.lens.page.rows import _SAID
from handfast.lens.page.story import Story
from handfast.outcome.describer import Describer
from handfast.pki.authority import CertificateAuthority
from handfast.registry import ContentType
from handfast.roles import Role
from handfast.wire.messages import NewSessionTicket
from tests.counting import instructions
from tests.lens.connections import client_config, server_config, verifier
from tests.lens.page.stories import scenario, story_of
from tests.passive.recorded import Pair, talk
from tests.syntax import SOURCE
from tests.waiting import LIMIT

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>&\u2028\u202e'\"`${1}"


def data_of(html: str) -> list[Any]:
    """All JSON of a page."""
    return [json.loads(found) for found in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html)]


@cache
def page(name: str, secrets: str = "none") -> str:
    return render([story_of(scenario(name).client_side, secrets)])


@pytest.mark.parametrize("name", ["mutual", "early data", "TLS 1.2", "TLS 1.2, resumed with a new ticket", "KeyUpdate"])
def test_nothing_secret_is_in_a_page_unless_asked_for(name: str) -> None:
    pair = scenario(name)
    for side in pair.sides:
        content = [
            event.content.hex()
            for event in side.events
            if isinstance(event, RecordSeen) and event.content_type == ContentType.application_data and event.content
        ]
        messages = [event.message for event in side.events if isinstance(event, MessageSeen)]
        tickets = [message.ticket.hex() for message in messages if isinstance(message, NewSessionTicket)]
        by_level = {
            level: {secret.value.hex() for secret in side.secrets if secret.level is level} for level in SecretLevel
        }
        html = render([story_of(side)])
        for value in [*content, *tickets, *by_level[SecretLevel.TRAFFIC], *by_level[SecretLevel.ALL]]:
            assert value not in html
        html = render([story_of(side, "traffic")])
        for value in [*tickets, *by_level[SecretLevel.ALL] - by_level[SecretLevel.TRAFFIC]]:
            assert value not in html
        assert all(value in html for value in content[:1])
        assert any(value in html for value in by_level[SecretLevel.TRAFFIC])


def test_a_psk_identity_is_hidden_where_it_crossed_the_wire_in_the_clear() -> None:
    pair = scenario("resumed")
    hello = next(event for event in pair.client_side.events if getattr(event, "raw", b"")[:1] == b"\1")
    identity = hello.message.extensions[41].identities[0].identity  # type: ignore[attr-defined]
    assert identity.hex() in render([story_of(pair.client_side, "all")])
    assert identity.hex() not in render([story_of(pair.client_side, "traffic")])


def test_what_is_hidden_says_how_to_show_it() -> None:
    (_, told) = data_of(page("mutual"))
    hidden = [row["h"] for item in told["items"] for row in item.get("inner", ()) if "h" in row]
    assert hidden == ["traffic", "traffic"]
    script = (SOURCE / "lens" / "page" / "page.js").read_text()
    assert '{ traffic: "--secrets", all: "--secrets=all" }' in script


@pytest.mark.parametrize("name", ["mutual", "HelloRetryRequest", "authentication after the handshake", "small records"])
def test_a_handshake_takes_less_than_a_megabyte(name: str) -> None:
    assert len(page(name).encode()) < 400_000


def test_making_a_page_is_cheap() -> None:
    """A million bytecodes are some 30 ms."""
    story = story_of(scenario("mutual").client_side)
    render([story])
    assert instructions(lambda: render([story])) < 1_000_000


def test_the_policy_lets_nothing_but_this_program_run() -> None:
    html = page("mutual")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert style
    assert len(scripts) == 1

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; script-src {hashed(scripts[0])}; style-src {hashed(style[1])};"
        " base-uri 'none'; form-action 'none'"
    )
    # Links that a person follows are all that leads out of it.
    without_links = html.replace("https://www.rfc-editor.org/rfc/rfc${found[1]}${where}", "")
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", without_links) == []
    assert html.startswith(MARK.decode())


def hostile_story() -> Story:
    """Names, certificates, protocols and data that would be markup if they could."""
    authority = CertificateAuthority.create(HOSTILE.replace("\u2028", " ").replace("\u202e", " ")[:60])
    issued = authority.client("</script><b>alice</b> $& {1}")
    pair = Pair(
        client_config(issued, application_protocols=("http/1.1", "</script><i>")),
        server_config(verifier=verifier(authority), ca_names=()),
    )
    talk(pair)
    return story_of(pair.server_side, "all", title=HOSTILE, client=HOSTILE)


def test_nothing_that_a_peer_says_is_markup() -> None:
    html = render([hostile_story()])
    plain = page("mutual")
    for markup in ("<script", "</script", "<!--", "<img", "<b>", "<i>"):
        assert html.count(markup) == plain.count(markup)
    summary, told = data_of(html)
    assert summary["connections"][0]["title"] == HOSTILE
    # RFC 4514 has its own escapes.
    assert "script><b>alice</b>" in json.dumps(told).replace("\\", "")


def test_long_names_make_no_long_page() -> None:
    """A certificate of 60 KiB may be one name, and a page says it a dozen times."""
    name = "W" * 60_000
    describer = Describer(identity=lambda _: name, certificate=lambda _: [name], name=lambda _: name)
    html = render([story_of(scenario("mutual").server_side, describer=describer)])
    assert "W" * limits.PAGE_NAME + "…" in html
    assert "W" * (limits.PAGE_NAME + 1) not in html
    assert len(html) < 400_000


def test_connections_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGE_CONNECTIONS", 2)
    summary, *stories = data_of(render([Story(Role.SERVER)] * 5))
    assert (len(summary["connections"]), summary["more"], len(stories)) == (2, 3, 2)


def said_in_the_program() -> set[str]:
    """The texts that page.js gives to ``t`` and ``many``."""
    script = (SOURCE / "lens" / "page" / "page.js").read_text()
    found: set[str] = set()
    for start in re.finditer(r"\b(?:t|many)\(", script):
        depth, at = 1, start.end()
        arguments = ""
        while depth:
            depth += {"(": 1, ")": -1}.get(script[at], 0)
            if script[at] == '"':
                end = script.index('"', at + 1)
                arguments += script[at : end + 1] if depth == 1 else ""
                at = end
            at += 1
        found |= set(re.findall(r'"([^"]*)"', arguments))
    return found


def test_all_that_the_page_says_itself_is_there_in_chinese() -> None:
    said = said_in_the_program() - {"", "--secrets", "traffic", "zh", "choice", "C>S", "secret", "complete"}
    assert len(said) > 80
    said |= {one.sentence for sentences in _SAID.values() for one in sentences}
    said |= {f"{epoch} keys" for epoch in ("early data", "handshake", "application", "unknown")}
    said |= {f"verdict {code}" for code in CertificateRejected.catalogue}
    assert said - plain_words.chinese().keys() == set()


def test_the_language_that_it_opens_in() -> None:
    story = Story(Role.SERVER)
    assert [data_of(render([story], language=code))[0]["language"] for code in ("en", "zh")] == ["en", "zh"]


def test_the_library_does_not_load_what_makes_pages() -> None:
    program = "import handfast, handfast.lens, sys; handfast.connect; print({'jinja2', 'tomllib'} & sys.modules.keys())"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT)
    assert shown.stdout == "set()\n", shown.stderr
    assert handfast.lens.page.__doc__

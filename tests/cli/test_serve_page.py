"""docs/serve.md: its options are options, its limits are the limits."""

from __future__ import annotations

import re

from handfast import limits
from handfast.cli.serve import command
from tests.syntax import ROOT

PAGE = (ROOT / "docs" / "serve.md").read_text()


def test_every_option_that_the_page_names_is_one():
    known = {name for parameter in command.params for name in parameter.opts}
    named = set(re.findall(r"--[a-z][a-z-]*[a-z]", PAGE.replace("handfast connect localhost:1337 --cacert", "")))
    assert named - known - {"--help"} == set()
    assert {"--www", "--chat", "--once", "--naccept", "--staple", "--allow-dns"} <= named


def test_the_limits_that_the_page_tells():
    idle, stall = f"{limits.HTTP_IDLE_TIMEOUT:g} s", f"{limits.HTTP2_STALL_TIMEOUT:g} s"
    body = f"{limits.HTTP_BODY_TIMEOUT:g} s, {limits.HTTP_BODY >> 20} MiB"
    resets = f"{limits.HTTP2_RESETS_AT_ONCE} at once, then {limits.HTTP2_RESETS_PER_SECOND:g} per second"
    frames = f"{limits.HTTP2_IDLE_FRAMES_AT_ONCE} at once, then {limits.HTTP2_IDLE_FRAMES_PER_SECOND:g} per second"
    streams = f"{limits.HTTP2_STREAMS}; {limits.HTTP2_BODIES >> 20} MiB"
    told = [row.split("|")[2].strip() for row in PAGE.partition("may cost")[2].splitlines() if row.startswith("|")]
    heads = f"{idle}, {limits.HTTP_HEAD >> 10} KiB"
    assert told[2:] == [str(limits.SERVE_CONNECTIONS), heads, body, idle, stall, streams, resets, frames]

"""Lenses: functions of a connection's events. None is known to the engine; each turns the one story into one view.

``Trace`` writes what happens as text, ``KeyLog`` the secrets for Wireshark, a ``Flow`` of a ``CaptureFile`` the packets
with their keys, and ``Outcome`` is what came of a connection as data, with the ``Cause`` of a refusal. The words for an
outcome are ``verdict_line.line`` and ``verdict_line.hint``. A ``Story`` keeps a connection for a page, which
``render_page`` makes of several. All are observers, given as ``observers=[...]``; what must
hear of secrets, too, is among the ``secret_sinks``.
"""

from handfast.lens import verdict_line
from handfast.lens.keylog import KeyLog
from handfast.lens.outcome import Outcome
from handfast.lens.page.page import render as render_page
from handfast.lens.page.story import Story
from handfast.lens.pcapng import CaptureFile, Flow
from handfast.lens.trace import Trace
from handfast.outcome.cause import Cause, CauseCode, HttpAnswer, Manner
from handfast.outcome.describer import Describer

__all__ = [
    "CaptureFile",
    "Cause",
    "CauseCode",
    "Describer",
    "Flow",
    "HttpAnswer",
    "KeyLog",
    "Manner",
    "Outcome",
    "Story",
    "Trace",
    "render_page",
    "verdict_line",
]

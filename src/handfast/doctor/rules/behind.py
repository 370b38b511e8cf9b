"""Servers that let the client in, and whose answer says that something failed after that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.doctor.finding import Finding
from handfast.doctor.inputs import Input
from handfast.doctor.rules.refusal import speaks_behind
from handfast.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.doctor.evidence import Attempt, Evidence

# Statuses of a gateway about what is behind it. RFC 9110 15.6.3 to 15.6.5.
_OF_GATEWAYS = frozenset({502, 503, 504})
_FAILED_FROM = 500


def failed_behind(evidence: Evidence) -> Iterator[Finding]:
    """What is behind the server failed, or wants a certificate of the server's own."""
    for one in evidence.last_attempts:
        if speaks_behind(one):
            shown = "though one was shown" if one.client_chain else "though the server asked for none"
            said = f"{_answer(one)}, and its page says that no certificate was sent, {shown}"
            yield Finding(causes=("behind_the_server",), evidence=(said,))
        elif one.http is not None and one.http.status in _OF_GATEWAYS:
            yield Finding(causes=("behind_the_server",), evidence=(_answer(one),), separates=Input.SERVER_LOG)


def failed_itself(evidence: Evidence) -> Iterator[Finding]:
    """The server says that it failed."""
    for one in evidence.last_attempts:
        if one.http is not None and one.http.status >= _FAILED_FROM and one.http.status not in _OF_GATEWAYS:
            yield Finding(causes=("server_failed",), evidence=(_answer(one),), separates=Input.SERVER_LOG)


def _answer(one: Attempt) -> str:
    answer = one.http
    said = "" if answer is None else f"{answer.status} {escape(answer.reason)}"
    return f"{one.title}: the server answered HTTP {said}".rstrip()

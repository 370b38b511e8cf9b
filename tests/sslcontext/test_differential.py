"""The drop-in beside the stock context: what a program sees is the same, or the difference is listed, and is better."""

from __future__ import annotations

import re
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sslcontext.pairs import OURS, STOCK, Files
from tests.sslcontext.situations import SITUATIONS

# Where the C file and its line stand in the stock text.
ROOT = Path(__file__).parents[2]
OUR_MODULE = "handfast.io.sslcontext.wrapped."
_PLACE = re.compile(r" \(_ssl\.c:\d+\)")


def seen(situation: Any, kind: Any, files: Files) -> dict[str, object]:
    """What a program gets: a result, or all that it can compare of an error."""
    try:
        return {"returned": situation(kind, files)}
    except Exception as error:
        found: dict[str, object] = {
            "class": _class_of(error),
            "text": _PLACE.sub("", str(error)).replace(OUR_MODULE, "ssl."),
        }
        if isinstance(error, ssl.SSLError):
            for name in ("reason", "library", "verify_code", "verify_message"):
                found[name] = getattr(error, name, None)
            found["errno"] = error.args[0]
        return found


def _class_of(error: BaseException) -> str:
    return type(error).__name__


# What differs, with why ours is better.
BETTER = {
    "a_context_that_is_none": "the sentence says whose context is wanted",
    "a_file_that_is_missing": "the error names the file",
    "no_host_name": "check_hostname without a name to check raises over buffers too, as it does over sockets",
}
# Where Python's ssl ignores an end without close_notify by default (Debian 12's) it also names one otherwise when it is
# told not to, by an SSLError that is no SSLEOFError. Ours names it as other releases do.
ENDS_BEFORE_SSLEOFERROR = {
    "a_peer_that_vanishes_over_sockets",
    "a_peer_that_vanishes_suppressed_over_sockets",
    "ragged_end",
    "ragged_end_into",
    "ragged_end_in_a_record",
    "ragged_end_in_unwrap",
    "end_in_the_handshake",
    "end_before_a_hello",
}
# Python's ssl of 3.10 to 3.12 calls a reset an end: a read returns b"", a write raises SSLEOFError. Ours tells it as
# those before and after do.
RESETS = {
    "a_read_after_a_reset_over_sockets",
    "a_read_after_a_reset_unsuppressed_over_sockets",
    "a_write_after_a_reset_over_sockets",
}
IGNORES_ENDS = bool(STOCK(ssl.PROTOCOL_TLS_CLIENT).options & ssl.OP_IGNORE_UNEXPECTED_EOF)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", SITUATIONS)
def test_both_show_the_same(name: str, files: Files) -> None:
    ours, stock = (seen(SITUATIONS[name], kind, files) for kind in (OURS, STOCK))
    if name in BETTER or (IGNORES_ENDS and name in ENDS_BEFORE_SSLEOFERROR):
        assert ours != stock, "it is listed as different"
    elif name in RESETS and sys.version_info < (3, 13):
        assert ours["class"] == "ConnectionResetError"
        assert ours == stock or stock.get("class") == "SSLEOFError" or stock == {"returned": b""}
    else:
        assert ours == stock


def test_the_documented_table_is_this_list() -> None:
    page = (ROOT / "docs" / "migration.md").read_text().split("### What differs")[1].split("## From pyOpenSSL")[0]
    rows = dict(re.findall(r"^\| (?!situation)([a-z].*?) \| (.*) \|$", page, re.MULTILINE))
    assert rows == {name.replace("_", " "): why for name, why in BETTER.items()}

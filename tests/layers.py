"""The layers of the package, the lowest first: the table that ``test_layers`` checks and docs/architecture.md shows.

``python -m tests.layers`` writes the table in docs/architecture.md anew.
"""

from __future__ import annotations

from tests.syntax import ROOT, SOURCE

LAYERS: tuple[dict[str, str], ...] = (
    {
        "registry": "IANA's numbers, their names and what they mean",
        "limits": "every limit, with the source of its value",
        "text": "escaping of foreign text",
        "der": "a little DER",
        "host_names": "what a host name is",
        "token_bucket": "rates",
        "memory": "what is kept of pure functions",
        "fork": "locks that are new in a forked child",
        "roles": "client and server, and the directions in which they send",
    },
    {
        "errors": "the error classes, and the one catalogue: code -> alert, sentence, section, hint",
        "logs": "lines in the log, and their flood held back",
        "file_contents": "what a file is that is not what was wanted",
        "http2_bounds": "what two sides may cost each other over HTTP/2",
        "http2_frames": "what h2 leaves to others of HTTP/2's frames",
    },
    {
        "wire": "bytes <-> messages, declared as the RFC prints them",
        "crypto": "the only folder that does cryptography, and the providers behind it",
        "files": "private files",
        "verdict": "what judging a peer's chain came to",
        "words": "names and modes as a program says them",
    },
    {
        "connection_info": "what is known of a connection and of its peer",
        "number_options": "numbers that a program gives, and their bounds",
    },
    {"events": "what observers hear"},
    {"keys": "the key schedule as stages", "pki": "making certificates", "x509": "reading them"},
    {
        "record": "record protection, records and the messages in them",
        "credentials": "who we are",
        "outcome": "how a connection failed: data, and the words for it",
    },
    {
        "trust": "who the peer is: roots, verifiers; `path/` to a root, `revocation/`",
        "lens": "events -> an outcome, and text; `page/`: one that a browser draws",
        "sessions": "what outlives a connection",
    },
    {
        "config": "what a connection is told before it starts",
        "lint": "what files of certificates hold, and what will be refused",
        "reload": "credentials, roots and lists that are read anew",
    },
    {
        "handshake": "the story: one generator per role and version; `tls12/`",
        "passive": "a capture and a key log -> the same events",
    },
    {"engine": "one connection of either role, without I/O"},
    {"io": "shells around the engine that move bytes and know no protocol"},
    {
        "aio": "the asyncio shell under its public name",
        "fleet": "sessions that several processes share",
        "keyholder": "a key in another process",
        "tools": "the scriptable endpoint; `pages/` that are made from the code",
    },
    {
        "contrib": "who the client is, under servers and frameworks of others; a module for each that imports it",
        "proxy": "TLS before a service that speaks none, and who may come to it",
        "doctor": "why mutual TLS fails: evidence of connections, files, captures and logs -> causes",
    },
    {"cli": "one file per verb; `ui.py` holds the output rules"},
    {"__main__": "`python -m handfast`", "__init__": "the public names, each loaded when it is first used"},
)
"""What stands in ``src/handfast``, folders and modules. Inside a folder imports may not go in a circle; what stands
side by side here must not know of each other."""

PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- layers: python -m tests.layers -->\n", "<!-- end of layers -->\n"


def table() -> str:
    """The layers as a table in Markdown."""
    rows = ["| layer | what | in one sentence |", "|---|---|---|"]
    for height, parts in enumerate(LAYERS):
        for name, sentence in parts.items():
            shown = f"{name}/" if (SOURCE / name).is_dir() else f"{name}.py"
            rows.append(f"| {height} | `{shown}` | {sentence} |")
    return "\n".join(rows) + "\n"


def with_table(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return before + START + table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))

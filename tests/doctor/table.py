"""docs/doctor-faults.md: what the doctor says of each fault, beside what curl, requests and the server's log say.

``python -m tests.doctor.table`` writes it anew from what happens, with the s_server, nginx and curl of this machine
and the requests of ``tests.doctor.others``.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from handfast.pki.fault_scene import FaultNames
from tests.doctor.matrix import CLIENTS, SERVER_CASES, Answer, Cast, ask, target
from tests.doctor.others import python_with
from tests.doctor.recorded import recorded
from tests.doctor.servers import PROGRAMS, SERVERS, Running
from tests.peers.base import REQUEST
from tests.syntax import ROOT
from tests.waiting import LIMIT

PAGE = ROOT / "docs" / "doctor-faults.md"
_HEAD = """# What the doctor says of each fault

Written by `python -m tests.doctor.table` from what happens: a server and a client on one machine, one fault each, in
TLS 1.3. `tests/doctor` meets the same faults at nginx, HAProxy, stunnel, hitch, s_server, Go, Node, Python's ssl and
handfast, in TLS 1.2 and 1.3, with names that say nothing (`make doctor-matrix`).

The doctor was given the client's files and a connection; under "both sides" also what the server trusts, its list of
revoked certificates, and the certificates of the CAs. Where it names several causes, the evidence leaves them open, and
it says what would tell which.

Of what requests says there stand the exception and, behind "caused by", what it was made of; what is the same in each
(the host, the port, that it tried no more) is left out.
"""
_PROTOCOLS = """## Before certificates, and above TLS

Each row is a test of `tests/doctor/test_protocol_faults.py`, by its name, and what the doctor answered in it. It was
given the client's files and a connection; in the last column besides that the server's log, or its certificate file.
"""
_FILES = """## Files alone

Each row is a case of `tests/doctor/test_files.py`, without a connection: what the doctor says of the files of both
sides, and of the client's by themselves, beside the CA that both trust. `handfast certs --fault NAME` makes them.
"""

# What stands for a program that complains of nothing.
ACCEPTED = "no error"


class Row(NamedTuple):
    """One line of a table."""

    fault: str
    alone: str
    both: str
    others: tuple[str, ...]
    log: str


def client_rows(directory: Path) -> Iterator[Row]:
    """Faults of the client's certificate, at s_server, and nginx's log of the same."""
    for case in CLIENTS:
        folder = directory / f"client-{case.name}"
        folder.mkdir()
        cast = Cast(folder, 0, FaultNames())
        issued = case.client(cast)
        files: tuple[Path, ...] = () if issued is None else cast.identity("client", issued)
        own: tuple[object, ...] = () if issued is None else ("--cert", files[0], "--key", files[1])
        with SERVERS["s_server"](cast.setting("1.3", crl=cast.crl)) as running:
            alone = ask(*target(running), "--cacert", cast.ca, *own)
            known = ("--client-ca", cast.ca, "--crl", cast.crl, "--issuer", cast.issuer)
            both = ask(*target(running), "--cacert", cast.ca, *own, *known)
            others = what_others_say(running, cast, files)
        with SERVERS["nginx"](cast.setting("1.3", crl=cast.crl)) as running:
            curl_says(running, cast, files)
            log = nginx_line(running)
        yield Row(f"client: {case.name}", said(alone), said(both), others, log)


def server_rows(directory: Path) -> Iterator[Row]:
    """Faults of the server's certificate, at s_server."""
    for case in SERVER_CASES:
        folder = directory / f"server-{case.name}"
        folder.mkdir()
        cast = Cast(folder, 0, FaultNames())
        setting = cast.setting("1.3", cast.identity("other", case.server(cast.scene)))
        with SERVERS["s_server"](replace(setting, client_ca=None)) as running:
            alone = ask(*target(running, case.host), "--cacert", cast.ca)
            both = ask(*target(running, case.host), "--cacert", cast.ca, "--issuer", cast.issuer)
            others = what_others_say(running, cast, (), case.host)
            log = last_error(running.log())
        yield Row(f"server: {case.name}", said(alone), said(both), others, log)


def protocol_rows() -> Iterator[str]:
    """What the doctor answered in the tests of faults that are not of certificates."""
    yield "| what is wrong | the doctor | the doctor, given more |"
    yield "|---|---|---|"
    for row in recorded("tests/doctor/test_protocol_faults.py"):
        first, *more = [_findings(answer) for answer in row.answers]
        yield f"| {row.title} | {first} | {more[0] if more else '-'} |"


def file_rows() -> Iterator[str]:
    """What the doctor answered in the tests of files: those of both sides, and the client's by themselves."""
    said_of: dict[str, dict[bool, str]] = {}
    for row in recorded("tests/doctor/test_files.py"):
        test, _, case = row.title.partition(": ")
        said_of.setdefault(case, {})[test.startswith("the client")] = _findings(row.answers[0])
    yield "| files | the doctor, both sides' files | the doctor, the client's files and the CA |"
    yield "|---|---|---|"
    yield from (f"| files: {case} | {said[False]} | {said.get(True, '-')} |" for case, said in said_of.items())


def said(answer: Answer) -> str:
    """The causes: those of a finding with "or", findings with a semicolon."""
    return _findings(answer.findings)


def _findings(findings: Iterable[Iterable[str]]) -> str:
    return "; ".join(" or ".join(f"`{code}`" for code in finding) for finding in findings) or "nothing is wrong"


def what_others_say(running: Running, cast: Cast, files: tuple[Path, ...], host: str = "localhost") -> tuple[str, ...]:
    return tuple(says(running, cast, files, host) for says in (curl_says, s_client_says, python_says, requests_says))


def curl_says(running: Running, cast: Cast, files: tuple[Path, ...], host: str = "localhost") -> str:
    own = ("--cert", files[0], "--key", files[1]) if files else ()
    where = ("--connect-to", f"::127.0.0.1:{running.port}", f"https://{host}:{running.port}/")
    done = _run("curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", cast.ca, *own, *where)
    line = next((line for line in done.stderr.splitlines() if line.startswith("curl: ")), "")
    return _cell(line) or (ACCEPTED if done.returncode == 0 else f"status {done.returncode}")


def s_client_says(running: Running, cast: Cast, files: tuple[Path, ...], host: str = "localhost") -> str:
    own = ("-cert", files[0], "-key", files[1]) if files else ()
    name = ("-verify_ip", host) if host[0].isdigit() else ("-verify_hostname", host)
    where = ("-connect", f"127.0.0.1:{running.port}", "-CAfile", cast.ca, "-verify_return_error", "-ign_eof", *name)
    done = _run("openssl", "s_client", *where, *own, typed="GET / HTTP/1.0\r\n\r\n")
    text = done.stdout + done.stderr
    return last_error(text) or _cell(next(iter(re.findall(r"^verify error:.*$", text, re.MULTILINE)), "")) or ACCEPTED


def python_says(running: Running, cast: Cast, files: tuple[Path, ...], host: str = "localhost") -> str:
    """Python's ssl: what httpx and aiohttp say begins with this."""
    context = ssl.create_default_context(cafile=cast.ca)
    try:
        if files:
            context.load_cert_chain(files[0], files[1])
        with (
            socket.create_connection(("127.0.0.1", running.port), LIMIT) as tcp,
            context.wrap_socket(tcp, server_hostname=host) as tls,
        ):
            tls.sendall(REQUEST)
            tls.recv(1)
            return ACCEPTED
    except OSError as error:
        return _cell(re.sub(r" \(_ssl\.c:\d+\)", "", str(error)))


def requests_says(running: Running, cast: Cast, files: tuple[Path, ...], host: str = "localhost") -> str:
    """requests, in a Python of its own."""
    command = (python_with("requests"), PROGRAMS / "fetch.py", "requests", LIMIT, f"https://{host}:{running.port}/")
    done = _run(*command, cast.ca, *files, environment={**os.environ, "NO_PROXY": "*"})
    if done.returncode == 0:
        return ACCEPTED
    name, _, said = done.stderr.strip().rpartition("\n")[2].partition(": ")
    cause = re.search(r"Caused by (.*)\)", said)
    what = f"caused by {cause[1]}" if cause else said
    return _cell(f"{name.rpartition('.')[2]}: {re.sub(r' ?[(]_ssl[.]c:[0-9]+[)]|HTTPSConnection.*?: ', '', what)}")


@cache
def requests_title() -> str:
    """requests with its version and Python's."""
    script = "import platform, requests; print(requests.__version__, 'Python', platform.python_version_tuple()[1])"
    version, _, minor = _run(python_with("requests"), "-c", script).stdout.split()
    return f"requests {version}, Python 3.{minor}"


def last_error(text: str) -> str:
    """What OpenSSL's last line of an error says, without numbers that differ from run to run."""
    found = re.findall(r"error:[0-9A-F]+:(.*?):\.\./.*?(?::(SSL alert number \d+))?$", text, re.MULTILINE)
    return _cell(": ".join(part for part in found[-1] if part).rpartition("::")[2]) if found else ""


def nginx_line(running: Running) -> str:
    found = re.findall(r"\[info\] \S+ \*\d+ (.*?)(?: while|, client:|$)", running.log(), re.MULTILINE)
    return _cell(found[-1]) if found else ""


def _run(
    *command: object, typed: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(
        words, input=typed, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False
    )


def _cell(text: str) -> str:
    return re.sub(r"OpenSSL/[\d.]+: |(?<=\s)/\S+/", "", text.strip()).replace("|", "\\|")


def judgements(text: str) -> dict[str, tuple[str, ...]]:
    """Of a page: by its fault what the doctor says in each row, without what others say."""
    return {fault: (alone, both) for fault, alone, both, *_ in _rows(text)}


def of_requests(text: str) -> dict[str, str]:
    """Of a page: what requests says, by the fault, in the column with the version of today.

    Of clients it is only whether it complains: which of its calls meets the server's refusal is a matter of time.
    """
    found, column = {}, -1
    for fault, *cells in _rows(text):
        if fault == "fault":
            column = cells.index(requests_title()) if requests_title() in cells else -1
        elif column >= 0 and len(cells) > column:
            refused = cells[column] != ACCEPTED
            found[fault] = str(refused) if fault.startswith("client: ") else cells[column]
    return found


def _rows(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in rows]


def page(rows: list[Row], *, in_server: str) -> Iterator[str]:
    titles = (
        "fault",
        "the doctor, client's files",
        "the doctor, both sides",
        "curl",
        "s_client",
        "Python's ssl",
        requests_title(),
        in_server,
    )
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join((row.fault, row.alone, row.both, *row.others, row.log))} |"


def written() -> str:
    """The page of today."""
    with TemporaryDirectory() as folder:
        directory = Path(folder)
        clients = page(list(client_rows(directory)), in_server="nginx's log")
        servers = page(list(server_rows(directory)), in_server="s_server")
        parts = [_HEAD, "## Clients", "", *clients, "", "## Servers", "", *servers, ""]
    return "\n".join([*parts, _PROTOCOLS, *protocol_rows(), "", _FILES, *file_rows(), ""])


if __name__ == "__main__":
    PAGE.write_text(written())
    sys.stderr.write(f"wrote {PAGE.name}\n")

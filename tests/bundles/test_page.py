"""docs/curl-mtls.md: its tables are what was measured, and its commands do what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from handfast.pki.faults import FaultNames, write_fault
from tests.bundles.conftest import serving
from tests.bundles.tools import CONSUMERS, ENVIRONMENT, TOOLS, VARIABLES, fetch, go_program
from tests.certificates import ca, server
from tests.peers.base import require_peer
from tests.waiting import LIMIT

PAGE = (Path(__file__).parents[2] / "docs" / "curl-mtls.md").read_text()
measured = pytest.mark.skipif(not CONSUMERS, reason="make consumers runs them")
SYSTEM = "the CA is in the system's store"


def table(name: str) -> list[list[str]]:
    """The rows of a table, without its head, each as its cells without backticks."""
    found = re.search(rf"<!-- {name} -->\n((?:\|.*\n)+)", PAGE)
    assert found is not None
    head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in found[1].splitlines()]
    assert head[1:] == [*TOOLS] or name in ("order", "logged")
    return [[cell.replace("`", "") for cell in row] for row in rows]


def cells(name: str) -> list[tuple[str, str, bool]]:
    """Row, tool and whether it is said to trust."""
    return [
        (row, tool, {"yes": True, "no": False}[said])
        for row, *answers in table(name)
        for tool, said in zip(TOOLS, answers, strict=True)
    ]


class Pair(NamedTuple):
    """Two places of one tool, and whether they count together; if not, the first does alone."""

    tool: str
    first: str
    second: str
    together: bool


def pairs() -> list[Pair]:
    return [
        Pair(tool, first, second, together=one == other)
        for tool, order in table("order")
        for (one, first), (other, second) in combinations(
            [(rank, name) for rank, names in enumerate(order.split(", ")) for name in names.split(" and ")], 2
        )
    ]


def test_the_tables_speak_of_every_variable_and_tool() -> None:
    rows = " ".join(row for row, *_ in table("variables"))
    assert all(variable in rows for variable in VARIABLES)
    assert [client for client, _ in table("logged")] == [*TOOLS]
    # Whoever heeds two of the variables that any tool may heed has an order.
    heeded: dict[str, set[str]] = {}
    for row, tool, said in cells("variables"):
        if said and row.split(",")[0].isupper():
            heeded.setdefault(tool, set()).add(row.split(",")[0])
    ordered = {tool: set(re.split(", | and ", order)) for tool, order in table("order")}
    assert ordered == {tool: names for tool, names in heeded.items() if len(names) > 1}


@measured
@pytest.mark.parametrize(("row", "tool", "said"), [one for one in cells("variables") if one[0] != SYSTEM])
def test_who_heeds_which_variable(row, tool, said, url, right):
    done = fetch(tool, url, right[row])
    assert (done.returncode == 0) is said, done.stderr


@measured
@pytest.mark.parametrize(("row", "tool", "said"), [one for one in cells("variables") if one[0] == SYSTEM])
def test_who_trusts_the_systems_store(row, tool, said, url, right, tmp_path):
    """The store is another one for this process alone, which needs a mount namespace."""
    store = tmp_path / "certs"
    shutil.copytree("/etc/ssl/certs", store, symlinks=True)
    bundle = (store / "ca-certificates.crt").read_bytes()
    (store / "ca-certificates.crt").unlink()
    (store / "ca-certificates.crt").write_bytes(bundle + ca().certificate_pem)
    shutil.copytree(
        right["SSL_CERT_DIR, names by openssl rehash"]["SSL_CERT_DIR"], store, symlinks=True, dirs_exist_ok=True
    )
    unshare = [require_peer("unshare"), "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    done = fetch(tool, url, {}, (*unshare, "sh", "-c", 'mount --bind "$0" /etc/ssl/certs && exec "$@"', str(store)))
    assert "mount:" not in done.stderr
    assert (done.returncode == 0) is said, done.stderr


@measured
@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: f"{pair.tool}: {pair.first}, {pair.second}")
def test_which_of_two_counts(pair, url, right, wrong):
    def name(variable: str) -> str:
        return f"{variable}, names by openssl rehash" if variable == "SSL_CERT_DIR" else variable

    first, second = name(pair.first), name(pair.second)
    assert fetch(pair.tool, url, right[first] | wrong[second]).returncode == 0
    assert (fetch(pair.tool, url, wrong[first] | right[second]).returncode == 0) is pair.together


@measured
@pytest.mark.parametrize(("fault", "tool", "said"), cells("names"))
def test_who_accepts_a_certificate_without_the_name(fault, tool, said, tmp_path):
    write_fault(fault, tmp_path / "pki", FaultNames(), replace=False)
    trust, store = tmp_path / "pki" / "ca.pem", tmp_path / "trust.p12"
    keytool = [require_peer("keytool"), "-importcert", "-noprompt", "-alias", "ours", "-file", trust]
    subprocess.run(
        [*keytool, "-keystore", store, "-storepass", "changeit"], check=True, capture_output=True, timeout=LIMIT
    )
    java = f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword=changeit"
    variables = {name: str(trust) for name in VARIABLES if name not in ("SSL_CERT_DIR", "JAVA_TOOL_OPTIONS")}
    with serving(tmp_path / "pki", "--cert", "server.pem", "--key", "server.key") as port:
        done = fetch(tool, f"https://localhost:{port}/", variables | {"JAVA_TOOL_OPTIONS": java})
    assert (done.returncode == 0) is said, done.stderr


@measured
@pytest.mark.parametrize(("client", "logged"), table("logged"))
def test_what_go_logs_of_a_client_that_refuses(client, logged, tmp_path):
    (tmp_path / "server.pem").write_bytes(server().cert_pem)
    (tmp_path / "server.key").write_bytes(server().key_pem)
    command = [go_program(), "serve", tmp_path / "server.pem", tmp_path / "server.key"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            port = process.stdout.readline().strip()
            assert fetch(client, f"https://localhost:{port}/", {}).returncode != 0
            assert process.stderr.readline().rstrip().endswith(f": {logged}")
        finally:
            process.terminate()


# The commands


class Command(NamedTuple):
    """A line after a dollar sign, and the lines that the page shows of what it prints."""

    line: str
    shown: list[str]


def commands() -> list[Command]:
    found: list[Command] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            else:
                found[-1].shown.append(line)
    return found


def test_a_command_is_shown_for_each_option_that_the_page_is_about() -> None:
    lines = " ".join(command.line for command in commands())
    assert all(option in lines for option in ("--cert", "--key", "--cacert", "--client-ca", "--fault"))


@measured
def test_the_commands_do_what_is_shown(tmp_path):
    program = tmp_path / "bin" / "handfast"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m handfast "$@"\n')
    program.chmod(0o755)
    environment = ENVIRONMENT | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    port = 0
    with ExitStack() as stack:
        for line, shown in commands():
            if line.startswith("handfast serve "):
                stack.close()
                port = stack.enter_context(serving(tmp_path, *shlex.split(line)[2:]))
                continue
            done = subprocess.run(
                ["sh", "-c", line.replace(":1337/", f":{port}/")],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                cwd=tmp_path,
                env=environment,
            )
            refused = any(one.startswith(("curl: (", "handfast: error: ")) for one in shown)
            assert (done.returncode != 0) is refused, (line, done.stderr)
            printed = iter((done.stdout + "\n" + done.stderr).splitlines())
            for one in shown:
                pattern = ".*".join(map(re.escape, one.split("...")))
                assert any(re.fullmatch(pattern, text) for text in printed), (line, one, done.stdout, done.stderr)

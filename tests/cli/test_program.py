"""The program as a whole: help, usage, exit statuses, and that nothing ends in a traceback."""

from __future__ import annotations

import io
import platform
import shlex
import signal
import subprocess
import sys
from importlib import import_module

import pytest

from handfast.cli import VERBS, ui
from handfast.cli.certs import SUBCOMMANDS
from handfast.cli.suggestions import INSTEAD
from tests.cli.conftest import CLEAN_ENVIRONMENT, finish, on_a_terminal, shown_until, start
from tests.waiting import LIMIT


def test_help_imports_no_verb_and_no_engine():
    code = (
        "import sys; from handfast.cli import main; main(['--help']); "
        "print(sorted(name for name in sys.modules if name.startswith(('handfast.cli.', 'handfast.engine', 'ssl'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN_ENVIRONMENT)
    assert done.stdout.splitlines()[-1] == "['handfast.cli.ui']"
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_opens_its_help_with_examples(run, verb):
    result = run(verb, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Examples:\n  handfast {verb}")
    assert f"Usage: handfast {verb} " in result.out


def test_the_program_alone_shows_its_help(run):
    assert run().out == run("--help").out


def test_version(run):
    result = run("--version")
    assert result.status == 0
    names = [line.split()[0] for line in result.out.splitlines()]
    assert names == ["handfast", platform.python_implementation(), "cryptography", "OpenSSL"]
    assert platform.python_version() in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["conect"], ["no such command"]),
        (["--nope"], ["no such option", "--nope"]),
        (["connect"], ["missing argument 'TARGET'", "handfast connect --help"]),
        (["connect", "--trac", "a:1"], ["no such option: --trac", "did you mean --trace?"]),
        (["connect", "--trace=everything", "a:1"], ["--trace", "'names', 'fields', 'bytes'"]),
        (["connect", "--secrets", "a:1"], ["--secrets", "no --trace", "--trace=bytes"]),
        (["connect", "--explain", "a:1"], ["--explain", "no --trace", "--trace=fields"]),
        (["decode", "--explain", "--json", "a"], ["--explain", "--json"]),
        (["connect", "--suites", "TLS_NULL", "a:1"], ["--suites", "'TLS_NULL'", "TLS_AES_128_GCM_SHA256"]),
        (["connect", "--suites", "TLS_RSA_WITH_AES_128_CBC_SHA", "a:1"], ["does not speak"]),
        (["connect", "--groups", "ffdhe2048", "a:1"], ["--groups", "does not speak ffdhe2048", "X25519MLKEM768"]),
        (["connect", "--groups", "x25519,x25519", "a:1"], ["twice"]),
        (["connect", "--tls", "1.1", "a:1"], ["--tls", "1.1", "1.2 or 1.3"]),
        (["connect", "--tls", "1.2", "--suites", "TLS_AES_128_GCM_SHA256", "a:1"], ["suites", "TLS 1.2"]),
        (["connect", "--tls", "1.2", "--groups", "X25519MLKEM768", "a:1"], ["groups: none", "TLS 1.2"]),
        (["connect", "--alpn", "x" * 256, "a:1"], ["255 bytes"]),
        (["connect", "--max-time", "0", "a:1"], ["--max-time"]),
        (["connect", "--key", "x", "a:1"], ["--key", "no --cert"]),
        (["connect", "-X", "PUT", "a:1"], ["https://"]),
        (["serve"], ["--cert and --key"]),
        (["demo", "--port", "65536"], ["--port", "65535"]),
        (["demo", "extra"], ["unexpected extra argument"]),
    ],
)
def test_bad_usage_is_two_lines_and_status_2(run, arguments, words):
    assert run(*arguments).is_error(2, *words)


def test_a_bad_level_of_the_log_is_an_error(run, monkeypatch):
    monkeypatch.setenv("HANDFAST_LOG", "loud")
    assert run("connect", "a:1").is_error(2, "$HANDFAST_LOG", "'loud'", "debug or trace")


def test_what_is_no_error_of_ours_is_a_bug_told_in_two_lines(capsys, monkeypatch):
    import click

    @click.command()
    def broken():
        raise RuntimeError("odd\x1b[2J")

    assert ui.run(broken, []) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == "handfast: error: handfast failed: RuntimeError: odd\\x1b[2J (a bug in handfast)"
    assert "HANDFAST_LOG=debug" in second
    monkeypatch.setenv("HANDFAST_LOG", "debug")
    assert ui.run(broken, []) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_error_of_the_machine_is_told_in_two_lines(capsys):
    import click

    @click.command()
    def full():
        raise OSError(28, "No space left on device", "out")

    assert ui.run(full, []) == 2
    assert capsys.readouterr().err.splitlines()[0] == "handfast: error: out: No space left on device (this machine)"


def test_ctrl_c_ends_serve_with_130(pki):
    server = start("serve", *pki.server, "--listen", "127.0.0.1:0")
    assert server.stdout is not None
    assert server.stdout.readline().startswith("Serving on https://127.0.0.1:")
    server.send_signal(signal.SIGINT)
    result = finish(server)
    # click ends the line that the terminal's ^C stands in.
    assert (result.status, result.err.strip()) == (130, "")


def test_a_reader_that_left_is_no_traceback(tmp_path):
    demo = start("demo", "--port", 0, "--out", tmp_path / "demo")
    assert demo.stdout is not None
    demo.stdout.readline()
    demo.stdout.close()
    assert demo.stderr is not None
    complaints = demo.stderr.read()
    assert demo.wait(LIMIT) == 1
    demo.stderr.close()
    assert "Traceback" not in complaints
    assert "Exception" not in complaints


@pytest.mark.parametrize(("variables", "colour"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(monkeypatch, variables, colour):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ui.colourful(Terminal()) is colour
    assert ui.colourful(io.StringIO()) is False


def test_bytes_of_a_peer_do_not_command_a_terminal():
    shown: list[bytes] = []
    write = ui.guarded(shown.append, terminal=True)
    write("fine\tcaf\u00e9\r\n\x1b]0;owned\x07\xff".encode("latin-1") + "\u202e".encode())
    assert shown == [b"fine\tcaf\\xe9\n\\x1b]0;owned\\x07\\xff\\u202e"]
    write = ui.guarded(shown.append, terminal=False)
    write(b"\x1b\r\n")
    assert shown[-1] == b"\x1b\r\n"


@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)])
def test_help_opens_with_examples_and_fits_a_terminal(run, verb):
    lines = run(*verb, "--help").out.splitlines()
    assert lines[0] == "Examples:"
    assert max(map(len, lines)) <= 80


def test_help_of_connect_is_in_groups(run):
    out = run("connect", "--help").out
    for title in ("Request:", "Where to:", "Whom to trust:", "Who we are:", "TLS:", "What is shown:"):
        assert f"\n{title}\n" in out
    assert "\nOther:\n  -h, --help" in out


@pytest.mark.parametrize(
    ("verb", "given", "meant"),
    [
        ("connect", "--ciphers", "--suites"),
        ("connect", "--sni", "--servername"),
        ("connect", "--curves", "--groups"),
        ("serve", "-v", "--trace"),
        ("serve", "--verify", "--client-auth require_and_verify"),
        ("serve", "--port", "--listen HOST:PORT"),
        ("certs", "--force", "--replace"),
    ],
)
def test_an_unknown_option_is_suggested_by_its_meaning(run, verb, given, meant):
    assert run(verb, given, "x").is_error(2, f"no such option: {given}", f"did you mean {meant}")


@pytest.mark.parametrize(("verb", "given"), [("connect", "--qqq"), ("serve", "--sni"), ("demo", "--ciphers")])
def test_letters_alone_suggest_nothing(run, verb, given):
    assert run(verb, given).is_error(2, "--help shows what can be given")


def test_every_suggestion_leads_to_an_option():
    verbs = [import_module(f"handfast.cli.{verb}").command for verb in VERBS]
    below = [import_module(f"handfast.cli.certs_{name}").command for name in SUBCOMMANDS]
    options = {name for verb in (*verbs, *below) for one in verb.params for name in one.opts}
    for given, meant in INSTEAD.items():
        assert meant == "NAME" or meant.split()[0].partition("=")[0] in options, given


# Width


def on_screen(width, *arguments):
    with on_a_terminal(*arguments, COLUMNS=str(width), NO_COLOR="1") as (_, controller):
        return shown_until(controller, "never").replace("\r", "").splitlines()


@pytest.mark.parametrize("width", [60, 80, 132])
def test_lines_for_people_are_wrapped_at_words(width):
    lines = on_screen(width, "connect", "--suites", "TLS_NULL", "a:1")
    assert max(map(len, lines)) <= width
    assert len(lines) > 3
    assert " ".join(line.strip() for line in lines).count("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") == 1


def test_lists_are_wrapped_on_a_terminal():
    lines = on_screen(80, "certs", "--list-faults")
    assert max(map(len, lines)) <= 80
    assert "    nothing" in lines


def test_lines_for_programs_are_not_wrapped(run):
    assert len(run("connect", "--suites", "TLS_NULL", "a:1").complaints) == 2
    # readline leaves COLUMNS in the environment of whatever is started.
    assert len(finish(start("connect", "--suites", "TLS_NULL", "a:1", env={"COLUMNS": "80"})).complaints) == 2


def test_a_word_that_is_longer_than_a_line_stays_whole():
    assert any("x" * 60 in line for line in on_screen(40, "connect", "--tls", "x" * 60, "a:1"))


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["handfast", "demo"], ["  handfast demo"]),
        (
            ["handfast", "serve", "--cert", "a b.pem", "--key", "k"],
            ["  handfast serve \\", "    --cert 'a b.pem' \\", "    --key k"],
        ),
    ],
)
def test_commands_are_continued_by_backslashes(words, lines):
    assert ui.command_lines(words, 26) == lines
    assert shlex.split(" ".join(lines).replace("\\", "")) == words


def test_a_hint_is_never_empty(capsys):
    import click

    @click.command()
    def broken():
        ui.fail("it broke", "somebody", "")

    assert ui.run(broken, []) == 1
    assert "hint: --trace shows" in capsys.readouterr().err

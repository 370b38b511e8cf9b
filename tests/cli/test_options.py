"""Options whose value stands after = or not at all, and targets."""

from __future__ import annotations

import click
import pytest

from handfast.cli import options
from handfast.cli.target import Target, parse_address, parse_target, redirected
from handfast.errors import ConfigError


def parsed(*arguments):
    """What a verb with a few options makes of the arguments: trace, secrets, data, verbose, rest."""

    @click.command(cls=options.Verb)
    @click.argument("rest", nargs=-1)
    @options.lens_options
    @click.option("-d", "--data")
    @click.option("-k", "verbose", is_flag=True)
    def command(**found):
        return found

    found = command.main(list(arguments), standalone_mode=False)
    return found["trace"], found["secrets"], found["data"], found["verbose"], found["rest"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--trace", "https://x/"], ("names", None, None, False, ("https://x/",))),
        (["https://x/", "--trace"], ("names", None, None, False, ("https://x/",))),
        (["--trace=bytes", "--secrets", "a:1"], ("bytes", "traffic", None, False, ("a:1",))),
        (["--secrets=all", "--trace=fields", "a:1"], ("fields", "all", None, False, ("a:1",))),
        (["--trace", "fields"], ("names", None, None, False, ("fields",))),
        (["--trace", "--", "--trace"], ("names", None, None, False, ("--trace",))),
        # What stands where another option has its value is that value.
        (["-d", "--trace", "x"], (None, None, "--trace", False, ("x",))),
        (["--data", "--trace", "x"], (None, None, "--trace", False, ("x",))),
        (["-kd", "--trace", "x"], (None, None, "--trace", True, ("x",))),
        # ... and what does not is not.
        (["-dvalue", "--trace", "x"], ("names", None, "value", False, ("x",))),
        (["--data=value", "--trace", "x"], ("names", None, "value", False, ("x",))),
        (["-k", "--trace", "x"], ("names", None, None, True, ("x",))),
        (["-", "--trace"], ("names", None, None, False, ("-",))),
        ([], (None, None, None, False, ())),
    ],
)
def test_optional_values_never_eat_an_argument(arguments, expected):
    assert parsed(*arguments) == expected


@pytest.mark.parametrize("arguments", [["--trace="], ["--trace=all"], ["--secrets=none", "x"], ["-d"]])
def test_wrong_values_are_refused(arguments):
    with pytest.raises(click.UsageError):
        parsed(*arguments)


def test_a_value_without_its_equals_sign_is_explained(run):
    words = ("unexpected extra argument", "--trace takes its value with =: --trace=fields")
    assert run("connect", "--trace", "fields", "https://localhost:1/").is_error(2, *words)
    assert run("serve", "--secrets", "all").is_error(2, "unexpected extra argument", "--secrets=all")
    assert run("connect", "--trace", "a:1", "b:1").is_error(2, "unexpected extra argument", "--help")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("https://example.com", Target("example.com", 443, "/")),
        ("https://example.com:8443/a/b?c=d#part", Target("example.com", 8443, "/a/b?c=d")),
        ("https://[::1]:1337/", Target("::1", 1337, "/")),
        ("HTTPS://Example.COM/", Target("example.com", 443, "/")),
        ("https://b\u00fccher.example/", Target("xn--bcher-kva.example", 443, "/")),
        ("localhost:1337", Target("localhost", 1337, None)),
        ("[::1]:1337", Target("::1", 1337, None)),
        # A host alone is on the usual port.
        ("localhost", Target("localhost", 443, None)),
        ("b\u00fccher.example", Target("xn--bcher-kva.example", 443, None)),
        ("192.0.2.1", Target("192.0.2.1", 443, None)),
        ("[::1]", Target("::1", 443, None)),
    ],
)
def test_targets(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "1337", "local/host", "localhost:", "localhost:65536", "localhost:\u0661", ":1337", "::1:1337", "http://localhost/",
        "https://", "https:///path", "https://localhost:port/", "https://localhost:65536/", "https://me:pw@localhost/",
        "https://[::1/", "https://localhost/a b", "https://localhost/\u00fc", "https://localhost/\x07",
        f"https://{'a' * 64}\u00fc.example/", "https://fa\u00df.example/", "ftp://localhost/", "",
    ],
)  # fmt: skip
def test_bad_targets(text):
    with pytest.raises(ConfigError) as caught:
        parse_target(text)
    assert caught.value.code == "bad_option"
    assert caught.value.what.isprintable()


def test_the_host_header_leaves_out_the_usual_port():
    assert Target("example.com", 443, "/").authority == "example.com"
    assert Target("::1", 1337, "/").authority == "[::1]:1337"


def test_addresses_to_listen_on():
    assert parse_address(":1337", "--listen") == ("", 1337)
    assert parse_address("[::]:0", "--listen") == ("::", 0)
    with pytest.raises(ConfigError, match="--listen"):
        parse_address("1337", "--listen")


@pytest.mark.parametrize(
    ("rule", "reached"),
    [
        ("example.com:443:127.0.0.1:1337", ("127.0.0.1", 1337)),
        ("::127.0.0.1:1337", ("127.0.0.1", 1337)),
        ("example.com:::1337", ("example.com", 1337)),
        ("::[::1]:", ("::1", 443)),
        ("other.example:443:127.0.0.1:1337", ("example.com", 443)),
        ("example.com:80:127.0.0.1:1337", ("example.com", 443)),
    ],
)
def test_connect_to(rule, reached):
    assert redirected(Target("example.com", 443, "/"), (rule,)) == reached


def test_connect_to_takes_the_first_rule_that_fits():
    rules = ("other.example:443:a:1", "example.com:443:b:2", ":::3")
    assert redirected(Target("example.com", 443, "/"), rules) == ("b", 2)


@pytest.mark.parametrize(
    "rule", ["", "a", "a:1:b", "a:x:b:2", "a:1:b:2:c", "::b:\u00b2", "::b:65536", "::b:" + "1" * 5000]
)
def test_bad_connect_to(rule):
    with pytest.raises(ConfigError, match="--connect-to"):
        redirected(Target("example.com", 443, "/"), (rule,))

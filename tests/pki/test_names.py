"""Guessing what kind of name a string is."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import ConfigError
from handfast.pki.general_names import general_name

LABEL = st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?\Z")
HOST = st.builds(
    lambda labels, top: ".".join([*labels, top]), st.lists(LABEL, max_size=4), st.from_regex(r"\A[a-z]{1,12}\Z")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost", x509.DNSName("localhost")),
        ("Server.Example.com", x509.DNSName("Server.Example.com")),
        ("_service.internal", x509.DNSName("_service.internal")),
        ("*.example.com", x509.DNSName("*.example.com")),
        ("b\u00fccher.example", x509.DNSName("xn--bcher-kva.example")),
        ("*.b\u00fccher.example", x509.DNSName("*.xn--bcher-kva.example")),
        ("127.0.0.1", x509.IPAddress(ipaddress.ip_address("127.0.0.1"))),
        ("2001:db8::1", x509.IPAddress(ipaddress.ip_address("2001:db8::1"))),
        ("spiffe://lab.example/alice", x509.UniformResourceIdentifier("spiffe://lab.example/alice")),
        ("urn:uuid:1234", x509.UniformResourceIdentifier("urn:uuid:1234")),
        ("alice@example.com", x509.RFC822Name("alice@example.com")),
        ("alice@b\u00fccher.example", x509.RFC822Name("alice@xn--bcher-kva.example")),
    ],
)
def test_kind_is_guessed(text, expected):
    assert general_name(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ".",
            "a..b",
            "a.",
            "*",
            "*.",
            "a.*.b",
            "www.*",
            "*a.example",
            "-a.example",
            "a-.example",
            "a b",
            "a\x00b",
        ),
        *("localhost:1337", "256.1.1.1", "1.2.3", "[::1]", "fe80::1%eth0", "http://a b", "spiffe://b\u00fccher/x"),
        *("a" * 64, "a." * 127 + "a", "a\n.example", "stra\u00dfe.example", "@b", "a@", "a@b@c", "a b@example.com"),
    ],
)
def test_what_is_no_name(text):
    with pytest.raises(ConfigError) as caught:
        general_name(text)
    assert caught.value.code == "bad_option"
    assert caught.value.what.isprintable()


@settings(max_examples=30)
@given(HOST)
def test_every_host_name_is_kept_as_it_is(host):
    assert general_name(host) == x509.DNSName(host)
    assert general_name(f"*.{host}") == x509.DNSName(f"*.{host}")
    assert general_name(f"someone@{host}") == x509.RFC822Name(f"someone@{host}")


@settings(max_examples=30)
@given(st.ip_addresses())
def test_every_address_is_one(address):
    assert general_name(str(address)) == x509.IPAddress(address)


@settings(max_examples=200)
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_config_error(text):
    try:
        name = general_name(text)
    except ConfigError:
        return
    x509.SubjectAlternativeName([name]).public_bytes()

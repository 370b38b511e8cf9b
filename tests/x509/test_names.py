"""Reference identities and what covers them."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import ConfigError
from handfast.host_names import is_host_name
from handfast.x509.names import CertificateNames, dns_matches, matches, reference_identity, sni
from tests.trust.crafting import NOW, dns, root, server


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("example.com", "example.com", True),
        ("EXAMPLE.com", "example.com", True),
        ("example.com.", "example.com", True),
        ("example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "A.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("*.example.com", ".example.com", False),
        ("*.", "", False),
        ("a*.example.com", "ab.example.com", False),
        ("*a.example.com", "ba.example.com", False),
        ("a.*.com", "a.b.com", False),
        ("*.*.com", "a.b.com", False),
        ("*", "localhost", False),
        ("*.", "a", False),
        ("*..", "a", False),
        ("*.com", "a.com", True),
        ("*.example.com", "xn--mnchen-3ya.example.com", True),
        ("xn--*.example.com", "xn--a.example.com", False),
        ("münchen.de", "xn--mnchen-3ya.de", False),
        ("", "", False),
        ("example.com\0.evil", "example.com", False),
        (" example.com", "example.com", False),
    ],
)
def test_wildcards_are_whole_left_most_labels(pattern: str, name: str, fits: bool) -> None:
    assert dns_matches(pattern, name) is fits


@pytest.mark.parametrize(
    ("given_name", "reference"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("münchen.de", "xn--mnchen-3ya.de"),
        ("my_service", "my_service"),
        ("127.0.0.1", ipaddress.ip_address("127.0.0.1")),
        ("::1", ipaddress.ip_address("::1")),
        ("[::1]", ipaddress.ip_address("::1")),
        ("fe80::1%eth0", ipaddress.ip_address("fe80::1")),
    ],
)
def test_reference_identities(given_name: str, reference: object) -> None:
    assert reference_identity(given_name) == reference


_NO_NAMES = [
    "", ".", "a..b", "-a.example", "a b", "a\0b", "a.b\n", "faß.de", "*.example.com", "example.com:443",
    "https://example.com", "1.2.3.4.5", "999.1.1.1", "127.1", "a" * 64 + ".com", "x." * 130 + "x",
]  # fmt: skip


@pytest.mark.parametrize("text", _NO_NAMES)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reference_identity(text)
    assert caught.value.code == "bad_option"
    assert caught.value.what.isprintable()


def test_server_name_indication_has_no_dot_at_the_end_and_no_address() -> None:
    assert sni("Example.com.") == "example.com"
    assert sni("127.0.0.1") is None
    assert sni("[::1]") is None
    assert sni(None) is None


def test_addresses_match_addresses_only() -> None:
    names = CertificateNames(dns=("127.0.0.1",), common_names=("127.0.0.1",))
    assert not matches(names, "127.0.0.1")
    assert not matches(names, "127.0.0.1", common_name_fallback=True)
    addresses = CertificateNames(ip=(ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("2001:db8::1")))
    assert matches(addresses, "2001:0DB8:0::1")
    assert not matches(addresses, "::ffff:127.0.0.1")


def test_the_common_name_only_by_request_and_only_without_dns_names() -> None:
    names = CertificateNames(email=("a@example.com",), common_names=("example.com",))
    assert not matches(names, "example.com")
    assert matches(names, "example.com", common_name_fallback=True)
    assert not matches(
        CertificateNames(dns=("other",), common_names=("example.com",)), "example.com", common_name_fallback=True
    )


def test_labelled_names_are_escaped() -> None:
    names = CertificateNames(dns=("a\nb",), ip=(ipaddress.ip_address("::1"),), uri=("urn:x",), email=("a@b",))
    assert names.labelled() == ("DNS:a\\x0ab", "IP:::1", "URI:urn:x", "email:a@b")


_ROOT = root()
_LABELS = st.text("abcxyz019-_*", min_size=1, max_size=4)
_NAMES = st.lists(_LABELS, min_size=1, max_size=3).map(".".join)


@settings(max_examples=200)
@given(pattern=_NAMES, name=_NAMES)
def test_no_name_matches_but_itself_or_its_siblings(pattern: str, name: str) -> None:
    if not dns_matches(pattern, name):
        assert pattern != name or not is_host_name(name)
        return
    assert is_host_name(name)
    same = pattern == name
    sibling = pattern == "*." + name.partition(".")[2]
    assert same or sibling


@settings(max_examples=60, deadline=None)
@given(
    pattern=st.lists(st.sampled_from(["*", "a", "b", "a1", "x-y"]), min_size=1, max_size=4).map(".".join),
    name=st.lists(st.sampled_from(["a", "b", "a1", "x-y"]), min_size=1, max_size=4).map(".".join),
)
def test_matching_agrees_with_the_librarys(pattern: str, name: str) -> None:

    trusted = _ROOT
    leaf = server(trusted, dns(pattern))
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store([trusted.certificate]))
        .time(NOW)
        .build_server_verifier(x509.DNSName(name))
    )
    try:
        verifier.verify(leaf.certificate, [])
        accepted = True
    except verification.VerificationError:
        accepted = False
    assert dns_matches(pattern, name) is accepted

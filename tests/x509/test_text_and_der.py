"""Escaping, DER, PEM and distinguished names: the small parts that everything shown to people goes through."""

from __future__ import annotations

import contextlib
import tracemalloc
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast import der, limits
from handfast.text import escape, listed
from handfast.x509 import pem
from handfast.x509.distinguished_names import common_names, rfc4514
from tests.counting import instructions
from tests.trust.crafting import client, root


@given(st.text() | st.binary())
def test_escaped_text_is_printable(text: str | bytes) -> None:
    assert escape(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_escapes() -> None:
    assert escape("a\x1b[2J\r\n\u202e\u00a0\ud800\U000e0001") == "a\\x1b[2J\\x0d\\x0a\\u202e\\xa0\\ud800\\U000e0001"
    assert escape(b"\xff\xc3\xbc") == "\\xff\u00fc"
    assert escape("abcdef", 3) == "abc..."
    assert escape("abc", 3) == "abc"
    assert listed(["a", "b\n"]) == "a, b\\x0a"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


def test_the_fields_of_a_certificate() -> None:
    made = client(root("Root"))
    fields = der.certificate_fields(made.der)
    assert fields.subject == made.certificate.subject.public_bytes()
    assert fields.issuer == made.certificate.issuer.public_bytes()
    assert int.from_bytes(der.element(fields.serial_number).content, "big") == made.certificate.serial_number
    assert made.certificate.tbs_certificate_bytes.count(fields.subject_public_key_info) == 1


@settings(max_examples=100)
@given(st.integers(0, 2000), st.binary(max_size=3))
def test_a_damaged_certificate_is_a_value_error(at: int, replacement: bytes) -> None:
    good = client(_ROOT).der
    damaged = good[:at] + replacement + good[at + len(replacement) :]
    with contextlib.suppress(ValueError):
        assert rfc4514(der.certificate_fields(damaged).subject).isprintable()


@given(st.binary(max_size=40))
def test_junk_is_a_value_error_and_no_other(junk: bytes) -> None:
    for read in (der.element, der.certificate_fields, der.object_identifier, lambda data: list(der.elements(data))):
        with contextlib.suppress(ValueError):
            read(junk)
    assert rfc4514(junk).isprintable()


@pytest.mark.parametrize("bad", ["30", "3001", "30800000", "30810100", "30820080" + "00" * 128, "1f0100"])
def test_lengths_that_are_not_der(bad: str) -> None:
    with pytest.raises(ValueError, match=r"DER|missing"):
        der.element(bytes.fromhex(bad))


def test_object_identifiers() -> None:
    assert der.object_identifier(bytes([0x55, 4, 3])) == "2.5.4.3"
    assert der.object_identifier(bytes([0x88, 0x37, 1])) == "2.999.1"
    assert der.object_identifier(bytes.fromhex("2a864886f70d010901")) == "1.2.840.113549.1.9.1"
    assert der.object_identifier(bytes.fromhex("0992268993f22c640101")) == "0.9.2342.19200300.100.1.1"


_ATTRIBUTES = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME)
_VALUES = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(_ATTRIBUTES), _VALUES), max_size=4))
def test_names_as_the_library_writes_them(attributes: list[tuple[x509.ObjectIdentifier, str]]) -> None:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
    assert rfc4514(name.public_bytes()) == escape(name.rfc4514_string())


def test_names_of_unusual_form() -> None:
    assert rfc4514(bytes.fromhex("3000")) == ""
    assert rfc4514(b"junk").startswith("unreadable: ")
    assert rfc4514(bytes.fromhex("300e310c300a0603550403" + "0303020100")).startswith("CN=#0303")
    bmp = bytes.fromhex("3011310f300d0603550403" + "1e06004100620063")
    assert rfc4514(bmp) == "CN=Abc"
    assert common_names(bmp) == ("Abc",)


def test_pem() -> None:
    made = client(_ROOT)
    text = b"a comment\n" + pem.encode("CERTIFICATE", made.der) + b"-----BEGIN X-----\r\nAA==\r\n-----END X-----"
    first, second = pem.blocks(text)
    assert (first.label, first.der(), first.is_certificate) == ("CERTIFICATE", made.der, True)
    assert (second.label, second.der(), second.is_certificate) == ("X", b"\0", False)
    assert pem.blocks(b"-----BEGIN X-----\nAA==\n-----END Y-----") == []
    with pytest.raises(ValueError, match="base64"):
        pem.blocks(b"-----BEGIN X-----\nA*==\n-----END X-----")[0].der()


_ROOT = root()


class Scanned(bytes):
    """Bytes that count how many of them were looked at."""

    looked_at = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        stop = len(self) if end is None else min(end, len(self))
        found = super().find(sub, start, stop)
        self.looked_at += (stop if found < 0 else found + len(sub)) - start
        return found


@pytest.mark.parametrize(
    "line",
    [
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----   ",
        b"-----BEGIN ",
        b"-----BEGIN A-----\n-----END B-----\n",
        b"-----BEGIN A-----\nAA==\n-----END A-----\n",
        b"-----",
        b"-----END A-----\n",
        b"A" * 64,
    ],
)
def test_the_work_of_reading_pem_grows_with_the_file_and_not_faster(line: bytes) -> None:
    small, large = (Scanned(line * (size // len(line))) for size in (10_000, 80_000))
    calls = []
    for data in (small, large):
        calls.append(instructions(partial(pem.blocks, data)))
        assert data.looked_at <= 6 * len(data)
    assert calls[1] <= 9 * calls[0] + 1000


def test_a_block_that_is_cut_off_does_not_hide_the_next_one() -> None:
    whole = pem.encode("CERTIFICATE", b"whole")
    cut = whole.partition(b"-----END")[0]
    assert [block.der() for block in pem.blocks(cut + whole)] == [b"whole"]
    assert [block.der() for block in pem.blocks(b"-----BEGIN X-----\nAA==\n-----END Y-----\n" + whole)] == [b"whole"]
    assert [block.der() for block in pem.blocks(whole.replace(b"\n", b" \t\r\n"))] == [b"whole"]


def test_no_large_name_is_remembered() -> None:
    """Taken apart it has a hundred times its size, and strangers choose it."""
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, "x" * 20)
    name = x509.Name([attribute] * 500).public_bytes()
    assert len(name) > limits.MAX_KEPT_NAME
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(64):
            common_names(name.replace(b"x" * 20, b"%020d" % number))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1024 * 1024

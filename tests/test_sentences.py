"""Everything in a handshake says in one sentence what it is and where that is specified, in English and in Chinese."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.resources import files
from typing import Any

import pytest

from handfast import events
from handfast.errors import CertificateRejected
from handfast.keys.secret_names import MEANINGS, MEANINGS_12, SECRETS, SECRETS_12, explained
from handfast.registry import AlertDescription, ContentType, ExtensionType, HandshakeType, Registry, registries
from handfast.registry.meanings import ALERTS, CONTENT_TYPES, meanings
from handfast.registry.sentences import split
from handfast.wire import extensions as ext
from handfast.wire.explained import explained as explained_struct
from handfast.wire.explained import sentences
from handfast.wire.extension_block import Extensions, OpaqueExtension
from handfast.wire.fields import Field, fields_of
from handfast.wire.messages import ClientHello
from tests.sentences import all_sentences, structs, tables, with_section, without_section
from tests.waiting import LIMIT
from tests.wire.hellos import openssl_client_hello

SECTION = re.compile(r"RFC \d{4}( (\d+|[A-Z])(\.\d+)*)?|draft(-[a-z0-9]+)+")
# Long enough for a clause, short enough for a line of a page.
LONGEST = 105


def is_sentence(text: str) -> bool:
    """Whether it begins like one, ends like one, and is no more than one."""
    return text[:1] in "zX" + text[:1].upper() and text.endswith(".") and ". " not in text and len(text) <= LONGEST


def test_everything_has_a_sentence_and_a_section() -> None:
    said = list(with_section())
    assert [one for one in said if not (is_sentence(one[1].sentence) and SECTION.fullmatch(one[1].rfc))] == []


def test_every_field_has_a_sentence() -> None:
    without = [
        f"{cls.__name__}.{name}" for cls in structs() for name, _ in cls.CODEC.fields if name not in sentences(cls)
    ]
    assert without == []
    assert [(place, text) for place, text in without_section() if not is_sentence(text)] == []


def test_every_secret_alert_and_content_type_has_a_sentence() -> None:
    assert (set(MEANINGS), set(MEANINGS_12)) == (set(SECRETS), set(SECRETS_12))
    assert (set(ALERTS), set(CONTENT_TYPES)) == (set(AlertDescription), set(ContentType))
    assert "KeyUpdate" in explained("client_application_traffic_secret_7").sentence
    assert explained("an unknown one") == ("", "")


@pytest.mark.parametrize("registry", registries(), ids=lambda registry: registry.__name__)
def test_every_registered_number_means_something(registry: type[Registry]) -> None:
    # Those of messages and of extensions are the classes' own.
    forms = {cls.EXTENSION_TYPE for cls in structs() if issubclass(cls, ext.ExtensionBody)}
    own: dict[Any, set[Any]] = {HandshakeType: set(HandshakeType), ExtensionType: forms}
    told = own.get(registry, set())
    assert [str(member) for member in registry if member not in told and not meanings(registry, member)] == []
    assert meanings(registry, 0xFFFF) == ()


def test_every_event_has_a_sentence() -> None:
    assert [kind.__name__ for kind in events.kinds() if not is_sentence(split(kind.__doc__).sentence)] == []


def test_what_is_different_is_said_differently() -> None:
    of_structs = defaultdict(list)
    for cls in structs():
        of_structs[explained_struct(cls).sentence].append(cls.__name__)
    assert [names for names in of_structs.values() if len(names) > 1] == []
    in_tables = [
        split(text).sentence for title, table in tables().items() if title != "MEANINGS_12" for text in table.values()
    ]
    assert len(set(in_tables)) == len(in_tables)


@pytest.mark.parametrize("text", [None, "", "No stop", "Sent(x: int)", "RFC 9846 4"])
def test_what_is_no_sentence_explains_nothing(text: str | None) -> None:
    assert split(text) == ("", "")


def test_a_sentence_ends_its_paragraph() -> None:
    assert split("One\n    thing. RFC 9846 B.4.\n\n    More. RFC 5246 7.") == ("One thing.", "RFC 9846 B.4")
    assert split("One thing. draft-vvv-tls-alps.").rfc == "draft-vvv-tls-alps"


# At the fields of a message


def fields_by_path(raw: bytes) -> dict[str, Field]:
    return {".".join(field.path): field for field in fields_of(raw)}


def test_each_field_of_a_message_is_explained() -> None:
    fields = fields_by_path(openssl_client_hello(server_name="example.com", protocols=("h2",)))
    assert [path for path, field in fields.items() if not (is_sentence(field.sentence) and field.rfc)] == []
    random, share = fields["random"], fields["extensions.key_share.client_shares.[0]"]
    assert (random.sentence, random.rfc) == (sentences(ClientHello)["random"], "RFC 9846 4.2.2")
    assert (share.sentence, share.rfc) == explained_struct(ext.KeyShareEntry)
    assert fields["extensions.server_name.server_name_list.[0].host_name"].rfc == "RFC 6066 3"
    assert fields["cipher_suites.length"].sentence == "How many bytes the next part takes."
    assert [said.rfc for said in fields["cipher_suites.[1]"].meanings] == [
        "RFC 9846 B.4",
        "RFC 8439 2.8",
        "RFC 9846 7.1",
    ]
    assert random.meanings == ()


def test_each_extension_is_explained_whether_known_or_not() -> None:
    opaque = [
        OpaqueExtension(number, b"x") for number in (0x1A1A, 0xABCD, ExtensionType.oid_filters, ExtensionType.use_srtp)
    ]
    hello = ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", Extensions.of(*opaque, ext.PostHandshakeAuth()))
    fields = fields_by_path(hello.encode())
    assert [field.rfc for field in fields.values() if field.path[:-1] == ("extensions",)] == [
        "RFC 8701 2", "RFC 9846 4.3", "RFC 9846 4.3", "RFC 5764 4.1", "RFC 9846 4.3.6",
    ]  # fmt: skip
    assert "not defined" in fields["extensions.oid_filters"].sentence
    assert "does not know" in fields["extensions.unknown(0xabcd)"].sentence


def test_bytes_that_do_not_decode_are_explained_as_such() -> None:
    last = fields_of(openssl_client_hello(server_name="example.com", protocols=("h2",))[:-1])[-1]
    assert (last.name, last.sentence) == ("undecoded", "Bytes that are not what should stand here.")


def test_without_docstrings_structs_say_nothing_and_nothing_fails() -> None:
    program = """
from handfast.wire.explained import explained
from handfast.wire.fields import fields_of
from handfast.wire.messages import ClientHello, KeyUpdate
found = fields_of(KeyUpdate(1).encode())
print(explained(ClientHello) == ("", ""), found[-1].sentence, found[-1].rfc == "")
"""
    done = subprocess.run([sys.executable, "-OO", "-c", program], capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == ("True Whether the receiver is to change its keys too. True\n", "")


# In Chinese


def chinese(table: str = "sentences") -> dict[str, str]:
    found = tomllib.loads(files("handfast.lens.page").joinpath("zh.toml").read_text("utf-8"))
    translated: dict[str, str] = found[table]
    return translated


def test_every_sentence_is_in_chinese_and_none_is_left_over() -> None:
    assert list(chinese()) == all_sentences(), "keep zh.toml in the order of tests/sentences.py"


def test_every_code_of_a_verdict_is_in_chinese_and_none_is_left_over() -> None:
    assert list(chinese("verdicts")) == list(CertificateRejected.catalogue)


@pytest.mark.parametrize("table", ["sentences", "verdicts"])
def test_each_translation_is_one_sentence_in_chinese(table: str) -> None:
    said = list(chinese(table).values())
    # One Han character at least, and one full stop, which is the end.
    assert [text for text in said if not re.fullmatch("(?=.*[\u4e00-\u9fff])[^\u3002]+\u3002", text)] == []
    assert len(set(said)) == len(said)


def test_names_and_numbers_stay_as_they_are_in_chinese() -> None:
    name = re.compile(r"SHA-\d+|X25519|X448|TLS \d\.\d|ML-\w+|\bOCSP\b|\b\w+_\w+\b")
    lost = [
        (text, word) for text, translated in chinese().items() for word in name.findall(text) if word not in translated
    ]
    assert lost == []

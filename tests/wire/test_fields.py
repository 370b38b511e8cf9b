"""What every byte is: each in one leaf, in order, and nothing raises."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.errors import HandfastError
from handfast.registry import ExtensionType
from handfast.wire import extensions as ext
from handfast.wire.alerts import Alert
from handfast.wire.extensions import Extensions, OpaqueExtension
from handfast.wire.fields import Field, Kind, fields_of, fields_of_struct
from handfast.wire.messages import ClientHello, HandshakeMessage, Messages
from handfast.wire.parsing import parse_handshake
from handfast.wire.records import RecordHeader
from tests.wire.hellos import openssl_client_hello
from tests.wire.strategies import MESSAGE_CLASSES, any_message, messages, table_of


def check_spans(fields: list[Field], length: int) -> None:
    """Leaves follow one another without a gap; what stands in a container lies within it."""
    at = 0
    for leaf in (field for field in fields if field.leaf):
        assert leaf.start == at
        assert leaf.end >= leaf.start
        at = leaf.end
    assert at == length
    spans = {field.path: field for field in fields if not field.leaf}
    for field in fields:
        outer = spans.get(field.path[:-1])
        if field.depth and outer is not None:
            assert outer.start <= field.start <= field.end <= outer.end


def parses(raw: bytes, table: Messages) -> bool:
    """Whether all of it decodes; an extension that a ClientHello need not have meant is not always refused."""
    try:
        message = parse_handshake(raw, table)
        if isinstance(message, ClientHello):
            message.check_decoded()
    except HandfastError:
        return False
    return True


@pytest.mark.parametrize("cls", MESSAGE_CLASSES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_every_byte_of_every_message_is_explained(cls: type[HandshakeMessage], data: st.DataObject) -> None:
    raw = data.draw(messages(cls)).encode()
    fields = fields_of(raw, table_of(cls))
    check_spans(fields, len(raw))
    assert all(field.kind is not Kind.UNDECODED for field in fields)
    assert all(field.depth == 0 or field.path[:-1] in {other.path for other in fields} for field in fields)


@given(message=any_message(), data=st.data())
@settings(max_examples=200, deadline=None)
def test_bytes_that_do_not_parse_are_explained_as_far_as_they_do(
    message: HandshakeMessage, data: st.DataObject
) -> None:
    raw = bytearray(message.encode())
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    table = table_of(type(message))
    fields = fields_of(damaged, table)
    check_spans(fields, len(damaged))
    undecoded = [field for field in fields if field.kind is Kind.UNDECODED]
    assert undecoded == ([] if parses(damaged, table) else undecoded[:1])
    assert all(field is fields[-1] for field in undecoded)


def test_an_extension_that_does_not_decode_is_explained_as_far_as_it_does() -> None:
    """A ClientHello is parsed all the same: whether the extension has a meaning depends on the version."""
    hello = ClientHello(
        0x0303,
        bytes(32),
        b"",
        (0x1301,),
        b"\0",
        Extensions.of(OpaqueExtension(ExtensionType.supported_groups, b"\0\1\0")),
    )
    raw = hello.encode()
    assert isinstance(parse_handshake(raw), ClientHello)
    assert not parses(raw, table_of(ClientHello))
    assert fields_of(raw)[-1].kind is Kind.UNDECODED


@given(raw=st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_random_bytes_are_explained_as_far_as_they_go(raw: bytes) -> None:
    check_spans(fields_of(raw), len(raw))


def test_leaves_hold_what_the_message_holds() -> None:
    raw = openssl_client_hello(server_name="example.com", protocols=("h2",))
    message = parse_handshake(raw)
    assert isinstance(message, ClientHello)
    fields = {".".join(field.path): field for field in fields_of(raw)}
    suites = [fields[f"cipher_suites.[{index}]"].value for index in range(len(message.cipher_suites))]
    assert tuple(suites) == message.cipher_suites
    assert fields["random"].value == message.random
    assert fields["cipher_suites.length"].value == 2 * len(message.cipher_suites)
    assert fields["cipher_suites.length"].kind is Kind.LENGTH
    assert fields["extensions.server_name.server_name_list.[0].host_name"].text == "example.com"
    protocol_names = fields["extensions.application_layer_protocol_negotiation.protocol_name_list"]
    assert (protocol_names.text, protocol_names.kind) == ("h2", Kind.CONTAINER)
    assert fields["legacy_version"].text == "TLS 1.2"
    assert fields["msg_type"].text == "client_hello"
    check_spans(list(fields.values()), len(raw))


def test_texts_name_numbers_and_escape_names() -> None:
    hello = ClientHello(
        0x0303,
        bytes(32),
        b"",
        (0x0A0A, 0x1301, 0x9999),
        b"\0",
        Extensions.of(
            OpaqueExtension(0x1A1A, b"\x01"),
            ext.ProtocolNameList((b"h2", b"\x1b[2J", b"\xff")),
            ext.NamedGroupList((29,)),
        ),
    )
    fields = {".".join(field.path): field for field in fields_of(hello.encode())}
    assert fields["cipher_suites"].text == "GREASE(0x0a0a), TLS_AES_128_GCM_SHA256, unknown(0x9999)"
    assert fields["extensions"].text == "3 entries"
    assert fields["extensions.GREASE(0x1a1a).extension_data"].text == "01"
    names = "extensions.application_layer_protocol_negotiation.protocol_name_list"
    assert fields[names].text == "h2, \\x1b[2J, \\xff"
    assert fields[f"{names}.[1]"].value == b"\x1b[2J"
    assert fields["extensions.supported_groups.named_group_list.[0]"].text == "x25519"


def test_an_unknown_message_has_its_header_explained() -> None:
    fields = fields_of(bytes.fromhex("0c 000002 abcd"))
    assert [(field.name, field.text) for field in fields] == [
        ("msg_type", "server_key_exchange"),
        ("length", "2"),
        ("undecoded", "abcd"),
    ]


def test_bytes_left_over_in_an_extension_are_undecoded_with_all_that_follows() -> None:
    extensions = Extensions.of(OpaqueExtension(10, bytes.fromhex("0002001d ff")), ext.ExtendedMainSecret())
    raw = ClientHello(0x0303, bytes(32), b"", (0x1301,), b"\0", extensions).encode()
    fields = fields_of(raw)
    check_spans(fields, len(raw))
    assert [(field.name, field.text) for field in fields[-2:]] == [("[0]", "x25519"), ("undecoded", "ff00170000")]


def test_an_alert_and_a_record_header_are_explained() -> None:
    alert = fields_of_struct(b"\x02\x28", Alert)
    assert [(field.name, field.text, field.start, field.end) for field in alert] == [
        ("level", "fatal", 0, 1),
        ("description", "handshake_failure", 1, 2),
    ]
    header = fields_of_struct(bytes.fromhex("16 0301 0200"), RecordHeader)
    assert [field.text for field in header] == ["handshake", "TLS 1.0", "512"]
    short = fields_of_struct(b"\x02", Alert)
    assert [field.name for field in short] == ["level"]
    long = fields_of_struct(b"\x02\x28\x00", Alert)
    assert [field.name for field in long] == ["level", "description", "undecoded"]

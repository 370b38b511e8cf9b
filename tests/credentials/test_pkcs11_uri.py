"""PKCS#11 URIs: RFC 7512."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handfast.credentials.pkcs11_uri import parse_pkcs11_uri
from handfast.errors import ConfigError

PATH_ATTRIBUTES = (
    "token", "manufacturer", "serial", "model", "library-manufacturer", "library-description", "object",
    "slot-manufacturer", "slot-description",
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60)
@given(
    attributes=st.dictionaries(st.sampled_from(PATH_ATTRIBUTES), TEXT, max_size=4),
    key_id=st.none() | st.binary(max_size=8),
    pin=st.none() | st.binary(min_size=1, max_size=8),
    module=st.none() | TEXT,
)
def test_every_value_comes_back(
    attributes: dict[str, str], key_id: bytes | None, pin: bytes | None, module: str | None
) -> None:
    path = [f"{name}={quote(value, safe='')}" for name, value in attributes.items()]
    if key_id is not None:
        path.append("id=" + "".join(f"%{octet:02X}" for octet in key_id))
    query = [] if pin is None else ["pin-value=" + "".join(f"%{octet:02x}" for octet in pin)]
    if module is not None:
        query.append(f"module-path={quote(module, safe='/')}")
    uri = parse_pkcs11_uri("pkcs11:" + ";".join(path) + ("?" + "&".join(query) if query else ""))
    assert uri.attributes == attributes
    assert (uri.id, uri.pin, uri.module_path) == (key_id, pin, module)
    assert str(uri).isprintable()


def test_what_rfc_7512_shows() -> None:
    uri = parse_pkcs11_uri(
        "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;object=my-certificate;"
        "type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial=;slot-id=327;library-version=3?pin-source=file:/etc/token_pin"
    )
    assert uri.attributes == {
        "token": "Software PKCS#11 softtoken",
        "manufacturer": "Snake Oil, Inc.",
        "model": "1.0",
        "object": "my-certificate",
        "serial": "",
        "slot-id": "327",
        "library-version": "3",
    }
    assert uri.id == bytes.fromhex("69953e5cf4bdec91")
    assert uri.pin_file == Path("/etc/token_pin")
    assert parse_pkcs11_uri("pkcs11:").attributes == {}
    assert parse_pkcs11_uri("PKCS11:token=x?module-name=opensc-pkcs11").module_name == "opensc-pkcs11"


@pytest.mark.parametrize(
    "source", ["/run/a%20pin", "file:/run/a%20pin", "file:///run/a%20pin", "file://localhost/run/a%20pin"]
)
def test_files_of_pins(source: str) -> None:
    assert parse_pkcs11_uri(f"pkcs11:?pin-source={source}").pin_file == Path("/run/a pin")


@pytest.mark.parametrize("command", ["|/bin/sh", "%7C/bin/sh", "%20|cat%20/x", "|cat"])
def test_no_command_is_run_for_a_pin(command: str) -> None:
    with pytest.raises(ConfigError, match="is a command, and none is ever run"):
        parse_pkcs11_uri(f"pkcs11:token=x?pin-source={command}")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("token=x", "does not begin with pkcs11:"),
        ("pkcs11:token=x;token=y", "has token twice"),
        ("pkcs11:label=x", "'label' is not known"),
        ("pkcs11:token", "token has no value"),
        ("pkcs11:token=a b", "must be percent-encoded"),
        ("pkcs11:token=%4", "must be percent-encoded"),
        ("pkcs11:token=%zz", "must be percent-encoded"),
        ("pkcs11:token=%ff", "token is not UTF-8"),
        ("pkcs11:token=\u00fc", "must be percent-encoded"),
        ("pkcs11:type=cert", "only a private key can sign"),
        ("pkcs11:slot-id=one", "slot-id is not a number"),
        ("pkcs11:;token=x", "'' is not known"),
        ("pkcs11:?pin-value=1&pin-source=/x", "both pin-source and pin-value"),
        ("pkcs11:?pin-source=pin", "neither file:/... nor an absolute path"),
        ("pkcs11:?pin-source=http://x/pin", "neither file:/... nor an absolute path"),
        ("pkcs11:?pin-source=file://other.example/pin", "neither file:/... nor an absolute path"),
        ("pkcs11:?module-name=../x", "module-name is empty or a path"),
        ("pkcs11:?module-path=%ff", "module-path is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_pkcs11_uri(uri)
    assert caught.value.code == "bad_pkcs11_uri"
    assert reason in caught.value.what


@pytest.mark.parametrize(
    "query", ["pin-value=geheim", "pin-value=ge%00heim&pin-value=x", "pin-value=x&geheim", "pin-value=geheim geheim"]
)
def test_no_pin_shows(query: str) -> None:
    try:
        shown = repr(uri := parse_pkcs11_uri(f"pkcs11:token=x?{query}")) + str(uri)
    except ConfigError as error:
        shown = f"{error} {error.details}"
    assert "heim" not in shown

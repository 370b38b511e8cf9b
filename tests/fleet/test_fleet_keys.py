"""What seals all that a fleet keeps in Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handfast import RedisFleet, limits, logs
from handfast.errors import ConfigError
from handfast.fleet.fleet_keys import FleetKeys, read_keys, seal, unseal
from tests.lies import flipped
from tests.peers.base import require_module

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER = b"1" * 32, b"2" * 32


@given(st.binary(max_size=300), st.binary(max_size=50))
def test_what_is_sealed_is_opened_and_shows_nothing(data: bytes, associated: bytes) -> None:
    sealed = seal(ONE, data, associated)
    assert unseal(ONE, sealed, associated) == data
    assert len(sealed) == len(data) + 24 + 16
    assert unseal(OTHER, sealed, associated) is None
    assert unseal(ONE, sealed, associated + b"x") is None
    assert sealed != seal(ONE, data, associated)


def test_what_was_changed_is_not_opened() -> None:
    sealed = seal(ONE, b"data", b"")
    assert [unseal(ONE, flipped(sealed, position), b"") for position in range(len(sealed))] == [None] * len(sealed)
    assert [unseal(ONE, sealed[:size], b"") for size in range(len(sealed))] == [None] * len(sealed)


def test_the_first_key_seals_and_all_open() -> None:
    keys = FleetKeys([ONE])
    old = keys.seal(b"purpose", b"old", b"")
    keys.replace([OTHER, ONE])
    new = keys.seal(b"purpose", b"new", b"")
    assert [keys.unseal(b"purpose", sealed, b"") for sealed in (old, new)] == [b"old", b"new"]
    keys.replace([OTHER])
    assert [keys.unseal(b"purpose", sealed, b"") for sealed in (old, new)] == [None, b"new"]
    assert keys.unseal(b"another", new, b"") is None
    for foreign in (None, "text", 7, [new]):
        assert keys.unseal(b"purpose", foreign, b"") is None


@pytest.mark.parametrize(
    "keys", [[], [b"short"], [ONE, b""], ["1" * 32], ONE, None, [ONE] * (limits.FLEET_KEYS + 1), [bytearray(ONE)]]
)
def test_what_is_no_key(keys: object) -> None:
    with pytest.raises(ConfigError, match="fleet") as caught:
        FleetKeys(keys)  # type: ignore[arg-type]
    assert "openssl rand -hex 32" in caught.value.hint
    assert "1111" not in str(caught.value)


def test_keys_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.key"
    file.write_text(f"# made today\n{OTHER.hex()}  # seals\n\n{ONE.hex().upper()}\n")
    assert read_keys(file) == [OTHER, ONE]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no key"),
        (b"# nothing\n", "holds no key"),
        (ONE.hex().encode() + b"\n" + b"12", "line 2 of"),
        (ONE.hex().encode() + b"00", "line 1 of"),
        ((ONE.hex().encode() + b"\n") * (limits.FLEET_KEYS + 1), "holds more than 4 keys"),
        (b"\xff" * 64, "line 1 of"),
        (b"zz" * 32, "line 1 of"),
    ],
)
def test_a_file_of_other_things(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "fleet.key"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        read_keys(file)
    assert ONE.hex() not in str(caught.value)
    with pytest.raises(ConfigError, match="no such file"):
        read_keys(tmp_path / "missing")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
def test_a_file_that_is_open_to_all_is_warned_of(
    tmp_path: Path, mode: int, warned: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_module("redis")
    # None is held back.
    monkeypatch.setattr(logs, "_kinds", {})
    file = tmp_path / "fleet.key"
    file.write_text(ONE.hex())
    file.chmod(mode)
    with RedisFleet(f"unix://{tmp_path}/nothing.sock", file) as node:
        node.replace_keys(file)
    told = [message for message in caplog.messages if str(file) in message]
    assert len(told) == 2 * warned
    assert all("chmod o=" in line and ONE.hex() not in line for line in told)

"""How many clients a proxy lets in at once, and what the others are told."""

from __future__ import annotations

import logging
import resource
from typing import TYPE_CHECKING

import pytest

from handfast import limits
from handfast.errors import ConfigError
from handfast.proxy.admission import Ceilings, Limited, room_for
from tests.proxy.support import backend, echo, running, tcp

if TYPE_CHECKING:
    from tests.aio.conftest import Runner


def codes(admission, *addresses):
    """What each of them is told, one after the other."""
    refusals = [admission.admit("here", address) for address in addresses]
    return [refusal and refusal.code for refusal in refusals]


def test_so_many_at_once():
    admission = Limited(Ceilings(connections=2))
    first, second = ("192.0.2.1", 1), ("192.0.2.2", 1)
    assert codes(admission, first, second, first) == [None, None, "too_many_connections"]
    admission.leave("here", first)
    assert codes(admission, second) == [None]


def test_so_many_of_one_address():
    admission = Limited(Ceilings(per_client=1))
    assert codes(admission, ("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.2", 1)) == [None, "too_many_of_client", None]
    admission.leave("here", ("192.0.2.1", 1))
    assert codes(admission, ("192.0.2.1", 3)) == [None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_what_counts_as_one_client(one, other, same):
    admission = Limited(Ceilings(per_client=1))
    assert codes(admission, (one, 1), (other, 1)) == [None, "too_many_of_client" if same else None]


def test_clients_of_a_unix_socket_count_as_all_only():
    admission = Limited(Ceilings(connections=3, per_client=1))
    assert codes(admission, "", "", b"", "") == [None, None, None, "too_many_connections"]


def test_so_many_handshakes():
    admission = Limited(Ceilings(handshakes=1))
    assert codes(admission, ("192.0.2.1", 1), ("192.0.2.2", 1)) == [None, "too_many_handshakes"]
    admission.handshake_over()
    assert codes(admission, ("192.0.2.2", 1)) == [None]


def test_so_many_in_a_second():
    now = [0.0]
    admission = Limited(Ceilings(per_second=1), clock=lambda: now[0])
    client, burst = ("192.0.2.1", 1), int(limits.PROXY_BURST_SECONDS)
    assert codes(admission, *[client] * (burst + 1)) == [None] * burst + ["too_fast"]
    assert codes(admission, ("192.0.2.2", 1)) == [None]
    now[0] = 1.0
    assert codes(admission, client, client) == [None, "too_fast"]


def test_rates_are_remembered_of_so_many():
    admission = Limited(Ceilings(per_second=1, connections=2**31, handshakes=2**31))
    for number in range(limits.PROXY_RATES + 10):
        admission.admit("here", (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1))
    assert len(admission._rates) == limits.PROXY_RATES


def test_the_log_is_throttled(caplog):
    admission = Limited(Ceilings(connections=1))
    with caplog.at_level(logging.WARNING, "handfast"):
        codes(admission, *[("192.0.2.1", 1)] * (limits.LOGGED_FAILURES_AT_ONCE + 100))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) <= limits.LOGGED_FAILURES_AT_ONCE + 10
    assert "1 clients are connected, which is the limit" in lines[0]


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 0} for name in ("connections", "handshakes")),
        {"per_client": -1},
        *({name: limits.PROXY_MOST + 1} for name in ("connections", "per_client", "handshakes", "per_second")),
        *({"per_second": rate} for rate in (-0.5, float("nan"), float("inf"), 1e308)),
    ],
    ids=str,
)
def test_what_is_no_limit(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Ceilings(**wrong)


def test_the_defaults():
    most = Ceilings()
    assert (most.connections, most.per_client) == (limits.PROXY_CONNECTIONS, limits.PROXY_CONNECTIONS_PER_CLIENT)
    assert most.handshakes == limits.PROXY_HANDSHAKES


def test_files_for_all_of_them():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        room_for(Ceilings(connections=10))
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 20 + limits.PROXY_OWN_DESCRIPTORS
        if hard != resource.RLIM_INFINITY:
            with pytest.raises(ConfigError, match="open files") as caught:
                room_for(Ceilings(connections=hard))
            assert "LimitNOFILE" in caught.value.hint
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_proxy_asks_and_gives_places_free(run: Runner) -> None:
    async def main() -> None:
        admission = Limited(Ceilings(connections=1))
        async with backend(echo) as address, running(tcp(address), admission=admission) as proxy:
            reader, writer = await proxy.client()
            with pytest.raises((OSError, Exception)):
                await proxy.client()
            entry = await proxy.refused()
            assert (entry.code, entry.info) == ("too_many_connections", None)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await proxy.ended(2)
            _, again = await proxy.client()
            again.close()
            await proxy.ended(3)
        assert (admission._connections, admission._handshakes, dict(admission._of_client)) == (0, 0, {})

    run(main())


def test_a_handshake_that_fails_is_over_too(run: Runner) -> None:
    async def main() -> None:
        admission = Limited(Ceilings(handshakes=1))
        async with backend(echo) as address, running(tcp(address), admission=admission) as proxy:
            for number in range(1, 4):
                reader, writer = await proxy.client(anonymous=True)
                with pytest.raises(Exception, match="certificate_required"):
                    await reader.read()
                writer.close()
                assert (await proxy.refused(number)).code == "certificate_required"
            assert admission._handshakes == 0

    run(main())

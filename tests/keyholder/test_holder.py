"""The holder: whom it serves, what it refuses, and that no request ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import socket
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from handfast import ClientAuth, HeldKey, KeyHolder, aio, limits
from handfast.credentials.signers import LocalSigner
from handfast.crypto import signatures
from handfast.crypto.private_keys import public_key_info_of
from handfast.errors import ConfigError
from handfast.keyholder.messages import (
    Answer,
    CertificateVerify13,
    Code,
    Request,
    ServerKeyExchange12,
    Side,
    compose,
    frame,
    key_id_of_certificate,
    read_frame,
)
from handfast.registry import NamedGroup, SignatureScheme
from handfast.roles import Role
from handfast.wire.codec import decode, encode
from tests import certificates
from tests.aio.support import client_config, identity, server_config
from tests.keyholder.support import Running, close, held, remote
from tests.waiting import LIMIT, with_growing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ISSUED = certificates.server()
KEY_ID = key_id_of_certificate(ISSUED.chain[0])
ECDSA = SignatureScheme.ecdsa_secp256r1_sha256
PROOF = CertificateVerify13(Side.server, bytes(32))
PARAMS = ServerKeyExchange12(bytes(32), bytes(32), NamedGroup.x25519, bytes(32))
GOOD = Request.of(1, KEY_ID, ECDSA, PROOF)


@contextlib.asynccontextmanager
async def holding(path: Path, *keys: HeldKey, clock: Any = lambda: 0.0, **options: Any) -> AsyncIterator[KeyHolder]:
    holder = KeyHolder(keys or [held(ISSUED)], clock=clock)
    await holder.listen_unix(path, **options)
    try:
        yield holder
    finally:
        await holder.close()


class Caller:
    """Somebody who says what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> Answer:
        return decode(Answer, await read_frame(self.reader, limits.HOLDER_ANSWER_FRAME))

    async def ask(self, *requests: Request) -> list[Answer]:
        self.writer.write(b"".join(map(frame, requests)))
        return [await self.answer() for _ in requests]

    async def at_end(self) -> bool:
        return await self.reader.read() == b""


@contextlib.asynccontextmanager
async def calling(path: Path) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def asked(path: Path, *requests: Request, keys: tuple[HeldKey, ...] = (), **options: Any) -> list[Answer]:
    async def main() -> list[Answer]:
        async with holding(path, *keys, **options), calling(path) as caller:
            return await caller.ask(*requests)

    return asyncio.run(asyncio.wait_for(main(), LIMIT))


def code_of(path: Path, request: Request, *keys: HeldKey) -> Code:
    """What becomes of a request; a good one that follows is answered all the same."""
    refused, good = asked(path, request, replace(GOOD, request_id=2), keys=(*keys, held(ISSUED))[:1])
    by_id = {refused.request_id: refused, good.request_id: good}
    assert set(by_id) == {request.request_id, 2}
    return Code(by_id[request.request_id].code)


def test_it_signs_what_a_handshake_needs(tmp_path: Path) -> None:
    (answer,) = asked(tmp_path / "s", GOOD)
    assert (answer.code, answer.request_id) == (Code.signed, 1)
    key = signatures.certificate_public_key(ISSUED.chain[0])
    assert signatures.verify(key, ECDSA, answer.signature, compose(PROOF)[1])


def test_a_held_key_is_the_one_that_it_is_called_by() -> None:
    issued, other = certificates.server(), certificates.client()
    with pytest.raises(ConfigError) as refused:
        HeldKey(LocalSigner(issued.key), public_key_info_of(other.key), [Role.SERVER])
    assert refused.value.code == "key_mismatch"


def test_tls12_is_signed_where_the_key_is_for_it(tmp_path: Path) -> None:
    request = Request.of(1, KEY_ID, ECDSA, PARAMS)
    (answer,) = asked(tmp_path / "s", request, keys=(held(ISSUED, [Role.SERVER], tls12=True),))
    key = signatures.certificate_public_key(ISSUED.chain[0])
    assert signatures.verify(key, ECDSA, answer.signature, compose(PARAMS)[1])
    assert code_of(tmp_path / "s", request) == Code.kind_refused


REFUSALS: dict[str, tuple[Request, HeldKey, Code]] = {
    "the other role": (replace(GOOD), held(ISSUED, [Role.CLIENT]), Code.role_refused),
    "a client in TLS 1.2": (
        Request.of(1, KEY_ID, ECDSA, PARAMS), held(ISSUED, [Role.CLIENT], tls12=True), Code.role_refused,
    ),
    "a scheme of another key": (
        Request.of(1, KEY_ID, SignatureScheme.ed25519, PROOF), held(ISSUED), Code.scheme_refused,
    ),
    "a key that it does not hold": (Request.of(1, bytes(32), ECDSA, PROOF), held(ISSUED), Code.unknown_key),
    "a kind that does not exist": (replace(GOOD, kind=4), held(ISSUED), Code.malformed),
    "the parts of another kind": (replace(GOOD, kind=2), held(ISSUED), Code.malformed),
    "a role that does not exist": (
        Request.of(1, KEY_ID, ECDSA, CertificateVerify13(0, bytes(32))), held(ISSUED), Code.malformed,
    ),
    "a hash of no suite": (
        Request.of(1, KEY_ID, ECDSA, CertificateVerify13(Side.server, bytes(33))), held(ISSUED), Code.malformed,
    ),
    "another version": (replace(GOOD, version=2), held(ISSUED), Code.unsupported_version),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "key", "code"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(tmp_path: Path, request_: Request, key: HeldKey, code: Code) -> None:
    assert code_of(tmp_path / "s", request_, key) == code


def test_a_scheme_that_the_key_could_make_and_may_not(tmp_path: Path) -> None:
    issued = certificates.server("rsa-2048")
    key_id = key_id_of_certificate(issued.chain[0])
    pss, larger = SignatureScheme.rsa_pss_rsae_sha256, SignatureScheme.rsa_pss_rsae_sha384
    requests = [Request.of(number, key_id, scheme, PROOF) for number, scheme in enumerate((pss, larger), 1)]
    answers = asked(tmp_path / "s", *requests, keys=(held(issued, schemes=(pss,)),))
    codes = {answer.request_id: answer.code for answer in answers}
    assert codes == {1: Code.signed, 2: Code.scheme_refused}


def test_pkcs1_has_no_place_in_tls13(tmp_path: Path) -> None:
    class Pkcs1:
        schemes = (SignatureScheme.rsa_pkcs1_sha256, SignatureScheme.rsa_pkcs1_sha256_legacy)

        def sign(self, scheme: int, message: bytes) -> bytes:
            return signatures.sign(issued.key, scheme, message)

    issued = certificates.server("rsa-2048")
    key_id = key_id_of_certificate(issued.chain[0])
    scheme = SignatureScheme.rsa_pkcs1_sha256
    requests = [Request.of(1, key_id, scheme, PROOF), Request.of(2, key_id, scheme, PARAMS)]
    answers = asked(tmp_path / "s", *requests, keys=(held(issued, signer=Pkcs1(), tls12=True),))
    assert {one.request_id: one.code for one in answers} == {1: Code.scheme_refused, 2: Code.signed}
    # RFC 9963: its other name is for clients in TLS 1.3.
    scheme = SignatureScheme.rsa_pkcs1_sha256_legacy
    requests = [Request.of(0, key_id, scheme, PROOF), Request.of(1, key_id, scheme, PARAMS)]
    requests.append(Request.of(2, key_id, scheme, CertificateVerify13(Side.client, bytes(32))))
    answers = asked(tmp_path / "s", *requests, keys=(held(issued, signer=Pkcs1(), tls12=True),))
    codes = {one.request_id: one.code for one in answers}
    assert codes == {0: Code.scheme_refused, 1: Code.scheme_refused, 2: Code.signed}


@pytest.mark.parametrize("what", ["raises", "none", "empty", "too long"])
def test_a_signer_that_fails(tmp_path: Path, what: str) -> None:
    class Failing:
        schemes = (ECDSA,)

        async def sign(self, scheme: int, message: bytes) -> Any:
            if what == "raises":
                raise ZeroDivisionError("a secret")
            return {"none": None, "empty": b"", "too long": bytes(limits.HOLDER_SIGNATURE + 1)}[what]

    answers = asked(tmp_path / "s", GOOD, replace(GOOD, request_id=2), keys=(held(ISSUED, signer=Failing()),))
    assert [(answer.code, answer.signature) for answer in answers] == [(Code.signing_failed, b"")] * 2


def test_noise_is_answered_and_does_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        async with holding(tmp_path / "s"), calling(tmp_path / "s") as caller:
            for noise in (b"\0\0\0", b"\0\0\1\1", b"\0\0\7\1\0\0\0\7no"):
                caller.writer.write(noise)
                assert (await caller.answer()).code in (Code.malformed, Code.unsupported_version)
            assert [answer.code for answer in await caller.ask(GOOD)] == [Code.signed]

    asyncio.run(main())


def test_a_frame_that_is_too_large_ends_the_connection_unread(tmp_path: Path) -> None:
    async def main() -> None:
        async with holding(tmp_path / "s"), calling(tmp_path / "s") as caller:
            caller.writer.write((limits.HOLDER_REQUEST_FRAME + 1).to_bytes(3, "big"))
            answer = await caller.answer()
            assert (answer.code, answer.request_id) == (Code.malformed, 0)
            assert await caller.at_end()

    asyncio.run(main())


def test_a_user_who_is_not_on_the_list(tmp_path: Path) -> None:
    async def main() -> None:
        async with holding(tmp_path / "s", uids=[os.geteuid() + 1]), calling(tmp_path / "s") as caller:
            answer = await caller.answer()
            assert (answer.code, answer.request_id) == (Code.caller_refused, 0)
            assert await caller.at_end()

    asyncio.run(main())


def test_the_socket_file(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def main() -> None:
        async with holding(path):
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            with pytest.raises(ConfigError) as refused:
                await KeyHolder([]).listen_unix(path)
            assert refused.value.code == "file_exists"
        assert not path.exists()
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
        async with holding(path, mode=0o660):
            assert stat.S_IMODE(path.lstat().st_mode) == 0o660
            path.unlink()
            path.write_text("somebody else's")
        assert path.read_text() == "somebody else's"
        with pytest.raises(ConfigError, match="exists already"):
            await KeyHolder([]).listen_unix(path)

    asyncio.run(main())


@pytest.mark.parametrize("what", ["a link", "a file"])
def test_what_took_the_place_of_the_socket_file_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path, other = tmp_path / "s", tmp_path / "somebody's"
    other.write_text("")
    other.chmod(0o640)

    class Swapped(socket.socket):
        def bind(self, address: Any) -> None:
            super().bind(address)
            path.unlink()
            path.symlink_to(other) if what == "a link" else path.hardlink_to(other)

    async def main() -> None:
        with pytest.raises(ConfigError) as refused:
            await KeyHolder([]).listen_unix(path, mode=0o666)
        assert refused.value.code == "file_exists"

    monkeypatch.setattr(socket, "socket", Swapped)
    asyncio.run(main())
    assert stat.S_IMODE(other.stat().st_mode) == 0o640


def test_a_system_that_does_not_say_who_connects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED")
    with pytest.raises(ConfigError, match="does not say who"):
        asyncio.run(KeyHolder([]).listen_unix(tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_a_caller_has_so_many_signatures_and_then_so_many_per_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOLDER_SIGNATURES_AT_ONCE", 2)
    monkeypatch.setattr(limits, "HOLDER_SIGNATURES_PER_SECOND", 10.0)
    now = 0.0

    async def main() -> None:
        nonlocal now
        async with holding(tmp_path / "s", clock=lambda: now):
            for expected in ([Code.signed, Code.signed, Code.busy], [Code.busy] * 3):
                # Connecting anew changes nothing.
                async with calling(tmp_path / "s") as caller:
                    assert [answer.code for answer in await caller.ask(GOOD, GOOD, GOOD)] == expected
            now = 0.1
            async with calling(tmp_path / "s") as caller:
                assert [answer.code for answer in await caller.ask(GOOD, GOOD)] == [Code.signed, Code.busy]

    asyncio.run(main())


class Slow:
    """Signs when the test lets it."""

    schemes = (ECDSA,)

    def __init__(self) -> None:
        self.asked = 0
        self.go = asyncio.Event()

    async def sign(self, scheme: int, message: bytes) -> bytes:
        self.asked += 1
        await self.go.wait()
        return b"signature"


def test_so_many_requests_wait_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDER_PENDING", 2)

    async def main() -> None:
        slow = Slow()
        async with holding(tmp_path / "s", held(ISSUED, signer=slow)), calling(tmp_path / "s") as caller:
            caller.writer.write(b"".join(frame(replace(GOOD, request_id=number)) for number in (1, 2, 3)))
            answer = await caller.answer()
            assert (answer.request_id, answer.code) == (3, Code.busy)
            slow.go.set()
            assert {(await caller.answer()).request_id for _ in range(2)} == {1, 2}
            assert slow.asked == 2

    asyncio.run(main())


def test_so_many_bytes_of_requests_wait_on_one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDER_PENDING_BYTES", 2 * len(encode(GOOD)))

    async def main() -> None:
        slow = Slow()
        async with holding(tmp_path / "s", held(ISSUED, signer=slow)), calling(tmp_path / "s") as caller:
            caller.writer.write(b"".join(frame(replace(GOOD, request_id=number)) for number in (1, 2, 3)))
            answer = await caller.answer()
            assert (answer.request_id, answer.code) == (3, Code.busy)
            slow.go.set()
            assert {(await caller.answer()).request_id for _ in range(2)} == {1, 2}
            assert (await caller.ask(replace(GOOD, request_id=4)))[0].code == Code.signed

    asyncio.run(main())


@pytest.mark.parametrize(
    ("limit", "value"),
    [("HOLDER_PENDING_PER_CALLER", 2), ("HOLDER_PENDING_BYTES_PER_CALLER", 2 * len(encode(GOOD)))],
)
def test_so_many_requests_of_one_caller_wait_on_all_its_connections(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, limit, value)

    async def main() -> None:
        slow = Slow()
        async with holding(tmp_path / "s", held(ISSUED, signer=slow)) as holder:
            async with calling(tmp_path / "s") as first, calling(tmp_path / "s") as second:
                first.writer.write(b"".join(frame(replace(GOOD, request_id=number)) for number in (1, 2)))
                while slow.asked < 2:
                    await asyncio.sleep(0)
                (answer,) = await second.ask(replace(GOOD, request_id=3))
                assert answer.code == Code.busy
                slow.go.set()
                assert {(await first.answer()).code for _ in range(2)} == {Code.signed}
                (answer,) = await second.ask(replace(GOOD, request_id=4))
                assert answer.code == Code.signed
                # What waited on a connection that is gone is waited for no more.
                slow.go.clear()
                first.writer.write(b"".join(frame(replace(GOOD, request_id=number)) for number in (5, 6)))
                while slow.asked < 5:
                    await asyncio.sleep(0)
            (known,) = holder._callers.values()
            while known.connections:
                await asyncio.sleep(0)
            assert (known.pending, known.pending_bytes) == (0, 0)

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_so_many_callers_are_remembered_and_those_that_are_connected_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits.HOLDER_CALLERS > limits.HOLDER_CONNECTIONS
    monkeypatch.setattr(limits, "HOLDER_CALLERS", 2)

    async def main() -> None:
        tls = server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
        names = [f"DNS:caller{number}" for number in range(4)]
        async with holding(tmp_path / "s") as holder, calling(tmp_path / "s") as local:
            await local.ask(GOOD)
            host, port, *_ = await holder.listen_tls("127.0.0.1", 0, tls, names=names)
            for number in range(4):
                config = client_config(credentials=[identity(certificates.ca().client(f"caller{number}"))])
                streams = await aio.open_connection(host, port, config, server_name="localhost")
                other = Caller(*streams)
                assert [answer.code for answer in await other.ask(GOOD)] == [Code.signed]
                other.writer.close()
                # The holder sees that it is gone.
                while holder._served > 1:
                    await asyncio.sleep(0)
            assert list(holder._callers) == [f"uid {os.geteuid()}", "DNS:caller3"]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_so_many_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HOLDER_CONNECTIONS", 1)

    async def main() -> None:
        async with holding(tmp_path / "s"), calling(tmp_path / "s") as first:
            await first.ask(GOOD)
            async with calling(tmp_path / "s") as second:
                answer = await second.answer()
                assert (answer.code, answer.request_id) == (Code.busy, 0)

    asyncio.run(main())


def test_so_many_connections_of_one_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.HOLDER_CONNECTIONS_PER_CALLER < limits.HOLDER_CONNECTIONS
    monkeypatch.setattr(limits, "HOLDER_CONNECTIONS_PER_CALLER", 1)

    async def main() -> None:
        tls = server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
        async with holding(tmp_path / "s") as holder:
            host, port, *_ = await holder.listen_tls("127.0.0.1", 0, tls, names=["DNS:alice"])
            async with calling(tmp_path / "s") as first:
                await first.ask(GOOD)
                async with calling(tmp_path / "s") as second:
                    answer = await second.answer()
                    assert (answer.code, answer.request_id) == (Code.busy, 0)
                # Another caller has connections of its own.
                streams = await aio.open_connection(host, port, client_config(), server_name="localhost")
                other = Caller(*streams)
                assert [answer.code for answer in await other.ask(GOOD)] == [Code.signed]
                other.writer.close()
            async with calling(tmp_path / "s") as again:
                assert [answer.code for answer in await until_there_is_room(again, tmp_path / "s")] == [Code.signed]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


async def until_there_is_room(caller: Caller, path: Path) -> list[Answer]:
    """The holder needs a moment to see that somebody is gone."""
    while True:
        answers = await caller.ask(GOOD)
        if answers[0].request_id:
            return answers
        caller.reader, caller.writer = await asyncio.open_unix_connection(path)


@pytest.mark.parametrize("what", ["says nothing", "stops in a request", "reads nothing", "reads nothing and ends"])
def test_a_caller_with_whom_nothing_happens_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(limits, "HOLDER_IDLE_TIMEOUT", 0.2)
    monkeypatch.setattr(limits, "LINGER_TIMEOUT", 0.05)

    async def main() -> None:
        async with holding(tmp_path / "s") as holder:
            _, writer = await asyncio.open_unix_connection(tmp_path / "s")
            if what == "stops in a request":
                writer.write(frame(GOOD)[:-1])
            if what.startswith("reads nothing"):
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                requests = frame(replace(GOOD, version=2))
                while not any(one.transport.get_write_buffer_size() for one in writers):
                    writer.write(requests)
                    await asyncio.sleep(0)
            if what.endswith("ends"):
                writer.write_eof()
            while not holder._tasks:
                await asyncio.sleep(0)
            await asyncio.gather(*holder._tasks)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    writers: list[asyncio.StreamWriter] = []
    welcome = KeyHolder._welcome

    async def noted(self: Any, reader: Any, writer: Any, *rest: Any, **options: Any) -> None:
        writers.append(writer)
        await welcome(self, reader, writer, *rest, **options)
        assert writer.transport.get_write_buffer_size() == 0

    monkeypatch.setattr(KeyHolder, "_welcome", noted)
    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_caller_that_goes_on_asking_is_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(path: Path, seconds: float) -> None:
        # A second between any two looks at the clock, so that the signatures of a caller are not what runs out.
        async with holding(path, clock=itertools.count().__next__), calling(path) as caller:
            over = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_later(2 * seconds, over.set_result, None)
            while not over.done():
                assert (await caller.ask(GOOD))[0].code == Code.signed

    def attempt(seconds: float) -> None:
        monkeypatch.setattr(limits, "HOLDER_IDLE_TIMEOUT", seconds)
        asyncio.run(main(tmp_path / f"{seconds}", seconds))

    with_growing(0.2, attempt)


def test_refusals_in_the_log_are_held_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refused = replace(GOOD, version=2)

    def lines() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]

    async def main() -> None:
        nonlocal now
        async with holding(tmp_path / "s", clock=lambda: now), calling(tmp_path / "s") as caller:
            await caller.ask(*[refused] * (limits.LOGGED_FAILURES_AT_ONCE + 5))
            assert len(lines()) == limits.LOGGED_FAILURES_AT_ONCE
            now += 1 / limits.LOGGED_FAILURES_PER_SECOND
            await caller.ask(refused, refused)
            assert len(lines()) == limits.LOGGED_FAILURES_AT_ONCE + 1
            assert lines()[-1] == f"uid {os.geteuid()}: unsupported_version (5 more before this are not shown)"
            # Signatures are all there.
            await caller.ask(*[GOOD] * 30)

    with caplog.at_level(logging.INFO, "handfast.keyholder"):
        asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert sum("signed as" in record.getMessage() for record in caplog.records) == 30


@pytest.mark.parametrize("why", ["not on the list", "too many connections", "signing failed"])
def test_every_refusal_in_the_log_is_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    monkeypatch.setattr(limits, "LOGGED_FAILURES_AT_ONCE", 1)
    options: dict[str, Any] = {"uids": [os.geteuid() + 1]} if why == "not on the list" else {}
    if why == "too many connections":
        monkeypatch.setattr(limits, "HOLDER_CONNECTIONS", 0)

    class Failing:
        schemes = (ECDSA,)

        def sign(self, scheme: int, message: bytes) -> bytes:
            raise ZeroDivisionError

    async def main() -> None:
        async with holding(tmp_path / "s", held(ISSUED, signer=Failing()), **options):
            for _ in range(3):
                async with calling(tmp_path / "s") as caller:
                    if why == "signing failed":
                        await caller.ask(GOOD)
                    else:
                        await caller.answer()

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert [why in record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [True]


# Callers with TLS


def test_callers_are_known_by_their_certificate(tmp_path: Path) -> None:
    tls = server_config(client_auth=ClientAuth.REQUIRE_AND_VERIFY)
    with Running(tls=tls, names=["DNS:alice"]) as running:
        known = remote(ISSUED, ("127.0.0.1", running.port), tls=client_config())
        assert known.signer.sign(ECDSA, compose(PROOF)[1])
        strangers = {
            "not one that may use it": client_config(credentials=[_credentials(certificates.client(name="bob"))]),
            "unknown_ca": client_config(credentials=[_credentials(certificates.other_ca().client("alice"))]),
            "certificate_required": client_config(anonymous=True),
        }
        for reason, config in strangers.items():
            stranger = remote(ISSUED, ("127.0.0.1", running.port), tls=config)
            with pytest.raises(Exception, match=reason):
                stranger.signer.sign(ECDSA, compose(PROOF)[1])
            close(stranger)
        close(known)


def _credentials(issued: Any) -> Any:
    from tests.aio.support import identity

    return identity(issued)


@pytest.mark.parametrize("mode", [mode for mode in ClientAuth if mode is not ClientAuth.REQUIRE_AND_VERIFY])
def test_a_configuration_that_lets_strangers_in_is_refused(mode: ClientAuth) -> None:
    config = server_config(client_auth=mode)
    with pytest.raises(ConfigError, match="callers without a verified certificate"):
        asyncio.run(KeyHolder([]).listen_tls("127.0.0.1", 0, config, names=["DNS:alice"]))


# Keys


def test_keys_are_held_for_something() -> None:
    with pytest.raises(ConfigError, match="the key cannot make ed25519"):
        held(ISSUED, schemes=(SignatureScheme.ed25519,))
    for roles, words in (([], "held for the role"), (["nobody"], "'nobody' is neither of client and server")):
        with pytest.raises(ConfigError, match=words):
            held(ISSUED, roles)  # type: ignore[arg-type]
    assert held(ISSUED, ["server"]).roles == (Role.SERVER,)  # type: ignore[list-item]
    assert held(ISSUED, schemes=["ECDSA+SHA256"]).schemes == (SignatureScheme.ecdsa_secp256r1_sha256,)


def test_a_key_from_a_file_has_the_id_of_its_certificates(tmp_path: Path) -> None:
    for kind in ("ecdsa-p256", "ed25519", "rsa-2048"):
        issued = certificates.server(kind)
        path = tmp_path / "key"
        path.write_bytes(issued.key_pem)
        assert HeldKey.from_file(path, roles=[Role.SERVER]).key_id == key_id_of_certificate(issued.chain[0])


@pytest.mark.parametrize("turns", range(7))
def test_a_connection_that_comes_while_it_closes_is_ended(tmp_path: Path, turns: int) -> None:
    async def main() -> bytes:
        holder = KeyHolder([held(certificates.server())])
        await holder.listen_unix(tmp_path / "s")
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "s"))
            for _ in range(turns):
                await asyncio.sleep(0)
            await holder.close()
            caller.settimeout(LIMIT)
            try:
                return caller.recv(1)
            except ConnectionResetError:
                return b""

    # An unclosed transport would be a ResourceWarning, and that is an error.
    assert asyncio.run(main()) == b""
    gc.collect()

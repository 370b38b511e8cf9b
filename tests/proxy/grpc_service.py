"""A service of grpcio's, and its client: messages are bytes, and each method shows another thing that HTTP carries."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc

from tests.waiting import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_NAME = "test.Service"


class Service:
    """What the methods do. ``cancelled`` is set once the server hears that a client gave up."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.metadata: dict[str, Any] = {}

    def unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Sends back the message, with who the client is by a proxy's word or in TLS, and trailers of its own."""
        self.metadata = dict(context.invocation_metadata())
        shown = context.auth_context().get("x509_common_name", [b"nobody"])[0].decode()
        context.send_initial_metadata([("x-who", self.metadata.get("x-ssl-client-s-dn", shown))])
        context.set_trailing_metadata([("x-after", "1")])
        return request

    def download(self, request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
        """As many messages of 64 KiB as the request says."""
        for n in range(int(request)):
            yield bytes([n % 256]) * 65536

    def upload(self, requests: Iterable[bytes], _: grpc.ServicerContext) -> bytes:
        """How many bytes came."""
        return b"%d" % sum(map(len, requests))

    def both(self, requests: Iterable[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
        """Answers each message as it comes."""
        for request in requests:
            yield request.upper()

    def fail(self, request: bytes, context: grpc.ServicerContext) -> None:
        """An error without a message: HTTP's answer is trailers and nothing else."""
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"no {request.decode()}, 100 %")

    def endless(self, _: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """One message, and then silence until the client gives up."""
        context.add_callback(self.cancelled.set)
        yield b"first"
        self.cancelled.wait(LIMIT)

    def handler(self) -> grpc.GenericRpcHandler:
        """The methods by their names."""
        return grpc.method_handlers_generic_handler(
            _NAME,
            {
                "unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "download": grpc.unary_stream_rpc_method_handler(self.download),
                "upload": grpc.stream_unary_rpc_method_handler(self.upload),
                "both": grpc.stream_stream_rpc_method_handler(self.both),
                "fail": grpc.unary_unary_rpc_method_handler(self.fail),
                "endless": grpc.unary_stream_rpc_method_handler(self.endless),
            },
        )


@contextlib.contextmanager
def serving(service: Service, mutual: Path | None = None) -> Iterator[int]:
    """The service at a port of 127.0.0.1: plain, or by TLS with the files of this folder, for clients of their CA."""
    pool = ThreadPoolExecutor(8)
    server = grpc.server(pool, handlers=[service.handler()])
    try:
        if mutual is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            key, chain = (mutual / "server.key").read_bytes(), (mutual / "server.pem").read_bytes()
            trust = (mutual / "ca.pem").read_bytes()
            secured = grpc.ssl_server_credentials([(key, chain)], trust, require_client_auth=True)
            port = server.add_secure_port("127.0.0.1:0", secured)
        server.start()
        yield port
    finally:
        service.cancelled.set()
        server.stop(None).wait(LIMIT)
        pool.shutdown()


def secured(folder: Path, *, anonymous: bool = False) -> grpc.ChannelCredentials:
    """What a client needs for TLS: the certificate of this folder, unless it is to have none, and its CA."""
    trust = (folder / "ca.pem").read_bytes()
    if anonymous:
        return grpc.ssl_channel_credentials(trust)
    key, chain = (folder / "client.key").read_bytes(), (folder / "client.pem").read_bytes()
    return grpc.ssl_channel_credentials(trust, key, chain)


class Client:
    """A client, of methods of the same names. ``credentials`` is None for one without TLS."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        # One connection for each client, through no other proxy.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        if credentials is None:
            self.channel = grpc.insecure_channel(target, options)
        else:
            self.channel = grpc.secure_channel(target, credentials, options)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def unary(self, request: bytes, **options: Any) -> tuple[bytes, Any]:
        """The answer, and the call, which has the metadata."""
        answer, call = self.channel.unary_unary(self._path("unary")).with_call(request, timeout=LIMIT, **options)
        return bytes(answer), call

    def download(self, count: int) -> Iterator[bytes]:
        yield from self.channel.unary_stream(self._path("download"))(b"%d" % count, timeout=LIMIT)

    def upload(self, requests: Iterable[bytes]) -> bytes:
        return bytes(self.channel.stream_unary(self._path("upload"))(iter(requests), timeout=LIMIT))

    def both(self, requests: Iterator[bytes]) -> Iterator[bytes]:
        yield from self.channel.stream_stream(self._path("both"))(requests, timeout=LIMIT)

    def fail(self, request: bytes) -> grpc.RpcError:
        """The error that the method ends in."""
        try:
            self.channel.unary_unary(self._path("fail"))(request, timeout=LIMIT)
        except grpc.RpcError as error:
            return error
        raise AssertionError("it did not fail")

    def endless(self) -> Any:
        """The call, which gives messages and can be cancelled."""
        return self.channel.unary_stream(self._path("endless"))(b"", timeout=LIMIT)

    @staticmethod
    def _path(method: str) -> str:
        return f"/{_NAME}/{method}"


def use_all(client: Client, service: Service, who: str) -> None:
    """Each kind of call through whatever is between the two, and a cancelled one. ``who`` the server must meet."""
    answer, call = client.unary(b"hello" * 1000)
    assert answer == b"hello" * 1000
    assert (dict(call.initial_metadata())["x-who"], dict(call.trailing_metadata())["x-after"]) == (who, "1")
    # Larger than all buffers and windows on the way.
    assert [len(part) for part in client.download(100)] == [65536] * 100
    assert client.upload(b"x" * 65536 for _ in range(100)) == b"6553600"
    _talk(client)
    error = client.fail(b"luck")
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "no luck, 100 %")
    endless = client.endless()
    assert next(endless) == b"first"
    endless.cancel()
    assert service.cancelled.wait(LIMIT)


def _talk(client: Client) -> None:
    """Each side speaks only once it has heard the other."""
    heard = threading.Semaphore(1)
    said: list[bytes] = []

    def saying() -> Iterator[bytes]:
        for word in (b"one", b"two", b"three"):
            assert heard.acquire(timeout=LIMIT)
            yield word

    for answer in client.both(saying()):
        said.append(answer)
        heard.release()
    assert said == [b"ONE", b"TWO", b"THREE"]

"""HTTP/2 for ``handfast serve``, by h2: the requests of one connection, in its one thread. RFC 9113.

What has come is taken first, streams that were reset again included, then requests are answered, then bodies are sent
in turns, a frame of each, as far as the client's windows go; between two rounds whatever came meanwhile is taken. So no
stream waits for another one, and an answer that is no longer wanted is not made.

A client is held to limits: of streams, of header bytes (h2 keeps both), of bytes that are held for it, of time, and of
frames that cost us something and it nothing. Who crosses one of the last two loses the connection, with GOAWAY.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import FrameTooLargeError, H2Error, StreamClosedError

from handfast import limits
from handfast.cli.http import BodyCut, Reply, Request, too_large
from handfast.errors import ConnectionLost
from handfast.http2_bounds import Costs, TooMuch, server_connection
from handfast.http2_frames import PREFACE, Frames, Goaway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handfast.cli.http import Body

_CHUNK = 64 * 1024
# What of an answer must have been taken before its time begins anew: a frame of the usual size.
_STEP = 16 * 1024


class Stream(Protocol):
    """What HTTP/2 runs over: a ``Patient``."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...

    def allow(self, seconds: float, /) -> None: ...

    def ready(self) -> bool: ...


def serve(
    stream: Stream,
    answer: Callable[[Request], Reply],
    log: Callable[[str, str, int], object] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Answer the requests of one connection until the client or an error ends it; as ``http.serve`` does.

    Raises what ``stream`` raises.
    """
    connection = _Connection(stream, answer, log, clock)
    try:
        connection.run()
    finally:
        connection.close()


class _Upload:
    """A request whose body is still coming; one that is answered already is not kept, but ``unwanted``."""

    def __init__(self, request: Request, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self.body = bytearray()
        self.answered = False
        self.unwanted = 0


class _Download:
    """An answer whose body is still going; ``held`` bytes of it are in memory all the while."""

    def __init__(self, body: Body, held: int, deadline: float) -> None:
        self.body = body
        self.held = held
        self.deadline = deadline
        self.piece = b""
        self.step = _STEP

    @property
    def done(self) -> bool:
        return not self.piece and not self.body.left


class _Connection:
    def __init__(
        self,
        stream: Stream,
        answer: Callable[[Request], Reply],
        log: Callable[[str, str, int], object] | None,
        clock: Callable[[], float],
    ) -> None:
        self._stream = stream
        self._answer = answer
        self._log = log
        self._clock = clock
        self._h2 = server_connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._uploads: dict[int, _Upload] = {}
        self._asked: deque[tuple[int, Request]] = deque()
        self._downloads: dict[int, _Download] = {}
        self._idle_since = clock()
        self._frames = Frames(PREFACE)
        self._leaving = False
        self._over = False
        self._costs = Costs(clock)

    def run(self) -> None:
        self._h2.initiate_connection()
        self._flush()
        while not self._over:
            self._stream.allow(max(self._deadline() - self._clock(), 0.0))
            try:
                data = self._stream.recv(_CHUNK)
            except ConnectionLost as error:
                if error.code == "timeout":
                    self._goodbye(ErrorCodes.NO_ERROR, b"too slow")
                raise
            if not data:
                return
            try:
                self._take(data)
            except TooMuch as error:
                self._goodbye(ErrorCodes.ENHANCE_YOUR_CALM, str(error).encode())
                return
            except FrameTooLargeError as error:
                self._goodbye(ErrorCodes.FRAME_SIZE_ERROR, str(error).encode())
                return
            except (H2Error, ValueError):
                # h2 has its GOAWAY ready.
                self._flush()
                return

    def close(self) -> None:
        """Whatever is open is closed."""
        for download in self._downloads.values():
            download.body.close()

    def _goodbye(self, code: ErrorCodes, why: bytes) -> None:
        with suppress(H2Error):
            self._h2.close_connection(code, additional_data=why)
        self._flush()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._stream.sendall(data)

    def _deadline(self) -> float:
        """When the client has said or taken nothing for too long."""
        uploads = [upload.deadline for upload in self._uploads.values()]
        downloads = [download.deadline for download in self._downloads.values()]
        return min([*uploads, *downloads], default=self._idle_since + limits.HTTP_IDLE_TIMEOUT)

    # What comes

    def _take(self, data: bytes) -> None:
        """All that what came asks for."""
        for piece in self._frames.split(data):
            if isinstance(piece, Goaway):
                # In order, it still wants what it has asked for. RFC 9113 6.8.
                self._leaving = True
                self._over |= piece.code != ErrorCodes.NO_ERROR
                continue
            for event in self._h2.receive_data(piece):
                self._event(event)
        while self._asked and not self._over:
            self._reply(*self._asked.popleft())
        self._flush()
        if not self._over:
            self._send_bodies()
        if self._leaving and not self._uploads and not self._downloads:
            self._over = True

    def _event(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int(number), headers=headers):
                self._uploads[number] = _Upload(_request(headers), self._clock() + limits.HTTP_BODY_TIMEOUT)
            case DataReceived(stream_id=int(number), data=data, flow_controlled_length=int(size)):
                self._data(number, data or b"", size, ended=event.stream_ended is not None)
            case StreamEnded(stream_id=int(number)) if number in self._uploads:
                upload = self._uploads.pop(number)
                request = upload.request
                whole = Request(request.method, request.target, request.headers, bytes(upload.body))
                if not upload.answered:
                    self._asked.append((number, whole))
            case StreamReset(stream_id=int(number)):
                self._reset(number)
            case WindowUpdated() if self._downloads:
                # For what we send; a stalled answer has its own end.
                return
            case _:
                self._costs.other(event)

    def _data(self, number: int, data: bytes, size: int, *, ended: bool) -> None:
        if size:
            with suppress(StreamClosedError):
                self._h2.acknowledge_received_data(size, number)
        elif not ended:
            self._costs.idle()
        upload = self._uploads.get(number)
        if upload is None:
            return
        if upload.answered:
            self._discard(number, upload, len(data))
            return
        upload.body += data
        if len(upload.body) > limits.HTTP_BODY:
            self._refuse(number, too_large())
        elif self._held() > limits.HTTP2_BODIES:
            self._refuse(number, _too_many_bytes())

    def _held(self) -> int:
        """Bytes of bodies in memory."""
        coming = sum(len(upload.body) for upload in self._uploads.values())
        asked = sum(len(request.body) for _, request in self._asked)
        return coming + asked + sum(download.held for download in self._downloads.values())

    def _reset(self, number: int) -> None:
        self._finished(number)
        self._uploads.pop(number, None)
        self._asked = deque(one for one in self._asked if one[0] != number)
        self._costs.reset()

    def _touch(self) -> None:
        self._idle_since = self._clock()

    # What goes

    def _refuse(self, number: int, reply: Reply) -> None:
        """Answer before the body is there. Clients send on until they read it, and not all that are reset read it."""
        upload = self._uploads[number]
        upload.body.clear()
        upload.answered = True
        self._respond(number, upload.request, reply)

    def _discard(self, number: int, upload: _Upload, size: int) -> None:
        """Drop what still comes of a body, and the stream when it is as much again as was read. RFC 9113 8.1."""
        upload.unwanted += size
        if upload.unwanted <= limits.HTTP_BODY:
            return
        del self._uploads[number]
        self._finished(number)
        with suppress(StreamClosedError):
            self._h2.reset_stream(number, ErrorCodes.NO_ERROR)

    def _reply(self, number: int, request: Request) -> None:
        target = request.target
        if not (target.startswith("/") and target.isascii() and target.isprintable() and " " not in target):
            reply = Reply(400, b"the path is none\n")
        else:
            reply = self._answer(request)
        self._respond(number, request, reply)

    def _respond(self, number: int, request: Request, reply: Reply) -> None:
        held = len(reply.body)
        if held > _STEP and held + self._held() > limits.HTTP2_BODIES:
            reply, held = _too_many_bytes(), 0
        if self._log is not None:
            self._log(request.method or "-", request.target or "-", reply.status)
        body = reply.opened()
        whole = request.method == "HEAD" or not body.left
        self._touch()
        try:
            self._h2.send_headers(number, [(":status", str(reply.status)), *reply.fields()], end_stream=whole)
        except StreamClosedError:
            # Reset in what is still to be looked at.
            body.close()
            return
        if whole:
            body.close()
        else:
            self._downloads[number] = _Download(body, held, self._clock() + limits.HTTP2_STALL_TIMEOUT)
            self._send_some(number)

    def _send_bodies(self) -> None:
        """A frame of each answer in turn, until the windows are full, or the client has said something."""
        going = bool(self._downloads)
        while going:
            going = False
            for number in list(self._downloads):
                going |= self._send_some(number)
            self._flush()
            going = going and bool(self._downloads) and not self._stream.ready()

    def _send_some(self, number: int) -> bool:
        """One frame of an answer, if there is room for it; whether there was."""
        download = self._downloads[number]
        room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
        if room <= 0:
            return False
        try:
            piece = download.piece or download.body.read(_STEP)
        except BodyCut:
            self._h2.reset_stream(number, ErrorCodes.INTERNAL_ERROR)
            self._finished(number)
            return True
        sent, download.piece = piece[:room], piece[room:]
        self._h2.send_data(number, sent, end_stream=download.done)
        if download.done:
            self._finished(number)
            return True
        download.step -= len(sent)
        if download.step <= 0:
            download.step += _STEP
            download.deadline = self._clock() + limits.HTTP2_STALL_TIMEOUT
        return True

    def _finished(self, number: int) -> None:
        download = self._downloads.pop(number, None)
        if download is not None:
            download.body.close()
        self._touch()


def _request(fields: Iterable[tuple[Any, Any]]) -> Request:
    """The head of a request; the authority stands in its headers as HTTP/1.1 has it."""
    pseudo = {name: value for name, value in fields if name.startswith(":")}
    headers = [(name, value) for name, value in fields if not name.startswith(":")]
    if authority := pseudo.get(":authority"):
        headers.insert(0, ("host", authority))
    return Request(pseudo.get(":method", ""), pseudo.get(":path", ""), headers)


def _too_many_bytes() -> Reply:
    return Reply(503, f"more than {limits.HTTP2_BODIES} bytes of bodies at once\n".encode())

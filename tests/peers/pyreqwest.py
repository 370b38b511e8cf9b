"""pyreqwest: reqwest in this process, on rustls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from tests.peers.base import REQUEST, Cannot, KeyUpdate, Options, Outcome, ThreadClient, require_module
from tests.waiting import LIMIT

if TYPE_CHECKING:
    from pyreqwest.client import SyncClientBuilder

VERSIONS: dict[str, Literal["TLSv1.2", "TLSv1.3"]] = {"1.2": "TLSv1.2", "1.3": "TLSv1.3"}


def require_possible(options: Options) -> None:
    """Raises Cannot."""
    for asked, reason in (
        (options.suites, "pyreqwest cannot choose suites"),
        (options.groups, "pyreqwest cannot choose groups"),
        (options.schemes, "pyreqwest cannot choose signature schemes"),
        (options.key_update is not KeyUpdate.NONE, "pyreqwest has no call that changes keys"),
        (options.later, "rustls has no authentication after the handshake"),
        (options.export, "pyreqwest exports no keying material"),
        (options.keylog, "pyreqwest writes no key log"),
        (options.request != REQUEST, "pyreqwest makes its own requests"),
        (options.extra, "pyreqwest is no program with arguments"),
        (
            options.application_protocols not in {(), ("http/1.1",), ("h2", "http/1.1")},
            "pyreqwest offers h2 and http/1.1, or http/1.1, by ALPN",
        ),
    ):
        if asked:
            raise Cannot(reason)


class PyreqwestClient(ThreadClient):
    """SyncClient: makes its own request, a POST if there is an ``upload``, and tells nothing of its session."""

    name = "pyreqwest"
    no_early_data = "pyreqwest has no option for early data"

    def __enter__(self) -> Self:
        require_module("pyreqwest")
        require_possible(self.options)
        return super().__enter__()

    def converse(self) -> Outcome:
        name = self.options.server_name or "localhost"
        with self._builder().resolve(name, "127.0.0.1", self.port).build() as client:
            url = f"https://{name}:{self.port}/"
            request = client.post(url).body_bytes(self.options.upload) if self.options.upload else client.get(url)
            for _ in range(self.options.connections - 1):
                client.get(url).build().send().bytes()
            answer = request.build().send()
            head = "".join(f"{key}: {value}\r\n" for key, value in answer.headers.items())
            body = answer.bytes().to_bytes()
        return Outcome(ok=True, error="", text=repr(answer), received=f"HTTP/1.0 200 OK\r\n{head}\r\n".encode() + body)

    def _builder(self) -> SyncClientBuilder:
        from datetime import timedelta

        from pyreqwest.client import SyncClientBuilder

        options = self.options
        builder = (
            SyncClientBuilder().timeout(timedelta(seconds=LIMIT)).no_proxy().tls_sni(options.server_name is not None)
        )
        if options.application_protocols != ("h2", "http/1.1"):
            builder = builder.http1_only()
        if options.version:
            builder = builder.min_tls_version(VERSIONS[options.version]).max_tls_version(VERSIONS[options.version])
        if options.trust:
            builder = builder.add_root_certificate_pem(options.trust.read_bytes())
        else:
            builder = builder.danger_accept_invalid_certs(True)
        if options.certificate:
            assert options.key is not None
            builder = builder.identity_pem(options.certificate.read_bytes() + options.key.read_bytes())
        return builder

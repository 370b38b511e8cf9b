"""curl_cffi: libcurl in a thread of this process, on the BoringSSL that its wheel brings."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Self

from tests.peers.base import (
    REQUEST,
    Cannot,
    KeyUpdate,
    Options,
    Outcome,
    ThreadClient,
    first,
    http_response,
    require_module,
)
from tests.peers.openssl import group_list, rfc_group, rfc_suite, spell_version, suite_lists

if TYPE_CHECKING:
    from curl_cffi import Curl


def require_possible(options: Options) -> None:
    """Raises Cannot."""
    for asked, reason in (
        (options.key_update is not KeyUpdate.NONE, "curl_cffi has no call that changes keys"),
        (options.later, "BoringSSL has no authentication after the handshake"),
        (options.export, "curl_cffi exports no keying material"),
        (options.request != REQUEST, "curl_cffi makes its own requests"),
        (options.server_name is None, "curl_cffi names the server of its URL in SNI"),
        (options.extra, "curl_cffi is no program with arguments"),
        (suite_lists(options.suites)[0], "BoringSSL chooses TLS 1.3 suites itself"),
        (options.keylog, "libcurl asks for a key log by a variable of the whole process"),
    ):
        if asked:
            raise Cannot(reason)


def _keep(received: list[bytes], data: bytes) -> int:
    """libcurl asks how much was taken."""
    received.append(data)
    return len(data)


class CurlCffiClient(ThreadClient):
    """curl_cffi.Curl: makes its own request, a POST if there is an ``upload``."""

    name = "curl_cffi"
    inflates_certificates = True
    no_early_data = "libcurl on BoringSSL has no option for early data"

    def __enter__(self) -> Self:
        require_module("curl_cffi")
        require_possible(self.options)
        return super().__enter__()

    def converse(self) -> Outcome:
        from curl_cffi import Curl, CurlError

        said: list[bytes] = []
        received: list[bytes] = []
        curl = Curl()
        try:
            error = ""
            try:
                for _ in range(self.options.connections):
                    received.clear()
                    # It forgets its functions and lists after each.
                    self._prepare(curl, said, received)
                    curl.perform()
            except CurlError as failure:
                error = str(failure)
        finally:
            curl.close()
        return self._seen(b"".join(said).decode(errors="backslashreplace"), b"".join(received), error)

    def _prepare(self, curl: Curl, said: list[bytes], received: list[bytes]) -> None:
        from curl_cffi import CurlOpt

        for option, value in self._settings().items():
            curl.setopt(getattr(CurlOpt, option), value)
        curl.setopt(CurlOpt.DEBUGFUNCTION, lambda kind, data: said.append(data) if kind == 0 else None)
        for function in (CurlOpt.WRITEFUNCTION, CurlOpt.HEADERFUNCTION):
            curl.setopt(function, functools.partial(_keep, received))

    def _settings(self) -> dict[str, Any]:
        options = self.options
        settings: dict[str, Any] = {
            "URL": f"https://{options.server_name}:{self.port}/",
            "RESOLVE": [f"{options.server_name}:{self.port}:127.0.0.1"],
            "NOPROXY": "*",
            "VERBOSE": 1,
            "TIMEOUT": 15,
            "SSL_ENABLE_ALPN": int(bool(options.application_protocols)),
            "HTTP_VERSION": self._http_version(),
        }
        if options.trust:
            settings["CAINFO"] = str(options.trust)
        else:
            settings |= {"SSL_VERIFYPEER": 0, "SSL_VERIFYHOST": 0}
        if options.certificate:
            settings |= {"SSLCERT": str(options.certificate), "SSLKEY": str(options.key)}
        if options.version:
            number = {"1.2": 6, "1.3": 7}[options.version]
            settings["SSLVERSION"] = number | number << 16
        if options.suites:
            settings["SSL_CIPHER_LIST"] = suite_lists(options.suites)[1]
        if options.groups:
            settings["SSL_EC_CURVES"] = group_list(options.groups)
        if options.certificate_compression:
            settings["SSL_CERT_COMPRESSION"] = ",".join(options.certificate_compression)
        if options.schemes:
            settings["SSL_SIG_HASH_ALGS"] = ",".join(options.schemes)
        if options.upload:
            settings |= {"POSTFIELDS": options.upload, "POSTFIELDSIZE": len(options.upload)}
        return settings

    def _http_version(self) -> int:
        versions = {(): 2, ("http/1.1",): 2, ("h2", "http/1.1"): 4}
        if self.options.application_protocols not in versions:
            raise Cannot("curl offers h2 and http/1.1, or http/1.1, or nothing by ALPN")
        return versions[self.options.application_protocols]

    def _seen(self, text: str, received: bytes, error: str) -> Outcome:
        return Outcome(
            ok=not error,
            error=error,
            text=f"{text}\n{error}",
            received=http_response(received),
            version=spell_version(first(r"SSL connection using (TLSv[\d.]+)", text)),
            suite=rfc_suite(first(r"SSL connection using \S+ / (\S+)", text)),
            group=rfc_group(first(r"SSL connection using \S+ / \S+ / (\w+)", text)),
            application_protocol=first(r"ALPN[:,] server accepted (?:to use )?(\S+)", text),
            peer_subject=first(r"^\*?\s*subject: (.*)$", text),
            resumed=re.search("SSL re-?using session", text) is not None,
        )

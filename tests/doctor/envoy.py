"""The real Envoy: as a server, and before a server, told in lines as the doctor's fixes have them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.doctor.others import program
from tests.doctor.servers import Running, Setting, listening
from tests.ports import own_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TYPE = '"@type": type.googleapis.com/envoy.extensions'
_HTTP = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
# The listener's own log has what never came to be a request.
_OF_SERVER = "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%|%CONNECTION_TERMINATION_DETAILS%|%RESPONSE_CODE_DETAILS%"
_OF_CLIENT = "response %RESPONSE_CODE% upstream_transport_failure_reason %UPSTREAM_TRANSPORT_FAILURE_REASON%"
_CONFIG = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    listener_filters:
    - {{name: inspector, typed_config: {{{type}.filters.listener.tls_inspector.v3.TlsInspector}}}}
    access_log: [{log}]
    filter_chains:
    - {match}
      {transport}
      filters:
      - name: http
        typed_config:
          {http}
          stat_prefix: http
          access_log: [{log}]
          http_filters: [{rules}{{name: router, typed_config: {{{type}.filters.http.router.v3.Router}}}}]
          route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{route}]}}]}}
  clusters: [{cluster}]
"""


@dataclass(frozen=True)
class Lines:
    """Parts of Envoy's configuration in YAML: of a TLS context, its common_tls_context, and who may come."""

    context: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    match: str = ""
    principals: str = ""

    def with_fix(self, text: str) -> Lines:
        """With a fix of the doctor's, whose lines say themselves where they belong; they replace what is there."""
        found = self
        for line in text.split("\n"):
            name, _, value = line.partition(":")
            if name == "common_tls_context":
                found = found.with_fix(value.strip()[1:-1])
            elif name == "filter_chain_match":
                found = replace(found, match=line)
            elif name == "principals":
                found = replace(found, principals=line)
            elif name in ("require_client_certificate", "sni", "auto_sni_san_validation"):
                found = replace(found, context=(*_without(name, found.context), line))
            else:
                found = replace(found, common=(*_without(name, found.common), line))
        return found

    def transport(self, direction: str) -> str:
        """The transport socket of a "Downstream" or an "Upstream"."""
        inside = ", ".join((*self.context, f"common_tls_context: {{{', '.join(self.common)}}}"))
        kind = f"{_TYPE}.transport_sockets.tls.v3.{direction}TlsContext"
        return f"transport_socket: {{name: tls, typed_config: {{{kind}, {inside}}}}}"


def _without(name: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(line for line in lines if not line.startswith(f"{name}:"))


def certificates(certificate: Path, key: Path) -> str:
    return f"tls_certificates: [{{certificate_chain: {{filename: {certificate}}}, private_key: {{filename: {key}}}}}]"


def of_setting(setting: Setting) -> Lines:
    """What a server is told."""
    name = f"TLSv{setting.version.replace('.', '_')}"
    common = [certificates(setting.certificate, setting.key)]
    common.append(f"tls_params: {{tls_minimum_protocol_version: {name}, tls_maximum_protocol_version: {name}}}")
    if setting.client_ca is None:
        return Lines(common=tuple(common))
    lists = "" if setting.crl is None else f", crl: {{filename: {setting.crl}}}"
    common.append(f"validation_context: {{trusted_ca: {{filename: {setting.client_ca}}}{lists}}}")
    return Lines(("require_client_certificate: true",), tuple(common))


@contextlib.contextmanager
def envoy(setting: Setting) -> Iterator[Running]:
    """A server that answers by itself."""
    with serving(setting, of_setting(setting)) as running:
        yield running


@contextlib.contextmanager
def serving(setting: Setting, lines: Lines) -> Iterator[Running]:
    """A server that was told more."""
    rules = ""
    if lines.principals:
        allowed = f"rules: {{policies: {{one: {{permissions: [{{any: true}}], {lines.principals}}}}}}}"
        rules = f"{{name: rbac, typed_config: {{{_TYPE}.filters.http.rbac.v3.RBAC, {allowed}}}}}, "
    route = 'match: {prefix: "/"}, direct_response: {status: 200, body: {inline_string: hello}}'
    parts = {"transport": lines.transport("Downstream"), "match": lines.match or "name: one", "rules": rules}
    with _running(setting, _OF_SERVER, {**parts, "route": f"{{{route}}}", "cluster": ""}) as running:
        yield running


@contextlib.contextmanager
def before(setting: Setting, lines: Lines, port: int) -> Iterator[Running]:
    """A proxy in plain HTTP before a server on a port of this machine, to which it speaks TLS."""
    address = f"address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}"
    endpoints = f"load_assignment: {{cluster_name: up, endpoints: [{{lb_endpoints: [{{endpoint: {{{address}}}}}]}}]}}"
    cluster = f"{{name: up, type: STATIC, {endpoints}, {lines.transport('Upstream')}}}"
    route = '{match: {prefix: "/"}, route: {cluster: up}}'
    parts = {"transport": "name: one", "match": "filter_chain_match: {}", "rules": "", "route": route}
    with _running(setting, _OF_CLIENT, {**parts, "cluster": cluster}) as running:
        yield running


@contextlib.contextmanager
def _running(setting: Setting, said: str, parts: dict[str, str]) -> Iterator[Running]:
    command = program("envoy")
    form = f'log_format: {{text_format_source: {{inline_string: "{said}\\n"}}}}'
    stream = f"{_TYPE}.access_loggers.stream.v3.StdoutAccessLog, {form}"
    log = f"{{name: log, typed_config: {{{stream}}}}}"
    with own_port() as port:
        text = _CONFIG.format(port=port, type=_TYPE, http=_HTTP, log=log, **parts)
        config = setting.write("envoy.yaml", text)
        options = [
            "-c",
            str(config),
            "--file-flush-interval-msec",
            "10",
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ]
        with listening([command, *options], setting.directory / "envoy.log", port) as running:
            yield running

"""With ``explain`` a trace says what each thing is, once, in the sentences of the declarations; without it, nothing."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from handfast.engine import ClientAuth
from handfast.events import CHECKS, Secret
from handfast.keys.secret_names import MEANINGS, MEANINGS_12
from handfast.lens.trace import Trace
from handfast.registry import AlertDescription, ProtocolVersion
from handfast.registry.meanings import ALERTS
from handfast.registry.sentences import Explained, split
from handfast.wire import messages, messages12
from handfast.wire.explained import explained
from tests import certificates
from tests.lens.connections import client_config, converse, server_config
from tests.sentences import with_section

SENTENCES = {f"{' ' * 8}{said.sentence} ({said.rfc})" for _, said in with_section()}


@cache
def story(version: int, client_auth: ClientAuth, *, shows: bool) -> list[Any]:
    """What a client hears, secrets and events in their order."""
    issued = [certificates.client()] if shows else []
    spoken: dict[str, Any] = {"versions": (version,)}
    return converse(client_config(*issued, **spoken), server_config(client_auth, **spoken))[0].story


def traced(version: int, detail: Any, *, explain: bool, shows: bool = True) -> list[str]:
    """The lines of a trace of a connection with client authentication."""
    lines: list[str] = []
    trace = Trace(lines.append, detail=detail, explain=explain)
    for one in story(version, ClientAuth.REQUIRE_AND_VERIFY, shows=shows):
        (trace.secret if isinstance(one, Secret) else trace)(one)
    return lines


def sentence(said: Explained) -> str:
    return f"{said.sentence} ({said.rfc})"


def below(lines: list[str], start: str) -> str:
    """The line after the first that starts so."""
    return lines[next(at for at, line in enumerate(lines) if line.strip().startswith(start)) + 1].strip()


@pytest.mark.parametrize("version", [ProtocolVersion.TLS12, ProtocolVersion.TLS13])
@pytest.mark.parametrize("detail", ["names", "fields", "bytes"])
def test_sentences_are_all_that_it_adds_and_each_comes_once(version: int, detail: str) -> None:
    lines = traced(version, detail, explain=True)
    told = [line for line in lines if line in SENTENCES]
    assert len(told) == len(set(told)) > 5
    assert [line for line in lines if line not in SENTENCES] == traced(version, detail, explain=False)


def test_a_message_is_explained_below_its_line() -> None:
    lines = traced(ProtocolVersion.TLS13, "fields", explain=True)
    for cls in (messages.ClientHello, messages.EncryptedExtensions, messages.CertificateRequest, messages.Finished):
        assert below(lines, f"{cls.__name__},") == sentence(explained(cls))
    old = traced(ProtocolVersion.TLS12, "fields", explain=True)
    assert below(old, "CertificateRequest,") == sentence(explained(messages12.CertificateRequest))


def test_secrets_proofs_and_alerts_are_explained_too() -> None:
    lines = traced(ProtocolVersion.TLS13, "fields", explain=True)
    assert below(lines, "[secret] handshake_secret") == sentence(split(MEANINGS["handshake_secret"]))
    assert below(lines, "[check] S>C Finished") == sentence(split(CHECKS["Finished"]))
    assert below(lines, "warning close_notify") == sentence(split(ALERTS[AlertDescription.close_notify]))
    old = traced(ProtocolVersion.TLS12, "fields", explain=True)
    assert below(old, "[secret] main_secret") == sentence(split(MEANINGS_12["main_secret"]))


def test_a_refusal_is_explained() -> None:
    lines = traced(ProtocolVersion.TLS13, "names", explain=True, shows=False)
    assert below(lines, "fatal certificate_required") == sentence(split(ALERTS[AlertDescription.certificate_required]))

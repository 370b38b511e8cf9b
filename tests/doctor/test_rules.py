"""The rules on evidence made by hand: each cause of the catalogue is what some evidence leads to, and only that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from handfast.doctor.catalogue import causes
from handfast.doctor.diagnosis import diagnose
from handfast.doctor.evidence import Asked, Attempt, Evidence, Identity, LogLine, Problem, Shadowed
from handfast.doctor.inputs import Input
from handfast.outcome.cause import CauseCode, HttpAnswer, Manner
from handfast.outcome.diagnosed import ANY_REFUSAL, BY_SERVER_ALERT
from handfast.registry import AlertDescription as Alert
from handfast.roles import Role
from tests import certificates

LEAF = certificates.ca().client("alice").chain[0]
CA_NAME = certificates.ca().certificate.subject.public_bytes()
OTHER_NAME = certificates.other_ca().certificate.subject.public_bytes()
SERVER = certificates.server().chain[0]
DONE = Attempt(title="once", complete=True, spoke=True, version="TLS 1.3", answered=True, server_chain=(SERVER,))
ASKED = replace(DONE, asked=Asked.HANDSHAKE, ca_names=(CA_NAME,))
CLIENT = Identity(side=Role.CLIENT, source="client.pem", chain=(LEAF,), issuers=(CA_NAME,), schemes=(0x0403,))
SHOWN = replace(ASKED, client_chain=(LEAF,), answered=False)


def named(kind: _ASN1Type) -> bytes:
    """A name of which only the encoding differs."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Some CA", _type=kind)]).public_bytes()


def hello(**facts: Any) -> Attempt:
    """A connection that came to nothing before the server's hello."""
    return Attempt(title="once", hello_size=1600, offer="all", server_name="www.example", **facts)


def alerted(alert: Alert, base: Attempt = SHOWN, **facts: Any) -> Attempt:
    """A connection that the server ended by an alert about the certificate."""
    code = CauseCode.CERTIFICATE_REFUSED
    return replace(base, cause=code, manner=Manner.ALERT, alerts={Role.SERVER: int(alert)}, **facts)


def refusing(alert: Alert) -> Evidence:
    return Evidence(attempts=(hello(alerts={Role.SERVER: int(alert)}, error=alert.name),))


def client_refuses(alert: Alert) -> Evidence:
    return Evidence(attempts=(replace(DONE, live=False, alerts={Role.CLIENT: int(alert)}),))


def http(status: int, *, about: bool = False) -> dict[str, Any]:
    return {
        "cause": CauseCode.CERTIFICATE_REFUSED,
        "manner": Manner.HTTP,
        "http": HttpAnswer(status, "", about),
        "answered": True,
    }


BELOW_A_ROOT = replace(CLIENT, ends_in_root=True, issuers=(CA_NAME, CA_NAME))
UNHEARD = {"heard_nothing": True, "error": "timeout"}
OTHER_NAMES = (Problem(causes=("wrong_name",), explanation="for others"),)
NO_PSS = (Problem(causes=("token_mechanism",), explanation="no PSS"),)
NONE_SHOWN = replace(ASKED, cause=CauseCode.NO_CERTIFICATE, manner=Manner.ALERT, alerts={Role.SERVER: 116})
SMALL = replace(DONE, title="small", hello_size=400, server_name="www.example")
CLOSED_ON = replace(SHOWN, cause=CauseCode.CERTIFICATE_REFUSED, manner=Manner.CLOSE, error="unexpected_eof")
WITH_H2 = replace(SHOWN, protocol="h2", answered=True)
DECIDED: dict[str, Evidence] = {
    "not_requested": Evidence(attempts=(DONE,), client=CLIENT),
    "no_certificate": Evidence(attempts=(NONE_SHOWN,)),
    "certificate_withheld": Evidence(
        attempts=(replace(NONE_SHOWN, live=False, ca_names=(OTHER_NAME,)),), client=CLIENT
    ),
    "renegotiation": Evidence(attempts=(replace(DONE, asked=Asked.RENEGOTIATION),), client=CLIENT),
    "requested_later": Evidence(attempts=(replace(DONE, asked=Asked.AFTERWARDS),), client=CLIENT),
    "client_not_allowed": Evidence(
        attempts=(replace(ASKED, http=HttpAnswer(200, "OK")), replace(SHOWN, **http(403))), client=CLIENT
    ),
    # rustls, with a key that is ours.
    "client_twin_ca": Evidence(attempts=(alerted(Alert.decrypt_error),), client=CLIENT),
    "client_path_not_built": Evidence(
        attempts=(alerted(Alert.unknown_ca),), client=replace(CLIENT, accepted=True, revocation_checked=True)
    ),
    "behind_the_server": Evidence(
        attempts=(replace(SHOWN, answered=True, http=HttpAnswer(502, "Bad Gateway")),), client=CLIENT
    ),
    "client_wrong_ca": Evidence(
        attempts=(alerted(Alert.unknown_ca, ca_names=(OTHER_NAME,)),),
        client=BELOW_A_ROOT,
    ),
    "client_self_signed": Evidence(
        attempts=(alerted(Alert.unknown_ca, ca_names=(OTHER_NAME,)),), client=replace(CLIENT, ends_in_root=True)
    ),
    "client_revoked": Evidence(attempts=(alerted(Alert.certificate_revoked),), client=CLIENT),
    "client_unsuitable": Evidence(attempts=(alerted(Alert.unsupported_certificate),), client=CLIENT),
    "client_key_mismatch": Evidence(
        attempts=(alerted(Alert.decrypt_error, live=False),), client=replace(CLIENT, accepted=True)
    ),
    "client_crl_missing": Evidence(
        attempts=(alerted(Alert.unknown_ca),),
        client=replace(CLIENT, accepted=True),
        log=(LogLine("unable to get certificate CRL", ("client_crl_missing",), "OpenSSL"),),
    ),
    "certificate_refused": Evidence(attempts=(alerted(Alert.decrypt_error),), client=replace(CLIENT, accepted=True)),
    "client_scheme": Evidence(attempts=(replace(NONE_SHOWN, schemes=(0x0804,)),), client=CLIENT),
    "bundle_shadowed": Evidence(shadowed=Shadowed(used="$SSL_CERT_FILE=a (1 root)", verifies="b (1 root)")),
    "no_common_version": refusing(Alert.protocol_version),
    "no_common_alpn": refusing(Alert.no_application_protocol),
    "sni_refused": refusing(Alert.unrecognized_name),
    "server_failed": refusing(Alert.internal_error),
    "unexplained": refusing(Alert.decode_error),
    "no_common_suite": Evidence(attempts=(hello(error="suite_not_offered", what="a suite"),)),
    "no_common_group": Evidence(attempts=(hello(error="group_not_offered", what="a group"),)),
    "no_common_scheme": Evidence(attempts=(replace(DONE, complete=False, error="scheme_not_offered"),)),
    "large_hello": Evidence(
        attempts=(
            hello(error="handshake_timeout", heard_nothing=True),
            SMALL,
            hello(error="timeout", heard_nothing=True),
        )
    ),
    "silent": Evidence(attempts=(hello(error="handshake_timeout", heard_nothing=True),)),
    "unreachable": Evidence(attempts=(hello(error="connect_failed", heard_nothing=True),)),
    "plain_text": Evidence(attempts=(hello(error="not_tls", speaks="an SSH server"),)),
    "plain_http": Evidence(attempts=(hello(error="not_tls", speaks="an HTTP server without TLS"),)),
    "starttls_port": Evidence(attempts=(hello(error="not_tls", speaks="an SMTP server"),)),
    "http_to_tls": Evidence(log=(LogLine("HTTP request", ("http_to_tls",)),)),
    "closed_in_handshake": Evidence(attempts=(hello(error="eof_in_handshake"),)),
    "closed_later": Evidence(attempts=(replace(DONE, answered=False, error="reset"),)),
    "server_key_mismatch": Evidence(attempts=(replace(DONE, complete=False, error="bad_signature"),)),
    "server_certificate_refused": client_refuses(Alert.bad_certificate),
    "server_revoked": client_refuses(Alert.certificate_revoked),
    "path_forbidden": Evidence(log=(LogLine("forbidden by rule", ("path_forbidden",)),)),
    "issuer_encoding": Evidence(
        attempts=(alerted(Alert.unknown_ca, ca_names=(named(_ASN1Type.PrintableString),)),),
        client=replace(CLIENT, issuers=(named(_ASN1Type.UTF8String),)),
    ),
    "clock": Evidence(
        attempts=(alerted(Alert.certificate_expired),),
        client=replace(CLIENT, accepted=True, revocation_checked=True),
    ),
    "default_certificate": Evidence(
        attempts=(replace(DONE, server_name="a.example"), replace(DONE, server_name="")),
        server=Identity(
            side=Role.SERVER,
            source="sent",
            chain=(SERVER,),
            problems=OTHER_NAMES,
        ),
        server_file=(LEAF,),
    ),
    "token_mechanism": Evidence(client=Identity(side=Role.CLIENT, source="a", problems=NO_PSS)),
}
OF_A_SIDE = [code for code in causes() if code.startswith(("client_", "server_")) and code not in DECIDED]


@pytest.mark.parametrize("code", DECIDED)
def test_what_decides_a_cause(code: str) -> None:
    found = diagnose(DECIDED[code])
    assert [finding.causes for finding in found.findings] == [(code,)]
    assert all(finding.evidence for finding in found.findings)
    assert not found.healthy


@pytest.mark.parametrize("code", OF_A_SIDE)
def test_what_is_found_in_certificates_and_files(code: str) -> None:
    side, _, cause = code.partition("_")
    identity = Identity(side=Role(side), source="file", problems=(Problem(causes=(cause,), explanation="as seen"),))
    evidence = Evidence(client=identity) if side == "client" else Evidence(server=identity)
    (finding,) = diagnose(evidence).findings
    assert finding.causes == (code,)
    assert finding.evidence[0] == "as seen"


def test_every_cause_has_its_evidence() -> None:
    assert {*DECIDED, *OF_A_SIDE} == causes().keys()


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(attempts=(DONE,)),
        Evidence(attempts=(ASKED,)),
        Evidence(attempts=(NONE_SHOWN, replace(SHOWN, answered=True)), client=CLIENT),
        Evidence(attempts=(replace(SHOWN, answered=True),), client=CLIENT),
        Evidence(client=replace(CLIENT, accepted=True)),
    ],
)
def test_what_is_healthy_has_no_diagnosis(evidence: Evidence) -> None:
    assert diagnose(evidence).healthy


# What is left open


def test_the_root_is_named_once_among_the_issuers() -> None:
    silent = replace(SHOWN, cause=CauseCode.CERTIFICATE_REFUSED, manner=Manner.CLOSE, error="reset")
    client = replace(CLIENT, issuers=(CA_NAME, CA_NAME), ends_in_root=True)
    (finding,) = diagnose(Evidence(attempts=(silent,), client=client)).findings
    (said,) = [sentence for sentence in finding.evidence if "is issued by" in sentence]
    assert said.count("[") == 1


def test_a_close_without_a_word_leaves_all_open_that_nothing_excludes() -> None:
    silent = replace(SHOWN, cause=CauseCode.CERTIFICATE_REFUSED, manner=Manner.CLOSE, error="reset")
    (finding,) = diagnose(Evidence(attempts=(silent,), client=CLIENT)).findings
    assert set(finding.causes) == {
        "client_twin_ca", "client_path_not_built", "client_revoked", "client_crl_stale", "client_crl_missing",
        "client_not_allowed",
        # Of the CA, whose certificate nobody gave.
        "client_expired", "client_weak_key", "client_weak_hash",
    }  # fmt: skip
    assert finding.separates is Input.SERVER_LOG
    trusted = replace(CLIENT, accepted=True, revocation_checked=True)
    (finding,) = diagnose(Evidence(attempts=(silent,), client=trusted)).findings
    assert finding.causes == ("client_path_not_built", "client_not_allowed")


def test_a_ca_that_nobody_gave_may_have_expired_itself() -> None:
    expired = alerted(Alert.certificate_expired)
    (finding,) = diagnose(Evidence(attempts=(expired,), client=CLIENT)).findings
    assert set(finding.causes) == {"client_crl_stale", "clock", "client_expired"}
    known = replace(CLIENT, ends_in_root=True)
    (finding,) = diagnose(Evidence(attempts=(expired,), client=known)).findings
    assert set(finding.causes) == {"client_crl_stale", "clock"}


@pytest.mark.parametrize(
    ("ca_names", "causes_left", "separates"),
    [
        ((OTHER_NAME,), {"client_wrong_ca", "client_missing_intermediate"}, Input.CLIENT_ISSUER),
        ((CA_NAME,), {"client_twin_ca", "client_path_not_built", "client_crl_missing"}, Input.SERVER_LOG),
        ((), {*BY_SERVER_ALERT[Alert.unknown_ca]}, Input.SERVER_LOG),
    ],
)
def test_unknown_ca_by_the_names_that_the_server_sends(
    ca_names: tuple[bytes, ...], causes_left: set[str], separates: Input
) -> None:
    evidence = Evidence(attempts=(alerted(Alert.unknown_ca, ca_names=ca_names),), client=CLIENT)
    (finding,) = diagnose(evidence).findings
    assert set(finding.causes) == causes_left
    assert finding.separates is separates


@pytest.mark.parametrize("alert", [Alert.certificate_revoked, Alert.access_denied])
def test_an_alert_that_says_more_counts_more_than_the_names(alert: Alert) -> None:
    """A server may trust CAs that it does not name."""
    evidence = Evidence(attempts=(alerted(alert, ca_names=(OTHER_NAME,)),), client=CLIENT)
    (finding,) = diagnose(evidence).findings
    assert finding.causes == (("client_revoked",) if alert is Alert.certificate_revoked else ("client_not_allowed",))


def test_a_log_line_narrows_what_is_open_and_adds_what_is_new() -> None:
    open_ = Evidence(attempts=(alerted(Alert.unknown_ca, ca_names=()),), client=CLIENT)
    line = LogLine("unable to get certificate CRL", ("client_crl_missing",), "OpenSSL")
    (finding,) = diagnose(replace(open_, log=(line,))).findings
    assert finding.causes == ("client_crl_missing",)
    assert finding.evidence[-1] == "the log says: unable to get certificate CRL (OpenSSL)"
    assert finding.separates is Input.NOTHING
    other = LogLine("no shared cipher", ("no_common_suite",))
    assert len(diagnose(replace(open_, log=(other,))).findings) == 2


def test_handshake_failure_before_certificates_is_not_guessed_at() -> None:
    (finding,) = diagnose(refusing(Alert.handshake_failure)).findings
    assert len(finding.causes) > 1
    assert finding.separates is Input.SERVER_LOG


def test_java_says_of_groups_that_a_message_was_unexpected() -> None:
    (finding,) = diagnose(refusing(Alert.unexpected_message)).findings
    assert set(finding.causes) == {"no_common_group", "unexplained"}
    assert finding.separates is Input.SERVER_LOG


def test_a_large_hello_is_not_blamed_for_one_chance() -> None:
    large = hello(error="reset", heard_nothing=True)
    (finding,) = diagnose(Evidence(attempts=(large, SMALL, replace(SMALL, hello_size=1600)))).findings
    assert finding.causes == ("closed_in_handshake",)


def test_a_forbidden_page_may_be_forbidden_to_all() -> None:
    without = replace(ASKED, http=HttpAnswer(403, "Forbidden"))
    evidence = Evidence(attempts=(without, replace(SHOWN, **http(403))), client=CLIENT)
    (finding,) = diagnose(evidence).findings
    assert finding.causes == ("client_not_allowed", "path_forbidden")


def test_a_forbidden_page_without_a_certificate_may_be_so_with_one() -> None:
    answers = {status: replace(ASKED, **{**http(status), "cause": CauseCode.NO_CERTIFICATE}) for status in (400, 403)}
    (finding,) = diagnose(Evidence(attempts=(answers[403],))).findings
    assert finding.causes == ("no_certificate", "path_forbidden")
    assert finding.separates is Input.CLIENT_CERTIFICATE
    assert diagnose(Evidence(attempts=(answers[400],))).healthy


def test_what_could_not_be_read_is_a_remark() -> None:
    found = diagnose(Evidence(attempts=(replace(DONE, live=False, unread="its keys are not known"),)))
    assert found.remarks == ("once: not all of it could be read: its keys are not known",)


@pytest.mark.parametrize("alert", [Alert.handshake_failure, Alert.illegal_parameter, Alert.decode_error])
@pytest.mark.parametrize("live", [True, False])
def test_no_failure_is_called_healthy(alert: Alert, live: bool) -> None:
    failed = replace(
        DONE, live=live, complete=False, answered=False, error=alert.name, alerts={Role.SERVER: int(alert)}
    )
    (finding,) = diagnose(Evidence(attempts=(failed,))).findings
    assert finding.causes == ("unexplained",)
    assert finding.separates is Input.SERVER_LOG
    # Without its keys a recording shows less than there was.
    unread = replace(failed, live=False, alerts={}, error="eof_in_handshake", unread="no keys")
    assert diagnose(Evidence(attempts=(unread,))).healthy


def test_what_is_not_shown_to_an_unverified_server_is_still_held_against_its_names() -> None:
    bare = replace(NONE_SHOWN, ca_names=(OTHER_NAME,))
    (finding,) = diagnose(Evidence(attempts=(bare,), client=CLIENT)).findings
    assert finding.causes == ("client_wrong_ca", "client_missing_intermediate")
    assert diagnose(Evidence(attempts=(replace(bare, ca_names=(CA_NAME,)),), client=CLIENT)).healthy


def test_an_own_fault_is_enough_for_a_refusal() -> None:
    expired = replace(CLIENT, problems=(Problem(causes=("expired",), explanation="it expired"),))
    found = diagnose(Evidence(attempts=(alerted(Alert.bad_certificate),), client=expired))
    assert [one.causes for one in found.findings] == [("client_expired",)]


def test_a_clock_that_is_far_off_is_a_remark() -> None:
    found = diagnose(Evidence(attempts=(replace(DONE, clock_ahead=-7200.0),)))
    assert found.healthy
    assert found.remarks == ("the server's clock, by its Date header, is 7200 s behind the clock here",)


def test_a_close_for_want_of_a_protocol_s_name_is_no_refusal() -> None:
    found = diagnose(Evidence(attempts=(ASKED, CLOSED_ON, WITH_H2), client=CLIENT))
    assert found.healthy
    assert found.remarks == (
        "the server closes without a word on clients that do not name h2 (ALPN), as those of gRPC do",
    )
    chosen = diagnose(Evidence(attempts=(ASKED, CLOSED_ON, WITH_H2), client=CLIENT, protocols_chosen=True))
    assert [one.causes for one in chosen.findings] == [("no_common_alpn",)]
    assert not chosen.remarks


def test_a_close_that_a_protocol_s_name_does_not_mend_is_a_refusal() -> None:
    still = replace(CLOSED_ON, title="naming h2", protocol="h2")
    (finding,) = diagnose(Evidence(attempts=(ASKED, CLOSED_ON, still), client=CLIENT)).findings
    assert "client_twin_ca" in finding.causes
    assert finding.separates is Input.SERVER_LOG


ANSWERED = replace(SHOWN, answered=True, http=HttpAnswer(200, "OK"))
SPARED = replace(CLIENT, problems=(Problem(causes=("expired",), explanation="an intermediate expired", spares=True),))


def test_what_a_server_does_not_go_by_is_a_remark() -> None:
    found = diagnose(Evidence(attempts=(ANSWERED,), client=SPARED))
    assert found.healthy
    assert found.remarks == ("an intermediate expired; this server lets the client in all the same",)
    (finding,) = diagnose(Evidence(attempts=(alerted(Alert.certificate_expired),), client=SPARED)).findings
    assert finding.causes == ("client_expired",)
    assert not diagnose(Evidence(client=SPARED)).healthy


def test_a_log_that_tells_of_no_path_leaves_the_other_side_s_rules() -> None:
    line = LogLine("20:unable to get local issuer certificate", ("client_wrong_ca", "client_path_not_built"), "nginx")
    refused = replace(SHOWN, **http(400, about=True))
    evidence = Evidence(attempts=(refused,), client=replace(CLIENT, accepted=True), log=(line,))
    assert [finding.causes for finding in diagnose(evidence).findings] == [("client_path_not_built",)]


@pytest.mark.parametrize("base", [SHOWN, DONE], ids=["shown", "never asked"])
def test_a_page_that_misses_a_certificate_speaks_of_what_is_behind(base: Attempt) -> None:
    page = HttpAnswer(400, "Bad Request", about_certificate=True, none_sent=True)
    one = replace(base, **http(400, about=True) | {"http": page})
    (finding,) = diagnose(Evidence(attempts=(one,), client=CLIENT)).findings
    assert finding.causes == ("behind_the_server",)
    assert "no certificate was sent" in finding.evidence[0]


@pytest.mark.parametrize(("status", "cause"), [(500, "server_failed"), (503, "behind_the_server")])
def test_an_answer_that_the_server_failed_is_not_healthy(status: int, cause: str) -> None:
    failed = replace(ANSWERED, http=HttpAnswer(status, ""))
    (finding,) = diagnose(Evidence(attempts=(ASKED, failed), client=CLIENT)).findings
    assert finding.causes == (cause,)


def test_a_forbidden_page_may_be_of_a_ca_that_the_server_does_not_name() -> None:
    one = replace(SHOWN, ca_names=(OTHER_NAME,), **http(403))
    (finding,) = diagnose(Evidence(attempts=(one,), client=BELOW_A_ROOT)).findings
    assert finding.causes == ("client_wrong_ca", "client_not_allowed", "path_forbidden")


def test_what_would_tell_is_not_the_log_that_is_there() -> None:
    line = LogLine("20:unable to get local issuer certificate", BY_SERVER_ALERT[Alert.unknown_ca], "nginx")
    refused = replace(SHOWN, **http(400, about=True))
    (finding,) = diagnose(Evidence(attempts=(refused,), client=CLIENT, log=(line,))).findings
    assert set(finding.causes) == {"client_twin_ca", "client_path_not_built", "client_crl_missing"}
    (finding,) = diagnose(
        Evidence(attempts=(refused,), client=CLIENT, log=(replace(line, causes=line.causes[:4]),))
    ).findings
    assert finding.separates is Input.CLIENT_CA


def test_what_would_tell_is_not_the_certificate_that_is_there() -> None:
    line = LogLine("SSL client CA chain cannot be verified", ANY_REFUSAL, "HAProxy", tells=Input.CLIENT_CERTIFICATE)
    evidence = Evidence(attempts=(alerted(Alert.unknown_ca),), client=CLIENT, log=(line,))
    (finding,) = diagnose(evidence).findings
    assert len(finding.causes) > 1
    assert finding.separates is Input.CLIENT_CA


def test_a_line_of_the_server_behind_is_no_finding_of_its_own() -> None:
    line = LogLine("client sent no required SSL certificate", ("no_certificate", "certificate_withheld"), "nginx")
    page = HttpAnswer(400, "Bad Request", about_certificate=True, none_sent=True)
    (finding,) = diagnose(Evidence(attempts=(replace(DONE, http=page),), client=CLIENT, log=(line,))).findings
    assert finding.causes == ("behind_the_server",)
    assert any("sent no required" in one for one in finding.evidence)


def test_a_new_certificate_may_be_refused_by_a_clock_that_is_behind() -> None:
    new = replace(CLIENT, is_new=True)
    (finding,) = diagnose(Evidence(attempts=(alerted(Alert.bad_certificate),), client=new)).findings
    assert "client_not_yet_valid" in finding.causes
    line = LogLine("verify error:num=9:certificate is not yet valid", ("client_not_yet_valid",), "OpenSSL")
    evidence = Evidence(attempts=(alerted(Alert.bad_certificate),), client=new, log=(line,))
    assert [finding.causes for finding in diagnose(evidence).findings] == [("client_not_yet_valid",)]
    (finding,) = diagnose(Evidence(attempts=(alerted(Alert.unknown_ca),), client=new)).findings
    assert "client_not_yet_valid" not in finding.causes


def test_what_our_connection_saw_excludes_what_a_log_leaves_open() -> None:
    line = LogLine("certificate verify failed", ("server_wrong_ca", "server_expired", "server_no_san"), "psql")
    server = Identity(side=Role.SERVER, source="what the server sent", chain=(SERVER,), accepted=True)
    (finding,) = diagnose(Evidence(attempts=(DONE,), server=server, log=(line,))).findings
    assert finding.causes == ("server_wrong_ca", "server_no_san")
    (finding,) = diagnose(Evidence(server=server, log=(line,))).findings
    assert finding.causes == line.causes
    only = replace(line, causes=("server_expired",))
    (finding,) = diagnose(Evidence(attempts=(DONE,), server=server, log=(only,))).findings
    assert finding.causes == ("server_expired",)

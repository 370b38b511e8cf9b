"""SPIFFE: what is an ID, who is a workload, whose roots vouch for it, and who is admitted."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

import handfast
from handfast import limits
from handfast.errors import ConfigError
from handfast.trust.presented import PresentedChain
from handfast.trust.spiffe import SpiffeId
from handfast.x509.purpose import Purpose

from .crafting import CLIENT, NOW, SERVER, Extension, Made, constraints, eku, make, san, usage

CA = make("Lab Root", None, constraints(True), (usage("key_cert_sign", "crl_sign"), True))
OTHER_CA = make("Other Root", None, constraints(True), (usage("key_cert_sign", "crl_sign"), True))
BUNDLES = {"lab.example": handfast.Roots.from_der([CA.der]), "other.example": handfast.Roots.from_der([OTHER_CA.der])}
WEB = "spiffe://lab.example/ns/prod/web"


def svid(*uris: str, ca: Made = CA, dns: tuple[str, ...] = (), more: tuple[Extension, ...] = ()) -> Made:
    names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [x509.DNSName(name) for name in dns]
    subject = (san(*names, critical=True),) if names else ()
    own_usage = () if more else ((usage("digital_signature"), True),)
    return make("web", ca, *subject, *own_usage, eku(SERVER, CLIENT), *more)


def judged(made: Made, verifier: handfast.SpiffeVerifier | None = None, purpose: Purpose = Purpose.CLIENT):
    asked = PresentedChain(chain=made.chain, purpose=purpose, server_name=None, at=NOW)
    return (verifier or handfast.SpiffeVerifier(BUNDLES)).verify(asked)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_workload_is_accepted_in_either_role_whatever_its_other_names(purpose):
    verdict = judged(svid(WEB, dns=("whatever.example",)), purpose=purpose)
    assert verdict.accepted
    assert f"URI:{WEB}" in verdict.names
    assert verdict.path[-1] == CA.der


def test_each_trust_domain_has_its_own_roots():
    assert judged(svid("spiffe://other.example/web", ca=OTHER_CA)).accepted
    # A CA of one domain issues for the other.
    assert judged(svid("spiffe://other.example/web", ca=CA)).code == "unknown_issuer"
    refused = judged(svid("spiffe://third.example/web"))
    assert refused.code == "spiffe_id"
    assert "third.example" in refused.explanation
    assert "lab.example, other.example" in refused.explanation


@pytest.mark.parametrize(
    ("uris", "words"),
    [
        ((), "0 URI names"),
        ((WEB, WEB), "2 URI names"),
        ((WEB, "https://lab.example/"), "2 URI names"),
        (("https://lab.example/web",), "does not begin with spiffe://"),
        (("spiffe://lab.example",), "no workload"),
        (("spiffe://lab.example/",), "segment"),
        (("spiffe://LAB.example/web",), "trust domain"),
        (("spiffe://lab.example:443/web",), "trust domain"),
        (("spiffe://user@lab.example/web",), "trust domain"),
        (("spiffe://lab.example/a/../web",), "segment"),
        (("spiffe://lab.example/web%20",), "segment"),
        (("spiffe://lab.example/web?x=1",), "segment"),
    ],
)
def test_who_has_no_id_is_refused(uris, words):
    verdict = judged(svid(*uris, dns=("localhost",)))
    assert verdict.code == "spiffe_id"
    assert words in verdict.explanation


@pytest.mark.parametrize("bits", [("digital_signature", "key_cert_sign"), ("digital_signature", "crl_sign")])
def test_who_may_sign_others_is_no_workload(bits):
    assert judged(svid(WEB, more=((usage(*bits), True),))).code == "spiffe_id"


def test_a_ca_that_is_trusted_is_no_workload_either():
    ca = make(
        "CA", None, constraints(True), (usage("digital_signature"), True), san(x509.UniformResourceIdentifier(WEB))
    )
    verifier = handfast.SpiffeVerifier({"lab.example": handfast.Roots.from_der([ca.der])})
    assert judged(ca, verifier).code == "spiffe_id"


@pytest.mark.parametrize(
    ("prefix", "admitted"),
    [("/ns/prod", True), ("/ns/prod/", True), ("/ns/prod/web", True), ("/ns/pro", False), ("/ns/prod/web/x", False)],
)
def test_a_prefix_admits_whole_segments(prefix, admitted):
    verdict = judged(svid(WEB), handfast.SpiffeVerifier(BUNDLES, path_prefix=prefix))
    assert verdict.accepted is admitted
    assert verdict.code == ("" if admitted else "access_denied")


async def _coroutine(_identity: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("allow", "code"),
    [
        (lambda identity: identity == WEB, ""),
        (lambda identity: identity != WEB, "access_denied"),
        (lambda _: "yes", "access_denied"),
        (lambda _: None, "access_denied"),
        (lambda _: 1 / 0, "verifier_failed"),
        (_coroutine, "verifier_failed"),
    ],
)
def test_a_predicate_admits_by_true_alone(allow, code):
    assert judged(svid(WEB), handfast.SpiffeVerifier(BUNDLES, allow=allow)).code == code


@pytest.mark.parametrize(
    "arguments",
    [
        {"bundles": {}},
        {"bundles": {"spiffe://lab.example": BUNDLES["lab.example"]}},
        {"bundles": {"x" * (limits.MAX_SPIFFE_TRUST_DOMAIN + 1): BUNDLES["lab.example"]}},
        {"bundles": BUNDLES, "path_prefix": "ns"},
        {"bundles": BUNDLES, "path_prefix": "/ns//x"},
    ],
)
def test_what_is_no_domain_and_no_path(arguments):
    with pytest.raises(ConfigError):
        handfast.SpiffeVerifier(**arguments)


def test_an_id_is_as_long_as_the_standard_allows():
    start = "spiffe://lab.example/"
    longest = start + "x" * (limits.MAX_SPIFFE_ID - len(start))
    assert str(SpiffeId.parse(longest)) == longest
    with pytest.raises(ValueError, match="longer"):
        SpiffeId.parse(longest + "x")


SEGMENT = st.text("abcXYZ019._-", min_size=1, max_size=8).filter(lambda text: text not in (".", ".."))


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-z0-9._-]{1,20}", fullmatch=True), st.lists(SEGMENT, max_size=4))
def test_an_id_of_any_domain_and_path_parses_to_them(domain, segments):
    text = "/".join([f"spiffe://{domain}", *segments])
    parsed = SpiffeId.parse(text)
    assert (parsed.trust_domain, parsed.path) == (domain, "".join(f"/{segment}" for segment in segments))
    assert str(parsed) == text


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_an_id_or_a_value_error(text):
    for candidate in (text, f"spiffe://{text}", f"spiffe://lab.example/{text}"):
        try:
            assert str(SpiffeId.parse(candidate)) == candidate
        except ValueError:
            continue


def test_policy_ids():
    same = handfast.SpiffeVerifier(dict(reversed(BUNDLES.items())))
    assert handfast.SpiffeVerifier(BUNDLES).policy_id == same.policy_id
    assert handfast.SpiffeVerifier(BUNDLES, path_prefix="/x").policy_id != same.policy_id
    fewer = handfast.SpiffeVerifier({"lab.example": BUNDLES["lab.example"]})
    assert fewer.policy_id != same.policy_id
    assert handfast.SpiffeVerifier(BUNDLES, allow=lambda _: True).policy_id is None


@pytest.mark.parametrize(("client", "code"), [("web", ""), ("batch", "access_denied")])
def test_both_sides_of_a_connection_are_workloads(client, code):
    from handfast.pki.authority import CertificateAuthority

    ca = CertificateAuthority.create("Workloads")
    bundles = {"lab.example": handfast.Roots.from_der([ca.certificate_der])}

    def identity(issued):
        return [handfast.Credentials.from_pem(issued.cert_pem, issued.key_pem)]

    near = handfast.ClientConnection(
        handfast.ClientConfig(
            verifier=handfast.SpiffeVerifier(bundles, path_prefix="/database"),
            credentials=identity(ca.client(client, f"spiffe://lab.example/{client}")),
        ),
        server_name="localhost",
    )
    far = handfast.ServerConnection(
        handfast.ServerConfig(
            verifier=handfast.SpiffeVerifier(bundles, path_prefix="/web"),
            credentials=identity(ca.server("spiffe://lab.example/database")),
            client_auth=handfast.ClientAuth.REQUIRE_AND_VERIFY,
        )
    )
    far.receive(near.outgoing())
    near.receive(far.outgoing())
    if not code:
        far.receive(near.outgoing())
        peer = far.info.verified_peer
        assert peer is not None
        assert f"URI:spiffe://lab.example/{client}" in peer.verdict.names
        return
    with pytest.raises(handfast.HandfastError) as caught:
        far.receive(near.outgoing())
    assert caught.value.code == code

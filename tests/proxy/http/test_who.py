"""Who the client is, told to the backend in headers; and that nobody else can tell it."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from handfast import ClientAuth, PathVerifier, Roots, limits
from handfast.pki.authority import CertificateAuthority
from handfast.proxy.settings import IdentityForm
from handfast.x509 import pem
from tests import certificates
from tests.aio.support import identity, server_config
from tests.proxy.http.support import Origin, Seen, web
from tests.proxy.support import mutual

if TYPE_CHECKING:
    from handfast.pki.authority import Issued
    from tests.aio.conftest import Runner

ALL = tuple(IdentityForm)
NAMES = {
    IdentityForm.RFC9440: {"client-cert", "client-cert-chain"},
    IdentityForm.XFCC: {"x-forwarded-client-cert"},
    IdentityForm.NGINX: {
        "x-ssl-client-verify", "x-ssl-client-cert", "x-ssl-client-s-dn", "x-ssl-client-i-dn", "x-ssl-client-serial",
    },
}  # fmt: skip


async def seen_of(issued: Issued | None, *forms: IdentityForm, auth: ClientAuth = ClientAuth.REQUEST) -> Seen:
    """The request of this client as the backend sees it."""
    origin = Origin()
    async with web(origin, tls=server_config(client_auth=auth), identity=forms) as proxy:
        options = {"anonymous": True} if issued is None else {"credentials": [identity(issued)]}
        client = await proxy.asker(**options)
        assert (await client.get()).status == 200
        client.close()
    return origin.seen[0]


def claims(seen: Seen) -> set[str]:
    return {name for name, _ in seen.headers if "cert" in name or "ssl" in name}


@pytest.mark.parametrize("form", ALL)
def test_a_verified_client_is_told_in_the_form_that_was_asked_for(run: Runner, form: IdentityForm) -> None:
    seen = run(seen_of(certificates.client_below_intermediate(), form))
    assert claims(seen) == NAMES[form]


def test_nothing_is_told_unless_asked_for(run: Runner) -> None:
    assert claims(run(seen_of(certificates.client()))) == set()


def test_rfc_9440(run: Runner) -> None:
    issued = certificates.client_below_intermediate()
    seen = run(seen_of(issued, IdentityForm.RFC9440))
    leaf, intermediate = issued.chain
    assert seen["client-cert"] == f":{b64encode(leaf).decode()}:"
    # Without the leaf: RFC 9440 2.3.
    assert seen["client-cert-chain"] == f":{b64encode(intermediate).decode()}:"


def test_a_chain_of_one_certificate_has_no_header(run: Runner) -> None:
    seen = run(seen_of(certificates.client(), IdentityForm.RFC9440))
    assert claims(seen) == {"client-cert"}


def test_the_form_of_envoy(run: Runner) -> None:
    uri = "spiffe://corp.example/billing"
    issued = certificates.ca().client("alice", uri, "alice.example")
    seen = run(seen_of(issued, IdentityForm.XFCC))
    parts = re.findall(r'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;]*)(?:;|$)', seen["x-forwarded-client-cert"])
    told: dict[str, list[str]] = {}
    for name, value in parts:
        told.setdefault(name, []).append(value)
    assert told["Hash"] == [sha256(issued.chain[0]).hexdigest()]
    assert told["URI"] == [uri]
    assert told["DNS"] == ["alice.example"]
    assert unquote(told["Cert"][0].strip('"')) == pem.encode("CERTIFICATE", issued.chain[0]).decode()
    assert unquote(told["Chain"][0].strip('"')).count("BEGIN CERTIFICATE") == len(issued.chain)
    assert list(told) == ["Hash", "Cert", "Chain", "Subject", "URI", "DNS"]


def test_the_form_of_nginx(run: Runner) -> None:
    issued = certificates.client()
    seen = run(seen_of(issued, IdentityForm.NGINX))
    assert seen["x-ssl-client-verify"] == "SUCCESS"
    encoded = unquote(seen["x-ssl-client-cert"])
    assert encoded == pem.encode("CERTIFICATE", issued.chain[0]).decode()
    assert seen["x-ssl-client-s-dn"] == "CN=alice,O=handfast"
    assert seen["x-ssl-client-i-dn"] == "CN=Test CA,O=handfast"
    assert re.fullmatch("[0-9A-F]+", seen["x-ssl-client-serial"])


def test_a_client_without_a_certificate_is_told_to_be_none(run: Runner) -> None:
    seen = run(seen_of(None, *ALL))
    assert claims(seen) == {"x-ssl-client-verify"}
    assert seen["x-ssl-client-verify"] == "NONE"


def test_a_client_that_is_not_verified_is_told_by_nothing_of_its_own(run: Runner) -> None:
    seen = run(seen_of(certificates.other_ca().client("admin"), *ALL))
    assert claims(seen) == {"x-ssl-client-verify"}
    assert re.fullmatch("FAILED:[a-z_]+", seen["x-ssl-client-verify"])


def test_a_name_cannot_end_its_header_or_its_element(run: Runner) -> None:
    hostile = 'a";By=evil,\\"; Hash=0 \u00c5\u4e16'
    issued = certificates.ca().client(hostile, "https://x.example/a,b;DNS=evil")
    seen = run(seen_of(issued, *ALL))
    value = seen["x-forwarded-client-cert"]
    assert value.isascii()
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", value)
    assert outside.count("Hash=") == 1
    assert "evil" not in outside
    assert "\\C3\\85\\E4\\B8\\96" in seen["x-ssl-client-s-dn"]
    assert 'URI="https://x.example/a,b;DNS=evil"' in value


def test_a_name_in_a_header_is_escaped_as_rfc_4514_has_it(run: Runner) -> None:
    """By the octets of UTF-8 (RFC 4514 2.4): what is for eyes, as \\x0d and \\u202e, is no escape there."""
    ca = CertificateAuthority.create("Te\rst \u202eCA")
    issued = ca.client("alice", subject="CN=a\x01b\x7f\u00a0\u202e\U0001f600\\,c")

    async def main() -> Seen:
        tls = mutual(verifier=PathVerifier(Roots.from_der([ca.certificate_der])))
        async with web(tls=tls, identity=(IdentityForm.NGINX, IdentityForm.XFCC)) as proxy:
            client = await proxy.asker(credentials=[identity(issued)])
            await client.get()
            client.close()
            return proxy.origin.seen[0]

    seen = run(main())
    name = r"CN=a\01b\7F\C2\A0\E2\80\AE\F0\9F\98\80\,c"
    assert seen["x-ssl-client-s-dn"] == name
    assert seen["x-ssl-client-i-dn"] == r"CN=Te\0Dst \E2\80\AECA,O=handfast"
    assert f'Subject="{name}"' in seen["x-forwarded-client-cert"]


SPELLINGS = ("{}", "{U}", "{T}", "{_}", "{_U}", "{m}", "{.}")


def spellings(name: str) -> list[str]:
    mixed = name.replace("-", "_", 1) if "-" in name else name
    forms = {
        "{}": name, "{U}": name.upper(), "{T}": name.title(), "{_}": name.replace("-", "_"),
        "{_U}": name.replace("-", "_").upper(), "{m}": mixed, "{.}": name.replace("-", "."),
    }  # fmt: skip
    return list(dict.fromkeys(forms[spelling] for spelling in SPELLINGS))


FORGED = (
    *sorted({name for names in NAMES.values() for name in names}),
    "x-ssl-client-anything",
    "ssl-client-cert",
    "ssl-client-subject-dn",
    "x-forwarded-tls-client-cert-info",
    "x-client-cert",
    "x-arr-clientcert",
    "x-amzn-mtls-clientcert-leaf",
    "cf-client-cert-der-base64",
    # What some service or other takes for who asks, from where, for what, or by which proxy.
    "x-ssl-issuer", "x-ssl-subject", "x-client-certificate", "x-client-subject-dn", "x-tls-client-cert", "ssl-cert",
    "x-client-ssl-cert", "x-certificate", "x-mtls-client-cert", "tls-client-cert", "client-verify",
    "remote-user", "remote-addr", "x-remote-user", "x-webauth-user", "x-auth-request-user", "x-forwarded-user",
    "true-client-ip", "x-client-ip", "client-ip", "x-cluster-client-ip", "x-real-ip", "x-forwarded-for", "x-forwarded",
    "forwarded", "forwarded-for", "cf-connecting-ip", "cf-connecting-ipv6", "fastly-client-ip", "fly-client-ip",
    "x-azure-clientip", "x-envoy-external-address", "x-originating-ip", "x-original-forwarded-for", "proxy-client-ip",
    "x-original-url", "x-original-uri", "x-original-host", "x-rewrite-url", "x-host", "x-scheme", "x-url-scheme",
    "front-end-https", "proxy",
)  # fmt: skip


# What is for the service, though it sounds alike.
FOR_THE_SERVICE = (
    "x-client-version", "x-client-data", "x-http-method-override", "x-requested-with", "x-request-id", "client-id",
    "origin", "authorization", "x-api-key", "sec-fetch-site", "x-original-filename", "x-hosting", "ssleay",
)  # fmt: skip


def test_what_says_nothing_of_the_client_goes_through(run: Runner) -> None:
    async def main() -> None:
        async with web() as proxy:
            client = await proxy.asker()
            await client.get("/", *(f"{name}: kept" for name in FOR_THE_SERVICE))
            client.close()
            assert [proxy.origin.seen[0][name] for name in FOR_THE_SERVICE] == ["kept"] * len(FOR_THE_SERVICE)

    run(main())


@pytest.mark.parametrize("forms", [(), ALL], ids=["no form on", "all forms on"])
@pytest.mark.parametrize("anonymous", [False, True], ids=["alice", "nobody"])
def test_no_client_can_say_who_it_is(run: Runner, forms: tuple[IdentityForm, ...], anonymous: bool) -> None:
    async def main() -> None:
        async with web(tls=server_config(client_auth=ClientAuth.REQUEST), identity=forms) as proxy:
            client = await proxy.asker(anonymous=anonymous)
            for name in FORGED:
                # As headers, each twice, named in Connection, and as trailers.
                forged = "".join(f"{spelling}: forged\r\n" for spelling in spellings(name))
                lines = (
                    f"POST / HTTP/1.1\r\nhost: localhost\r\n{forged}{forged}connection: {name}, "
                    f"{', '.join(spellings(name))}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{forged}\r\n"
                )
                client.write(lines.encode())
                assert (await client.answer()).status == 200
                seen = proxy.origin.seen[-1]
                assert (seen.body, seen.trailers) == (b"hi", [])
                own = {known for form in forms for known in NAMES[form]}
                assert claims(seen) <= own, name
                if forms and not anonymous:
                    # What is named in Connection is the client's, not ours.
                    assert "client-cert" in seen
                    assert seen["x-ssl-client-verify"] == "SUCCESS"
            assert b"forged" not in b"".join(proxy.origin.raw)
            client.close()

    run(main())


def test_a_certificate_larger_than_a_header_may_be_is_refused(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_CLIENT_CERT", 100)

    async def main() -> None:
        async with web(tls=server_config(client_auth=ClientAuth.REQUEST), identity=(IdentityForm.RFC9440,)) as proxy:
            client = await proxy.asker()
            assert (await client.get()).status == 403
            client.close()
            assert (await proxy.requests())[0].code == "identity_too_large"
            assert proxy.origin.raw == []

    run(main())


def test_a_chain_larger_than_a_header_may_be_is_left_out(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROXY_CLIENT_CHAIN", 100)
    seen = run(seen_of(certificates.client_below_intermediate(), *ALL))
    assert "client-cert" in seen
    assert "client-cert-chain" not in seen
    value = seen["x-forwarded-client-cert"]
    assert value.startswith("Hash=")
    assert "Cert=" not in value
    assert "Chain=" not in value
    assert b64decode(seen["client-cert"].strip(":"))


def test_our_own_uri_is_told_to_envoys_readers(run: Runner) -> None:
    ca = CertificateAuthority.create("Mesh")
    server = ca.server("localhost", "spiffe://corp.example/proxy")

    async def main() -> None:
        tls = server_config(client_auth=ClientAuth.REQUEST, credentials=[identity(server)])
        async with web(tls=tls, identity=(IdentityForm.XFCC,)) as proxy:
            trust = PathVerifier(Roots.from_der([ca.certificate_der]))
            client = await proxy.asker(verifier=trust)
            await client.get()
            assert proxy.origin.seen[0]["x-forwarded-client-cert"].startswith("By=spiffe://corp.example/proxy;Hash=")
            client.close()

    run(main())

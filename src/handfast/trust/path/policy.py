"""What a path verifier demands of certificates, as named policies made of documented knobs.

Under every policy: one path to a trusted root, valid dates all along it, CA flags and path lengths, no key or hash that
is broken, a leaf that may sign, the right extended key usage (also on the CAs), name constraints, the right name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handfast.errors import ApiMisuse
from handfast.words import choices, named

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPolicy:
    """The knobs; the defaults are the policy ``handfast``.

    Attributes:
        common_name_fallback: a server certificate without any DNS name in subjectAltName is matched by its common name.
        leaf_may_be_ca: the peer's own certificate may be a CA's. (One at which a path may end always may.)
        partial_chain: a path may end at any certificate that is trusted, as with OpenSSL's X509_V_FLAG_PARTIAL_CHAIN.
            If not, only at a root (self-signed), and the other trusted ones do no more than complete paths.
        match_key_identifiers: an issuer must be the one that authorityKeyIdentifier names. RFC 5280 4.2.1.1 has it as
            help to find issuers, and asks no verifier to look at it.
        any_purpose: on a leaf, anyExtendedKeyUsage counts as every purpose. (On a CA it always does.)
        netscape_type: on a leaf, nsCertType, which Netscape had before extended key usage, must hold the role if it is
            there at all.
        x509_strict: the form that RFC 5280 4 prescribes is demanded, as OpenSSL's X509_V_FLAG_X509_STRICT does: key
            identifiers, critical basicConstraints and a keyUsage on CAs, no contradictions between extensions.
    """

    common_name_fallback: bool = False
    leaf_may_be_ca: bool = False
    partial_chain: bool = True
    match_key_identifiers: bool = False
    any_purpose: bool = True
    netscape_type: bool = False
    x509_strict: bool = False


POLICIES: Mapping[str, PathPolicy] = {
    # What real private CAs make, and nothing that is unsafe.
    "handfast": PathPolicy(),
    # What OpenSSL's defaults accept, with these differences, all stricter: names chain by their bytes and not by RFC
    # 5280 7.1's folding; RSA-PSS, RSA and ECDSA signatures with SHA-2 only; critical extensions beyond the usual five,
    # policies among them, and directoryName constraints are refused; X.509 version 1 too, in CAs and leaves; a server's
    # keyUsage must hold digitalSignature, as TLS 1.3 and ECDHE make every server sign. It differs to the lenient side
    # in five things: "*.com" matches, where OpenSSL wants two labels after the wildcard; labels after a wildcard may
    # have an underscore; a dot at the end of a name, in the certificate or asked for, does not count; all ways to a
    # root are tried, where OpenSSL takes the first issuer that it finds, a trusted one before one that was sent, and no
    # other; and a leaf that signed itself may be issued by a trusted certificate of its name and key, as any other may.
    "openssl": PathPolicy(
        common_name_fallback=True,
        leaf_may_be_ca=True,
        partial_chain=False,
        match_key_identifiers=True,
        any_purpose=False,
        netscape_type=True,
    ),
    # What Python 3.13's default context demands of the form of certificates, on top of ours.
    "strict": PathPolicy(match_key_identifiers=True, any_purpose=False, netscape_type=True, x509_strict=True),
}


def named_policy(policy: str | PathPolicy) -> PathPolicy:
    """The policy of that name, or the one given; ApiMisuse bad_argument for an unknown name."""
    if isinstance(policy, PathPolicy):
        return policy
    if policy not in POLICIES:
        raise ApiMisuse("bad_argument", reason=f"policy is {choices(POLICIES)}, or a PathPolicy, not {named(policy)}")
    return POLICIES[policy]

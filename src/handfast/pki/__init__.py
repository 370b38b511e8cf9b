"""Making certificate authorities, certificates, revocation lists and OCSP responses, healthy ones and broken ones.

``CertificateAuthority.create("My CA")`` makes a CA in memory, whose ``server("localhost")`` and ``client("alice")``
issue certificates with keys, and whose ``sign_request`` signs the requests that ``server_request`` and
``client_request`` make; ``write_pki`` and ``write_files`` write them to a folder, all or nothing, and ``renew_crl`` a
revocation list. ``FAULTS`` names certificates that are wrong in one way; ``build_fault`` and ``write_fault`` make them.
"""

from handfast.pki.authority import CertificateAuthority
from handfast.pki.crl_files import renew_crl
from handfast.pki.directory import write_files, write_pki
from handfast.pki.faults import FAULTS, Fault, FaultNames, build_fault, write_fault
from handfast.pki.issued import CertificateChain, Issued
from handfast.pki.requests import CertificateRequest, client_request, server_request
from handfast.pki.template import Template

__all__ = [
    "FAULTS",
    "CertificateAuthority",
    "CertificateChain",
    "CertificateRequest",
    "Fault",
    "FaultNames",
    "Issued",
    "Template",
    "build_fault",
    "client_request",
    "renew_crl",
    "server_request",
    "write_fault",
    "write_files",
    "write_pki",
]

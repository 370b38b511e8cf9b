"""Making certificate authorities, certificates, revocation lists and OCSP responses, healthy ones and broken ones.

``CertificateAuthority.create("My CA")`` makes a CA in memory, whose ``server("localhost")`` and ``client("alice")``
issue certificates with keys; ``write_pki`` writes them to a folder. ``FAULTS`` names certificates that are wrong in one
way, which ``build_fault`` and ``write_fault`` make.
"""

from handfast.pki.authority import CertificateAuthority, Issued
from handfast.pki.directory import write_pki
from handfast.pki.faults import FAULTS, Fault, FaultNames, build_fault, write_fault
from handfast.pki.template import Template

__all__ = [
    "FAULTS",
    "CertificateAuthority",
    "Fault",
    "FaultNames",
    "Issued",
    "Template",
    "build_fault",
    "write_fault",
    "write_pki",
]

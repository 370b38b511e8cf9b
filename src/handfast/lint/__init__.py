"""Certificates looked at: what files hold in any form, and what will be refused, by whom and why.

``lint("server.pem", "server.key")`` returns a ``Report``. ``RULES`` is what is looked for, ``REFUSERS`` who refuses.
"""

from handfast.lint.contents import Item, Kind, read
from handfast.lint.facts import CertificateFacts, KeyFacts, RequestFacts, RevocationListFacts
from handfast.lint.findings import Finding, Report, Shown, lint
from handfast.lint.rule_table import REFUSERS, RULES, Rule

__all__ = [
    "REFUSERS",
    "RULES",
    "CertificateFacts",
    "Finding",
    "Item",
    "KeyFacts",
    "Kind",
    "Report",
    "RequestFacts",
    "RevocationListFacts",
    "Rule",
    "Shown",
    "lint",
    "read",
]

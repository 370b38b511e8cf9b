"""Each rule finds its certificate, and healthy ones give nothing."""

from __future__ import annotations

import pytest

from handfast.lint import REFUSERS, RULES
from handfast.lint.certificate_checks import Case
from handfast.lint.contents import read
from handfast.lint.findings import Report, look
from handfast.x509.purpose import Purpose

from . import page
from .broken import BESIDE, BROKEN, HEALTHY, NOW, Broken, ca, crl, pem, root, server


def report_on(broken: Broken) -> Report:
    named = enumerate(broken.contents)
    items = tuple(item for number, data in named for item in read(data, f"file{number}.pem"))
    return look(items, Case(NOW, Purpose(broken.purpose) if broken.purpose else None))


def test_every_rule_has_a_broken_certificate() -> None:
    assert list(BROKEN) == list(RULES)


@pytest.mark.parametrize("code", BROKEN)
def test_a_rule_finds_its_certificate_and_nothing_else(code: str) -> None:
    report = report_on(BROKEN[code]())
    assert {finding.code for finding in report.findings} == {code} | BESIDE.get(code, set())
    assert report.is_refused is bool(RULES[code].refused_by)
    for finding in report.findings:
        assert finding.explanation.isprintable()
        assert finding.advice == RULES[finding.code].advice
        assert finding.refused_by == RULES[finding.code].refused_by


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_certificates_give_nothing(name: str) -> None:
    report = report_on(HEALTHY[name]())
    assert report.findings == ()
    assert not report.is_refused


def test_a_list_of_another_key_revokes_nothing() -> None:
    made = server(ca())
    forged = crl(root("Root"), revoked=(made,))
    files = {"leaf.pem": pem(made.der), "ca.pem": pem(ca().der), "crl.pem": forged}
    items = tuple(item for name, data in files.items() for item in read(data, name))
    assert [finding.code for finding in look(items, Case(NOW)).findings] == ["same_name_other_key"]


def test_a_bundle_of_many_takes_a_moment() -> None:
    """What fits what is looked up by key, and signatures are checked within a budget."""
    many = pem(*(server(ca()).der for _ in range(300)), ca().der)
    report = look(read(many, "bundle.pem"), Case(NOW))
    assert len(report.shown) == 301
    assert report.findings == ()


def test_the_page_shows_this_table() -> None:
    written = page.PAGE.read_text()
    assert written == page.with_table(written), "write it anew: python -m tests.lint.page"


def test_the_table_names_known_programs() -> None:
    for rule in RULES.values():
        assert set(rule.refused_by) <= set(REFUSERS)
        assert rule.source in ("measured", "documented")

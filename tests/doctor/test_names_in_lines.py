"""The name in a line: one that the server's certificate has, if it can stand in a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handfast.pki.fault_scene import general_names
from tests.doctor.lines import printed
from tests.doctor.matrix import Answer, ask

if TYPE_CHECKING:
    from tests.doctor.matrix import Cast


def answer_of(cast: Cast, names: tuple[x509.GeneralName, ...]) -> Answer:
    certificate, key = cast.identity("other", cast.scene.server(names=names))
    files = ("--cacert", cast.ca, "--server-cert", certificate, "--server-key", key)
    return ask(*files, "--servername", "localhost")


def test_a_name_of_the_certificate_stands_in_the_line(cast: Cast) -> None:
    answer = answer_of(cast, general_names("www.other.example", "api.other.example"))
    assert answer.findings == (("server_wrong_name",),)
    assert printed(answer, "name", "go") == '&tls.Config{ServerName: "www.other.example"}'


def test_an_address_does_where_there_is_no_name(cast: Cast) -> None:
    answer = answer_of(cast, general_names("192.0.2.1"))
    assert '"192.0.2.1"' in printed(answer, "name", "go")


@pytest.mark.parametrize("name", ["*.other.example", "$(reboot)", "a b", "x;y", '"'])
def test_what_is_no_host_s_name_stands_in_no_line(name: str, cast: Cast) -> None:
    answer = answer_of(cast, (x509.DNSName(name),))
    lines = str([cause["fixes"] for finding in answer.document["findings"] for cause in finding["causes"]])
    assert "NAME" in lines
    assert name == '"' or name not in lines
    plain = answer_of(cast, (x509.DNSName(name), x509.DNSName("www.other.example")))
    assert "www.other.example" in printed(plain, "name", "go")

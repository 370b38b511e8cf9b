"""docs/refusals.md: it has every name of rustls's catalogue, and what it says of codes, alerts and tests is so."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from handfast.errors import HandfastError
from tests.protocol.ours import Row

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "refusals.md").read_text()

# The variants of these enums in rustls's module ``error``.
VARIANTS = {
    "PeerMisbehaved": """
        AttemptedDowngradeToTls12WhenTls13IsSupported
        BadCertChainExtensions
        DisallowedEncryptedExtension
        DuplicateClientHelloExtensions
        DuplicateEncryptedExtensions
        DuplicateHelloRetryRequestExtensions
        DuplicateNewSessionTicketExtensions
        DuplicateServerHelloExtensions
        DuplicateServerNameTypes
        EarlyDataAttemptedInSecondClientHello
        EarlyDataExtensionWithoutResumption
        EarlyDataOfferedWithVariedCipherSuite
        HandshakeHashVariedAfterRetry
        IllegalAlertLevel
        IllegalHelloRetryRequestWithEmptyCookie
        IllegalHelloRetryRequestWithNoChanges
        IllegalHelloRetryRequestWithOfferedGroup
        IllegalHelloRetryRequestWithUnofferedCipherSuite
        IllegalHelloRetryRequestWithUnofferedNamedGroup
        IllegalHelloRetryRequestWithUnsupportedVersion
        IllegalHelloRetryRequestWithWrongSessionId
        IllegalHelloRetryRequestWithInvalidEch
        IllegalMiddleboxChangeCipherSpec
        IllegalTlsInnerPlaintext
        IllegalWarningAlert
        IncorrectBinder
        IncorrectFinished
        InvalidCertCompression
        InvalidMaxEarlyDataSize
        InvalidKeyShare
        KeyEpochWithPendingFragment
        KeyUpdateReceivedInQuicConnection
        MessageInterleavedWithHandshakeMessage
        MissingBinderInPskExtension
        MissingKeyShare
        MissingPskModesExtension
        MissingQuicTransportParameters
        NoCertificatesPresented
        OfferedDuplicateCertificateCompressions
        OfferedDuplicateKeyShares
        OfferedEarlyDataWithOldProtocolVersion
        OfferedEmptyApplicationProtocol
        OfferedIncorrectCompressions
        PskExtensionMustBeLast
        PskExtensionWithMismatchedIdsAndBinders
        RefusedToFollowHelloRetryRequest
        RejectedEarlyDataInterleavedWithHandshakeMessage
        ResumptionAttemptedWithVariedEms
        ResumptionOfferedWithVariedCipherSuite
        ResumptionOfferedWithVariedEms
        ResumptionOfferedWithIncompatibleCipherSuite
        SelectedDifferentCipherSuiteAfterRetry
        SelectedInvalidPsk
        SelectedTls12UsingTls13VersionExtension
        SelectedUnofferedApplicationProtocol
        SelectedUnofferedCertCompression
        SelectedUnofferedCipherSuite
        SelectedUnofferedCompression
        SelectedUnofferedKxGroup
        SelectedUnofferedPsk
        ServerEchoedCompatibilitySessionId
        ServerHelloMustOfferUncompressedEcPoints
        ServerNameDifferedOnRetry
        ServerNameMustContainOneHostName
        SignedKxWithWrongAlgorithm
        SignedHandshakeWithUnadvertisedSigScheme
        TooManyEmptyFragments
        TooManyKeyUpdateRequests
        TooManyRenegotiationRequests
        TooManyWarningAlertsReceived
        TooMuchEarlyDataReceived
        UnexpectedCleartextExtension
        UnsolicitedCertExtension
        UnsolicitedEncryptedExtension
        UnsolicitedSctList
        UnsolicitedServerHelloExtension
        WrongGroupForKeyShare
        UnsolicitedEchExtension
    """,
    "InvalidMessage": """
        CertificatePayloadTooLarge
        HandshakePayloadTooLarge
        InvalidCcs
        InvalidContentType
        InvalidCertificateStatusType
        InvalidCertRequest
        InvalidDhParams
        InvalidEmptyPayload
        InvalidKeyUpdate
        InvalidServerName
        MessageTooLarge
        MessageTooShort
        MissingData
        MissingKeyExchange
        NoSignatureSchemes
        TrailingData
        UnexpectedMessage
        UnknownProtocolVersion
        UnsupportedCompression
        UnsupportedCurveType
        UnsupportedKeyExchangeAlgorithm
        EmptyTicketValue
        IllegalEmptyList
        DuplicateExtension
        PreSharedKeyIsNotFinalExtension
        UnknownHelloRetryRequestExtension
        UnknownCertificateExtension
    """,
    "PeerIncompatible": """
        EcPointsExtensionRequired
        ExtendedMasterSecretExtensionRequired
        IncorrectCertificateTypeExtension
        KeyShareExtensionRequired
        MultipleRawKeys
        NamedGroupsExtensionRequired
        NoCertificateRequestSignatureSchemesInCommon
        NoCipherSuitesInCommon
        NoEcPointFormatsInCommon
        NoKxGroupsInCommon
        NoSignatureSchemesInCommon
        NoServerNameProvided
        NullCompressionRequired
        ServerDoesNotSupportTls12Or13
        ServerSentHelloRetryRequestWithUnknownExtension
        ServerTlsVersionIsDisabledByOurConfig
        SignatureAlgorithmsExtensionRequired
        SupportedVersionsExtensionRequired
        Tls12NotOffered
        Tls12NotOfferedOrEnabled
        Tls13RequiredForQuic
        UncompressedEcPointsRequired
        UnknownCertificateType
        UnsolicitedCertificateTypeExtension
    """,
}
# Why a row has no code, and what the README says for as long as this is so.
REASONS = {
    "not applicable": "",
}


class Line(NamedTuple):
    """One row of the page: the cells, and the tests that the last one names."""

    variant: str
    what: str
    code: str
    alert: str
    shown: str

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`(tests/[^`]*)`", self.shown)

    @property
    def reason(self) -> str:
        """Why nothing is refused, or nothing yet."""
        return "" if self.code else re.split("[:;]", self.shown)[0]


def lines(heading: str) -> list[Line]:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    table = [line for line in found[1].splitlines() if line.startswith("|")][2:]
    return [Line(*[cell.strip() for cell in line.strip("|").split("|")]) for line in table]


def every_line() -> list[Line]:
    return [line for heading in VARIANTS for line in lines(heading)]


@cache
def collected(session: pytest.Session, path: str) -> list[pytest.Function]:
    """The tests of a file, as pytest finds them."""
    module = pytest.Module.from_parent(session, path=ROOT / path)
    return [item for item in session.genitems(module) if isinstance(item, pytest.Function)]


def named(session: pytest.Session, test: str) -> list[pytest.Function]:
    """The cases that a test of the page stands for; [] when there is none of that name."""
    path, _, name = test.partition("::")
    if not (ROOT / path).is_file():
        return []
    return [item for item in collected(session, path) if name in (item.name, item.originalname)]


def alerts_of(code: str) -> set[str]:
    """The alerts that the catalogue has for a code, which several classes may have."""
    entries = [kind.catalogue[code] for kind in HandfastError.__subclasses__() if code in kind.catalogue]
    return {entry.alert.name for entry in entries if entry.alert is not None}


@pytest.mark.parametrize("heading", VARIANTS)
def test_every_variant_has_one_row(heading):
    assert [line.variant for line in lines(heading)] == VARIANTS[heading].split()


def test_every_row_says_what_it_is_about():
    assert re.findall(r"^## (\w+)", PAGE, re.MULTILINE) == list(VARIANTS)
    assert [line.variant for line in every_line() if not line.what] == []


def test_every_code_has_the_alert_of_its_row():
    for line in every_line():
        code = line.code.strip("`")
        assert bool(code) == bool(line.alert), line.variant
        assert not code or line.alert in alerts_of(code), line.variant


def test_every_row_names_its_tests_or_a_reason():
    readme = " ".join((ROOT / "README.md").read_text().split())
    for line in every_line():
        if line.code:
            assert line.tests, line.variant
            assert ", ".join(f"`{test}`" for test in line.tests) == line.shown
        else:
            assert line.reason in REASONS, line.variant
            assert re.search(REASONS[line.reason], readme), f"{line.variant}: the feature is there; now name the test"


def test_every_test_that_is_named_is_there(request):
    tests = {test for line in every_line() for test in line.tests}
    assert [test for test in sorted(tests) if not named(request.session, test)] == []


def test_every_test_expects_what_its_row_says(request):
    """A case out of a table of refusals holds code and alert itself; of others, its file speaks of the code."""
    for line in every_line():
        code = line.code.strip("`")
        for test in line.tests if code else ():
            for item in named(request.session, test):
                row = item.callspec.params.get("row") if hasattr(item, "callspec") else None
                if isinstance(row, Row):
                    assert (row.code, row.alert) == (code, line.alert), test
                assert f'"{code}"' in item.path.read_text(), test

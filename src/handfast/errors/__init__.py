"""What can go wrong, whose fault it is, what the peer is told, and what to do about it.

Code raises where it notices; the connection alone turns an error into an alert and sends it. Each error has a stable
``code`` (a snake_case string that programs may compare), and the catalogue below holds, for every code, the alert, the
sentence, the RFC section and the hint: it is the one table from error to alert.

Which class to expect:

- ``PeerMisbehaved``: the peer did what the RFC forbids, or its cryptography does not check.
- ``BadMessage``: the peer's bytes do not decode.
- ``PeerIncompatible``: both sides are well-formed and have nothing in common.
- ``CertificateRejected``: we judged the peer's certificate and refused it.
- ``PeerRejected``: the peer sent a fatal alert.
- ``ConnectionLost``: the transport ended or went silent.
- ``LocalFailure``: our own signer, verifier or code failed; the peer is told internal_error.
- ``ConfigError``: a local file or option is unusable.
- ``ApiMisuse``: the calling program used handfast wrongly.
"""

from handfast.errors.base import Entry, Fault, HandfastError

# In the order of the catalogue's page.
# isort: off
from handfast.errors.peer import PeerMisbehaved, BadMessage, PeerIncompatible
from handfast.errors.verdicts import CertificateRejected, PeerRejected, ConnectionLost
from handfast.errors.own import LocalFailure, ConfigError, ApiMisuse, bad_option
# isort: on

__all__ = [
    "ApiMisuse",
    "BadMessage",
    "CertificateRejected",
    "ConfigError",
    "ConnectionLost",
    "Entry",
    "Fault",
    "HandfastError",
    "LocalFailure",
    "PeerIncompatible",
    "PeerMisbehaved",
    "PeerRejected",
    "bad_option",
]

"""The NSS key log, RFC 9850: one line per secret, from which Wireshark and others decrypt a capture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from handfast.events import Secret


class KeyLog:
    """A secret sink that hands each secret with a key log label to ``write_line``, newline included.

    ``write_line`` must have stored the line when it returns: the secret's first record follows it, and one who captures
    that record wants its key already there. Secrets without a label (the shared secret, the main secret, PSKs) are
    never written.
    """

    def __init__(self, write_line: Callable[[str], object]) -> None:
        self._write_line = write_line

    def __call__(self, secret: Secret) -> None:
        """Log one secret. RFC 9850 2."""
        if secret.keylog_label:
            self._write_line(f"{secret.keylog_label} {secret.client_random.hex()} {secret.value.hex()}\n")

"""Reading an NSS key log, RFC 9850; and the PSKs that are given beside it.

One line per secret: a label, the ClientHello's random and the value, both in hexadecimal. Key logs are appended to by
many programs and at any time, so a line that is none of that is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping

from handfast.limits import KEY_LOG_VALUES

CLIENT_RANDOM = 32


class KeyLogSecrets:
    """The secrets of many connections: by ClientHello.random, then by label. The values never show in the repr."""

    def __init__(self, text: bytes = b"") -> None:
        self._secrets: dict[bytes, dict[str, tuple[bytes, ...]]] = {}
        self._psks: dict[bytes, bytes] = {}
        self.add(text)

    def __repr__(self) -> str:
        return f"<KeyLogSecrets of {len(self._secrets)} connections>"

    def add(self, text: bytes) -> None:
        """Take the lines of a key log; several values for one secret are all kept, up to a limit."""
        for line in text.splitlines():
            parts = line.split()
            if len(parts) != 3 or line.startswith(b"#"):
                continue
            try:
                label, client_random, value = parts[0].decode("ascii"), *map(_hexadecimal, parts[1:])
            except ValueError:
                continue
            if len(client_random) == CLIENT_RANDOM:
                self._add(self._secrets.setdefault(client_random, {}), label, value)

    @staticmethod
    def _add(known: dict[str, tuple[bytes, ...]], label: str, value: bytes) -> None:
        values = known.get(label, ())
        if value not in values and len(values) < KEY_LOG_VALUES:
            known[label] = (*values, value)

    def add_psk(self, identity: bytes, psk: bytes) -> None:
        """Take a PSK, from outside TLS or a ticket's, which no key log holds."""
        self._psks[identity] = psk

    def psk(self, identity: bytes) -> bytes | None:
        """The PSK of this identity, None if it is not known."""
        return self._psks.get(identity)

    def of(self, client_random: bytes) -> Mapping[str, tuple[bytes, ...]]:
        """The secrets of one connection: label -> the values that there are for it, in the order of the log."""
        return self._secrets.get(client_random, {})


def _hexadecimal(text: bytes) -> bytes:
    return bytes.fromhex(text.decode("ascii"))

"""The key schedule as a graph: what each secret was made of, its value where it may be shown, and openssl's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from handfast import limits
from handfast.events import SecretLevel
from handfast.lens.trace import context_name, derivation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handfast.events import SecretDerived
    from handfast.lens.key_schedule import KeySchedule, Step

# TLS 1.2's labels.
_PRF = frozenset({"master secret", "extended master secret", "key expansion"})
_ZEROS = "0"


class Node(NamedTuple):
    """One value of the key schedule.

    Attributes:
        name: the RFC's; ``number`` tells apart what is derived several times.
        inputs: the numbers of the nodes that it was made from.
        formula: how, as the RFC writes it.
        label, context, context_from: the HKDF label, and what goes in besides the secret, and what that is.
        covers: the messages that a transcript hash is of.
        value: None where it is hidden; ``level`` is what shows it.
        hashing: the command line that computes that hash; "" where it is hidden or long, or stands in an earlier node.
        shell: command lines that compute it; () where one of its inputs is hidden.
    """

    number: int
    name: str
    inputs: tuple[int, ...]
    formula: str
    label: str
    context: bytes
    context_from: str
    covers: list[str]
    hashing: str
    value: bytes | None
    level: str
    shell: tuple[str, ...]
    parts: list[str]

    def as_data(self) -> dict[str, Any]:
        """For a page."""
        said = self._asdict() | {
            "context": self.context.hex(),
            "value": None if self.value is None else self.value.hex(),
        }
        return {key: value for key, value in said.items() if value not in ("", (), [])}


class Graph:
    """Collects the nodes of one connection. ``schedule`` knows the hash and the transcript.

    Attributes:
        transcript_hidden: whether a message that is not to be shown has come into the transcript.
    """

    def __init__(self, schedule: KeySchedule) -> None:
        self.transcript_hidden = False
        self.nodes: list[Node] = []
        self._schedule = schedule
        self._latest: dict[str, Node] = {}

    def derived(self, event: SecretDerived, value: bytes | None, level: str) -> int:
        """Add a secret; returns its number."""
        inputs = [self._latest.get(name) for name in event.inputs]
        covers = self._schedule.covered(event.context) if event.context else []
        parts = [
            f"{part.name}: {part.length} bytes" + ("" if part.value is None else f" {part.value.hex()}")
            for part in self._schedule.parts(event)
        ]
        shell = () if value is None else self._shell(event, value)
        numbers = tuple(node.number for node in inputs if node is not None)
        node = Node(
            number=len(self.nodes),
            name=event.name,
            inputs=numbers,
            formula=derivation(event),
            label=event.label,
            context=event.context,
            context_from=context_name(event.label) if event.label else "",
            covers=covers,
            hashing="" if value is None else self._hashing(event.context),
            value=value,
            level=level,
            shell=shell,
            parts=parts,
        )
        return self._add(node)

    def step(self, step: Step, name: str = "") -> int:
        """Add a key, an IV or a finished key; ``name`` is more exact than the step's own. Returns its number."""
        parent = self._latest.get(step.secret)
        numbers = () if parent is None else (parent.number,)
        shell: tuple[str, ...] = ()
        if step.value is not None and step.label and parent is not None and parent.value is not None:
            shell = (_expand_label(self._digest(step.value), parent.value, step.label, b"", step.length),)
        node = Node(
            len(self.nodes), name or step.name, numbers, step.formula, step.label, b"", "", [], "", step.value,
            SecretLevel.TRAFFIC, shell, [],
        )  # fmt: skip
        return self._add(node)

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        self._latest[node.name] = node
        return node.number

    def _hashing(self, context: bytes) -> str:
        """The command for a transcript hash, once for each."""
        if (
            not context
            or self.transcript_hidden
            or any(node.context == context and node.hashing for node in self.nodes)
        ):
            return ""
        transcript = b"".join(raw for _, raw in self._schedule.hashed(context))
        if not 0 < len(transcript) <= limits.PAGE_TRANSCRIPT_BYTES:
            return ""
        return _hash(self._digest(context), transcript)

    def _digest(self, value: bytes) -> str:
        """The hash; before a suite is chosen a secret's length tells it."""
        return digest_name(self._schedule.hash_name) or f"SHA{len(value) * 8}"

    def _shell(self, event: SecretDerived, value: bytes) -> tuple[str, ...]:
        """The command for one derivation, if all its inputs are known."""
        digest = f"SHA{len(value) * 8}" if event.label not in _PRF else self._digest(value)
        zeros = bytes(len(value))
        inputs = [zeros if name == _ZEROS else self._value(name) for name in event.inputs]
        known = [one for one in inputs if one is not None]
        if not inputs or len(known) != len(inputs):
            return ()
        if event.label in _PRF:
            return (_prf(digest, known[0], event.label, event.context, len(value)),)
        if event.label:
            return (_expand_label(digest, known[0], event.label, event.context, len(value)),)
        return (extract(digest, known[0], known[1], len(value)),)

    def _value(self, name: str) -> bytes | None:
        node = self._latest.get(name)
        return None if node is None else node.value


def digest_name(hash_name: str) -> str:
    """A hash as openssl's options spell it: "SHA256"."""
    return hash_name.upper().replace("-", "")


def _hash(digest: str, data: bytes) -> str:
    """A hash, in bash and zsh: printf makes bytes of what sed makes of the hexadecimal."""
    return f"""printf "$(echo {data.hex()} | sed 's/../\\\\x&/g')" | openssl dgst -{digest.lower()}"""


def extract(digest: str, salt: bytes, key: bytes, length: int) -> str:
    """HKDF-Extract, which is HMAC with ``salt`` as its key. RFC 5869 2.2."""
    return _kdf(length, digest, ("mode", "EXTRACT_ONLY"), ("hexsalt", salt.hex()), ("hexkey", key.hex())) + "HKDF"


def _expand_label(digest: str, secret: bytes, label: str, context: bytes, length: int) -> str:
    """HKDF-Expand-Label. RFC 9846 7.1."""
    name = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes((len(name),)) + name + bytes((len(context),)) + context
    return _kdf(length, digest, ("mode", "EXPAND_ONLY"), ("hexkey", secret.hex()), ("hexinfo", info.hex())) + "HKDF"


def _prf(digest: str, secret: bytes, label: str, seed: bytes, length: int) -> str:
    """TLS 1.2's PRF. RFC 5246 5."""
    options = ("hexsecret", secret.hex()), ("hexseed", label.encode().hex()), ("hexseed", seed.hex())
    return _kdf(length, digest, *options) + "TLS1-PRF"


def _kdf(length: int, digest: str, *options: tuple[str, str]) -> str:
    all_options: Iterable[tuple[str, str]] = (("digest", digest), *options)
    said = " ".join(f"-kdfopt {name}:{value}" for name, value in all_options)
    return f"openssl kdf -keylen {length} {said} "

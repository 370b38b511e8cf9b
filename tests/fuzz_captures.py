"""Mutates captures for a while, and says which of them broke the decoder, or cost more than their size allows.

    python -m tests.fuzz_captures [--seconds 60] [--seed NUMBER] [FILE ...]

With atheris (https://github.com/google/atheris), where it is installed, the code that is reached leads the way; else
mutations are drawn at random from the seed. A FILE is one input that broke something: it is tried once. Whatever the
input, decoding ends without an exception, what it prints is bounded by the size of the capture, and so, of every
twentieth, are the instructions that it takes.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handfast.passive.capture import Packet

try:
    import atheris
except ImportError:
    atheris = None

# What every byte of a capture may cost: bytes of text with every byte beside its field, and instructions of Python to
# decode it; the first number is free. Well-formed captures take 20 and 15.
TEXT = 100_000, 100
INSTRUCTIONS = 200_000, 100
_COUNTED_EACH = 20
_LARGEST = 64 * 1024
_MUTATIONS = 8


class Broken(Exception):
    """An input broke a promise."""


class Choices:
    """Bytes as a source of decisions: the same ones give the same capture, and a few changed ones a similar one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """A number from 0 on; 0 once the bytes are used up."""
        size = max(1, (below.bit_length() + 7) // 8)
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece, "big") % below if below else 0

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self._data[self._at :]

    @property
    def over(self) -> bool:
        """Whether the bytes are used up."""
        return self._at >= len(self._data)


def made(data: bytes) -> tuple[bytes, bytes]:
    """The capture and the key log that an input stands for."""
    from tests.passive.test_mutations import bases, capture_of

    choices = Choices(data)
    kind, base = choices.number(3), bases()[choices.number(4)]
    packets, keys = list(base[0]), base[1]
    if kind == 0:
        return choices.rest(), keys
    if kind == 1:
        content = bytearray(capture_of(packets))
        while not choices.over:
            content[choices.number(len(content))] = choices.number(256)
        return bytes(content), keys
    for _ in range(_MUTATIONS):
        if choices.over:
            break
        _mutate(packets, choices)
    return capture_of(packets), keys


def _mutate(packets: list[Packet], choices: Choices) -> None:
    if not packets:
        return
    at, other = choices.number(len(packets)), choices.number(len(packets))
    packet = packets[at]
    data = bytearray(packet.data)
    match choices.number(6):
        case 0 if data:
            data[choices.number(len(data))] = choices.number(256)
            packets[at] = packet._replace(data=bytes(data))
        case 1:
            packets[at] = packet._replace(data=packet.data[: choices.number(len(data) + 1)])
        case 2:
            packets[at], packets[other] = packets[other], packet
        case 3:
            packets.insert(other, packet)
        case 4:
            del packets[at]
        case _:
            place, size = choices.number(len(data) + 1), choices.number(64)
            data[place : place + choices.number(64)] = bytes(choices.number(256) for _ in range(size))
            packets[at] = packet._replace(data=bytes(data))


def examine(data: bytes, *, counted: bool) -> None:
    """Try one input. Raises Broken; or whatever the decoder raises and must not."""
    from handfast.errors import ConfigError
    from handfast.passive import decode
    from tests.counting import instructions
    from tests.passive.test_mutations import shown

    capture, keys = made(data)
    try:
        _, written = shown(capture, keys)
    except ConfigError as error:
        if error.code != "not_a_capture":
            raise
        return
    _within("bytes of text", written, TEXT, len(capture))
    if counted:
        _within("instructions", instructions(lambda: decode(capture, keys)), INSTRUCTIONS, len(capture))


def _within(what: str, number: int, allowed: tuple[int, int], size: int) -> None:
    most = allowed[0] + allowed[1] * size
    if number > most:
        raise Broken(f"{number} {what} for a capture of {size} bytes: {most} are allowed")


class Target:
    """What is called with each input; it keeps the one that breaks something."""

    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder

    def __call__(self, data: bytes) -> None:
        self.count += 1
        try:
            examine(data[:_LARGEST], counted=self.count % _COUNTED_EACH == 0)
        except Exception:
            path = self._folder / f"capture-{hashlib.sha256(data).hexdigest()[:12]}.input"
            path.write_bytes(data)
            print(f"\n{path} breaks it", file=sys.stderr)
            raise


def seeds() -> list[bytes]:
    """Inputs to start from: whole captures, and mutations of each kind."""
    from tests.passive.test_mutations import bases, capture_of

    whole = [b"\0" + bytes((number,)) + capture_of(packets)[:4000] for number, (packets, _) in enumerate(bases())]
    return whole + [bytes((kind, base, *range(1, 40))) for kind in (1, 2) for base in range(4)]


def at_random(target: Target, seconds: float, seed: int) -> None:
    """Try inputs drawn from the seed, until the time is over."""
    source = random.Random(seed)
    starts = seeds()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = bytearray(source.choice(starts) if source.random() < 0.3 else source.randbytes(source.randrange(2, 60)))
        for _ in range(source.randrange(8)):
            data[source.randrange(len(data))] = source.randrange(256)
        target(bytes(data))


def led_by_coverage(target: Target, seconds: float, seed: int) -> None:
    """Let atheris find inputs that reach new code, until the time is over. It ends the process."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(seeds()):
            Path(folder, str(number)).write_bytes(data)
        options = [f"-max_total_time={int(seconds)}", f"-max_len={_LARGEST}", "-timeout=1200", f"-seed={seed}"]
        atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", folder], target)
        atheris.Fuzz()


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, or try the inputs that are given."""
    parser = argparse.ArgumentParser(description="Mutate captures and decode them.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--random", action="store_true", help="without atheris, even where it is installed")
    parser.add_argument("inputs", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    led: Any = None if options.random or options.inputs else atheris
    with nullcontext() if led is None else led.instrument_imports(include=["handfast"]):
        import tests.passive.test_mutations  # noqa: F401
    for path in options.inputs:
        examine(path.read_bytes(), counted=True)
    if options.inputs:
        return 0
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    how = "without atheris: mutations at random" if led is None else "with atheris"
    print(f"fuzzing captures for {options.seconds:g} s, {how}, seed {seed}", flush=True)
    target = Target(Path.cwd())
    (at_random if led is None else led_by_coverage)(target, options.seconds, seed)
    print(f"{target.count} captures were decoded, and nothing broke")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The rows of `bench.first_connection`, whose processes import as little as they can before they measure."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from tempfile import TemporaryDirectory

from bench.first_connection import HELLO, LAYERS
from bench.sides import Pki, Row, handfast_sides, ssl_contexts

SCENARIOS = ("import", "first server connection")


def milliseconds(layer: str, pki: Pki, compiled: str) -> tuple[float, float]:
    """To import ``layer``, and to answer the first hello, of a new process that keeps what it compiles there."""
    command = [sys.executable, "-m", "bench.first_connection", layer, str(pki.directory)]
    # Where the environment forbids to keep it, every start would compile all modules, and that would be measured.
    kept = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=kept)
    imported, answered = map(float, done.stdout.split())
    return imported, answered


def rows(pki: Pki, *, rounds: int) -> Iterator[Row]:
    """Both scenarios, of handfast and of ssl; the processes of the two take turns."""
    ssl_contexts(pki, mutual=False)  # writes the files of the server
    client, _ = handfast_sides(pki, mutual=False)
    pki.file(HELLO, client().feed(b""))
    with TemporaryDirectory() as compiled:
        for layer in LAYERS:  # compiles
            milliseconds(layer, pki, compiled)
        seen = [{layer: milliseconds(layer, pki, compiled) for layer in LAYERS} for _ in range(rounds)]
    for index, scenario in enumerate(SCENARIOS):
        for layer in LAYERS:
            own = median(turn[layer][index] for turn in seen)
            ratio = median(turn["ssl"][index] / turn[layer][index] for turn in seen)
            yield Row(scenario, "server", layer, round(own, 2), "ms", round(ratio, 2))

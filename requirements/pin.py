"""Writes test.txt: everything that `make test` installs, at one version each, with the hashes of its wheels.

And bench.txt, clients.txt, frameworks.txt and page.txt: what `make bench`, `make proxy`, `make frameworks` and `make
page` install besides, for the extras of these names. consumers.txt, for the ``consumers`` extra: what `make consumers`
installs into a venv of its own, and doctor.txt likewise; scan.txt and sslyze.txt: those of `make scan`.

Run it by `make pin`. pip resolves what pyproject.toml names (dependencies, the ``test`` extra, the build backend) and
reports the hashes; nothing is installed. The first resolution fixes the versions, and the others only ask for the same
versions' wheels for another Python or platform. There are wheels of everything but sslyze, so source archives are left
out on purpose: building one would fetch build dependencies that no hash covers. sslyze's needs setuptools alone, which
is in scan.txt.

Use the oldest supported Python: newer ones need fewer packages, and a superset does no harm.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBCS = ("_2_34", "_2_31", "_2_28", "_2_27", "_2_17", "2014")
PLATFORMS = (
    *(tuple(f"manylinux{glibc}_{machine}" for glibc in GLIBCS) for machine in ("x86_64", "aarch64")),
    ("macosx_14_0_arm64",),
)
# It wants an older cryptography than handfast does, so it cannot be an extra.
SSLYZE, ITS_BUILD = "sslyze>=6.3", "setuptools>=77"
HERE = Path(__file__).parent
HEADER = "# Written by `make pin`: the names are in pyproject.toml, the wheels are those of Linux and macOS.\n"


# What is installed besides what tests need, by the names of the extras and of the files.
FURTHER = ("bench", "clients", "frameworks", "page")


# What lives in an environment of its own, likewise; Envoy's wheels are for Linux.
APART = ("doctor",)
LINUX = PLATFORMS[:2]


def wanted() -> tuple[list[str], dict[str, list[str]], list[str]]:
    """The requirements that pyproject.toml names: for tests, those of the further extras, and the consumers'."""
    pyproject = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    project, extras = pyproject["project"], pyproject["project"]["optional-dependencies"]
    tests = [*project["dependencies"], *extras["test"], *pyproject["build-system"]["requires"]]
    further = {name: extras[name] for name in (*FURTHER, *APART)}
    return tests, further, [*project["dependencies"], *extras["consumers"]]


def wheels_for(python: str, platforms: tuple[str, ...]) -> list[str]:
    """pip's options for the wheels of another Python or platform."""
    options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    return [*options, *(f"--platform={platform}" for platform in platforms)]


def resolve(requirements: list[str], *options: str) -> dict[str, str]:
    """What pip would install: ``name==version`` -> hash of the wheel or source archive."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += options
    with tempfile.TemporaryDirectory() as target:
        report = subprocess.run([*command, "--target", target, *requirements], check=True, stdout=subprocess.PIPE)
    return {
        f"{item['metadata']['name'].lower()}=={item['metadata']['version']}": item["download_info"]["archive_info"][
            "hashes"
        ]["sha256"]
        for item in json.loads(report.stdout)["install"]
    }


def write(name: str, pins: list[str], platforms: tuple[tuple[str, ...], ...] = PLATFORMS) -> None:
    """A requirements file with these versions, for all Pythons, and for all platforms or those given."""
    hashes: dict[str, set[str]] = {pin: set() for pin in pins}
    for python in PYTHONS:
        for platform in platforms:
            for pin, sha256 in resolve(pins, *wheels_for(python, platform), "--no-deps").items():
                hashes[pin].add(sha256)
    write_hashes(name, hashes)


def write_hashes(name: str, hashes: dict[str, set[str]]) -> None:
    """The file itself."""
    lines = [
        " \\\n    ".join([pin.replace("_", "-"), *(f"--hash=sha256:{sha256}" for sha256 in sorted(hashes[pin]))])
        for pin in sorted(hashes)
    ]
    (HERE / name).write_text(HEADER + "\n".join(lines) + "\n")
    print(f"requirements/{name}: {len(hashes)} packages, {sum(map(len, hashes.values()))} hashes")


def main() -> None:
    for_tests, further, for_consumers = wanted()
    here = wheels_for(PYTHONS[0], PLATFORMS[0])
    pins = list(resolve(for_tests, *here))
    write("test.txt", pins)
    for name in FURTHER:
        write_further(name, further[name], pins)
    for name in APART:
        write(f"{name}.txt", list(resolve(further[name], *here)), LINUX)
    write("consumers.txt", list(resolve(for_consumers, *here)))
    pin_sslyze()


def write_further(name: str, requirements: list[str], pins: list[str]) -> None:
    """The file of an extra, for what is not among ``pins`` already."""
    more = resolve([*pins, *requirements], *wheels_for(PYTHONS[0], PLATFORMS[0]))
    write(f"{name}.txt", [pin for pin in more if pin not in pins])


def pin_sslyze() -> None:
    """sslyze from its source archive, what it needs from wheels."""
    pins = resolve([SSLYZE, ITS_BUILD])
    source = {pin: {sha256} for pin, sha256 in pins.items() if pin.startswith("sslyze==")}
    write_hashes("sslyze.txt", source)
    write("scan.txt", [pin for pin in pins if pin not in source])


if __name__ == "__main__":
    main()

"""Writes test.txt: everything that `make test` installs, at one version each, with the hashes of its wheels.

And bench.txt: what `make bench` installs besides, for the ``bench`` extra.

Run it by `make pin`. pip resolves what pyproject.toml names (dependencies, the ``test`` extra, the build backend) and
reports the hashes; nothing is installed. The first resolution fixes the versions, and the others only ask for the same
versions' wheels for another Python or platform. There are wheels of everything, so source archives are left out on
purpose: building one would fetch build dependencies that no hash covers.

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
PLATFORMS = (
    ("manylinux_2_34_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    ("manylinux_2_34_aarch64", "manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    ("macosx_14_0_arm64",),
)
HERE = Path(__file__).parent
HEADER = "# Written by `make pin`: the names are in pyproject.toml, the wheels are those of Linux and macOS.\n"


def wanted() -> tuple[list[str], list[str]]:
    """The requirements that pyproject.toml names: for tests, and the bench's."""
    pyproject = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
    project, extras = pyproject["project"], pyproject["project"]["optional-dependencies"]
    return [*project["dependencies"], *extras["test"], *pyproject["build-system"]["requires"]], extras["bench"]


def resolve(requirements: list[str], python: str, platforms: tuple[str, ...], *options: str) -> dict[str, str]:
    """What pip would install: ``name==version`` -> hash of the wheel."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *options]
    command += [f"--platform={platform}" for platform in platforms]
    with tempfile.TemporaryDirectory() as target:
        report = subprocess.run([*command, "--target", target, *requirements], check=True, stdout=subprocess.PIPE)
    return {
        f"{item['metadata']['name'].lower()}=={item['metadata']['version']}": item["download_info"]["archive_info"][
            "hashes"
        ]["sha256"]
        for item in json.loads(report.stdout)["install"]
    }


def write(name: str, pins: list[str]) -> None:
    """A requirements file with these versions, for all Pythons and platforms."""
    hashes: dict[str, set[str]] = {pin: set() for pin in pins}
    for python in PYTHONS:
        for platforms in PLATFORMS:
            for pin, sha256 in resolve(pins, python, platforms, "--no-deps").items():
                hashes[pin].add(sha256)
    lines = [
        " \\\n    ".join([pin.replace("_", "-"), *(f"--hash=sha256:{sha256}" for sha256 in sorted(hashes[pin]))])
        for pin in sorted(hashes)
    ]
    (HERE / name).write_text(HEADER + "\n".join(lines) + "\n")
    print(f"requirements/{name}: {len(hashes)} packages, {sum(map(len, hashes.values()))} wheels")


def main() -> None:
    for_tests, for_bench = wanted()
    pins = list(resolve(for_tests, PYTHONS[0], PLATFORMS[0]))
    write("test.txt", pins)
    more = resolve([*pins, *for_bench], PYTHONS[0], PLATFORMS[0])
    write("bench.txt", [pin for pin in more if pin not in pins])


if __name__ == "__main__":
    main()

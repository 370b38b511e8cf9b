"""``handfast certs uninstall``: undoes ``certs install``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from handfast.cli import options
from handfast.cli.certs_install import store_options, work

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=options.Verb,
    examples=("handfast certs uninstall pki/ca.pem", "handfast certs uninstall pki/ca.pem --nss"),
)
@store_options
def command(ca: Path, **asked: Any) -> int:
    """Take the CA whose certificate is in the file CA out of the stores that are asked for.

    Only what install put there is taken out. Without --system, --nss or --java it only prints what it would do."""
    return work(ca, undo=True, **asked)

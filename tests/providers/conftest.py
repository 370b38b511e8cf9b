"""Everything here runs with the provider that is not the default one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handfast.crypto.providers import AWS_LC, provider_named
from tests.protocol import ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.crypto.provider import CryptoProvider


@pytest.fixture(scope="package")
def aws_lc() -> CryptoProvider:
    return provider_named(AWS_LC)


@pytest.fixture(scope="module", autouse=True)
def ours_by_aws_lc() -> Iterator[None]:
    """Our side of the protocol tests computes with it, unless a test says otherwise; their scripted peer does not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ours.DEFAULTS, "crypto_provider", AWS_LC)
        yield

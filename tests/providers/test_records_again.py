"""The tests of record protection, with the AEAD of the sender, or of both sides, from the other provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from handfast.record.protection import NumberedProtection13, Protection13, protection_13
from handfast.record.protection12 import Protection12, protection_12
from tests.providers.again import again
from tests.record import test_protection, test_protection12

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handfast.crypto.provider import CryptoProvider


@pytest.fixture(scope="module", autouse=True, params=["both", "the sender"])
def by_aws_lc(request: pytest.FixtureRequest, aws_lc: CryptoProvider) -> Iterator[None]:
    def pairs(module: Any, default: Any, other: Any) -> None:
        plain = module.pair

        def pair(*suite: Any) -> Any:
            patch.setattr(module, default.__name__, other)
            sender, receiver = plain(*suite)
            patch.setattr(module, default.__name__, default)
            _, default_receiver = plain(*suite)
            if request.param == "the sender":
                return sender, default_receiver
            return sender, receiver

        patch.setattr(module, "pair", pair)

    with pytest.MonkeyPatch.context() as patch:
        pairs(test_protection, Protection13, protection_13(aws_lc))
        pairs(test_protection12, Protection12, protection_12(aws_lc))
        yield


globals().update(again(test_protection, test_protection12))


def test_it_is_the_other_provider(request: pytest.FixtureRequest) -> None:
    sender, receiver = test_protection.pair()
    assert NumberedProtection13 in (type(sender), type(receiver))

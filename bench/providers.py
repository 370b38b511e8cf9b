"""The crypto providers that handfast can be told to use instead of its default one, where there are any."""

from __future__ import annotations

from functools import cache
from typing import Any

import handfast

# Each is the value of ``crypto_provider``.
PROVIDERS = ("aws-lc",)


def provided(name: str) -> dict[str, Any]:
    """The argument of a configuration that chooses a provider; none for the default one, ""."""
    return {"crypto_provider": name} if name else {}


def obstacle(name: str) -> str:
    """Why no configuration takes the provider; "" if one does."""
    try:
        handfast.ClientConfig(verifier=handfast.DangerouslyAcceptAnyone(), **provided(name))
    except TypeError:
        return "this handfast has no choice of providers"
    except (handfast.HandfastError, ImportError) as error:
        return str(error)
    return ""


@cache
def providers() -> tuple[str, ...]:
    """Those of ``PROVIDERS`` that work here."""
    return tuple(name for name in PROVIDERS if not obstacle(name))


def missing() -> dict[str, str]:
    """The others, each with what stands in its way."""
    return {name: found for name in PROVIDERS if (found := obstacle(name))}

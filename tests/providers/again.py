"""The tests of other modules, to be run once more under other fixtures."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def again(*modules: ModuleType) -> dict[str, Any]:
    """The test functions of these modules, each under a name that says where it is from."""
    return {
        f"{name}__of_{module.__name__.removeprefix('tests.').replace('.', '_')}": value
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("test_") and getattr(value, "__module__", "") == module.__name__
    }

"""What runs here takes minutes, so it is left out everywhere but by `make load`."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from typing import TYPE_CHECKING

import pytest

from tests.load.support import DOORS, Door
from tests.sslcontext.pairs import Files as ContextFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave it out without HANDFAST_LOAD."""
    if "HANDFAST_LOAD" not in os.environ:
        pytest.skip("minutes: make load")


@pytest.fixture(scope="session", autouse=True)
def _descriptors() -> None:
    """As many descriptors as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(autouse=True)
def _what_is_there_is_not_counted() -> Iterator[None]:
    """What existed before a test is no garbage, and counting need not look at it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def context_files(tmp_path_factory: pytest.TempPathFactory) -> ContextFiles:
    """Certificates and keys that contexts load."""
    folder: Path = tmp_path_factory.mktemp("contexts")
    return ContextFiles(folder)


@pytest.fixture(params=DOORS, ids=lambda kind: kind.name)
def door(request: pytest.FixtureRequest, context_files: ContextFiles) -> Door:
    """One of the two ways to TLS under asyncio."""
    kind: Callable[[ContextFiles], Door] = request.param
    return kind(context_files)


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop."""
    from tests.aio.conftest import uvloop_factory

    return asyncio.new_event_loop if request.param == "asyncio" else uvloop_factory()

"""Tests here that run a loop do so under asyncio's and uvloop's, in debug mode, and must leave nothing behind."""

from tests.aio.conftest import run

__all__ = ["run"]

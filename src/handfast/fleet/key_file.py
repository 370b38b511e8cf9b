"""The file of a fleet's keys, followed while the fleet is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handfast.fleet.fleet_keys import read_keys, warn_if_open
from handfast.reload.handles import Reloading

if TYPE_CHECKING:
    from pathlib import Path

    from handfast.fleet.redis_fleet import RedisFleet


class KeyFile(Reloading[list[bytes]]):
    """Has ``fleet`` use the keys in the file ``path``, at once and whenever it loads others. Raises as ``read_keys``.

    The fleet is given them when they are in use: what was read of a file that was being written it never sees.
    """

    def __init__(self, fleet: RedisFleet, path: Path) -> None:
        super().__init__(lambda: read_keys(path), path)
        self._fleet = fleet
        fleet.replace_keys(self.current)

    def _load_once(self) -> bool:
        changed = super()._load_once()
        if changed:
            warn_if_open(self.paths[0])
            self._fleet.replace_keys(self.current)
        return changed

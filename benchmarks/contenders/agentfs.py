"""AgentFS's SDK: asynchronous, on Turso's SQLite.

Its calls run on one event loop that is kept open, by ``run_until_complete``: 6 us of
what is measured (for a call that does nothing), where the calls take hundreds.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from benchmarks.contenders.bare import FOR_ONE, PATIENCE, Bare, fill, peer
from benchmarks.contenders.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.contenders.protocol import Contender, Verb


class AgentFS(Bare):
    def __init__(self, location: str) -> None:
        sdk = peer("agentfs_sdk")
        self._loop = asyncio.new_event_loop()
        self._run = self._loop.run_until_complete
        self._agent = self._run(sdk.AgentFS.open(sdk.AgentFSOptions(path=location)))
        self._fs = self._agent.fs

    def makedirs(self, key: str) -> None:
        at = ""
        for name in key[1:].split("/"):
            at += f"/{name}"
            if not self.exists(at):
                self._run(self._fs.mkdir(at))

    def write(self, key: str, data: bytes) -> None:
        self._run(self._fs.write_file(key, data))

    def read(self, key: str) -> bytes:
        data: bytes = self._run(self._fs.read_file(key, encoding=None))
        return data

    def size(self, key: str) -> int:
        size: int = self._run(self._fs.stat(key)).size
        return size

    def exists(self, key: str) -> bool:
        try:
            self._run(self._fs.access(key))
        except OSError:
            return False
        except Exception as error:
            if getattr(error, "code", None) != "ENOENT":
                raise
            return False
        return True

    def listdir(self, key: str) -> list[str]:
        names: list[str] = self._run(self._fs.readdir(key))
        return names

    def rename(self, key: str, to: str) -> None:
        self._run(self._fs.rename(key, to))

    def rmtree(self, key: str) -> None:
        self._run(self._fs.rm(key, recursive=True))

    def close(self) -> None:
        self._run(self._agent.close())
        self._loop.close()


def ship(directory: str, files: Mapping[str, bytes]) -> Callable[[], Contender]:
    location = os.path.join(directory, "shipped.agentfs")
    building = AgentFS(location)
    try:
        fill(building, files, PATIENCE)
    finally:
        building.close()
    return lambda: AgentFS(location)


def on_disk(directory: str) -> AgentFS:
    return AgentFS(os.path.join(directory, "container.agentfs"))


LACKS: Final[Mapping[Verb, str]] = {
    "open": "its SDK has no file objects",
    "update": "its SDK has no file objects",
    "walk": "its SDK has no walk",
    "glob": "its SDK has no glob",
    "threads": FOR_ONE,
}
KINDS = (
    Kind("AgentFS", "disk", on_disk, package="agentfs-sdk", lacks=LACKS),
    Kind("AgentFS", "shipped", on_disk, ship, package="agentfs-sdk", lacks=LACKS),
)

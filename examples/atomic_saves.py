"""Save a game so that it is never half saved, whatever happens on the way.

Two slots, a save that fails in the middle, a process that is killed while it saves, and
a last look at the container.

    python examples/atomic_saves.py [DIRECTORY]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from stratavfs import VirtualFileSystem

State = dict[str, dict[str, int]]


def main(directory: Path) -> None:
    """Play through the story in *directory*."""
    container = directory / "saves.db"
    with VirtualFileSystem(container) as vfs:
        save(vfs, "slot1", {"player": {"level": 3}, "world": {"seed": 42}})
        save(vfs, "slot2", {"player": {"level": 9}, "world": {"seed": 7}})
        print(f"saved: {vfs.glob('/saves/*/*.json')}")

        broken = {"player": {"level": 4}, "world": {"seed": object()}}
        try:
            save(vfs, "slot1", broken)  # type: ignore[arg-type]  # that is the point
        except TypeError as error:
            print(f"a save failed half way: {error}")
        assert load(vfs, "slot1") == {"player": {"level": 3}, "world": {"seed": 42}}
        print(f"the old save is all there: {load(vfs, 'slot1')}")

    killed = subprocess.run([sys.executable, __file__, "--die", container], check=False)
    with VirtualFileSystem(container) as vfs:
        print(f"a process died while it saved (status {killed.returncode})")
        assert load(vfs, "slot2") == {"player": {"level": 9}, "world": {"seed": 7}}
        assert vfs.check() == []
        print(f"and the old save is all there: {load(vfs, 'slot2')}")


def save(vfs: VirtualFileSystem, slot: str, state: State) -> None:
    """Replace the save in *slot*: all of it, or nothing."""
    with vfs.atomic_batch():
        if vfs.isdir(f"/saves/{slot}"):
            vfs.rmtree(f"/saves/{slot}")
        for name, part in state.items():
            with vfs.open(f"/saves/{slot}/{name}.json", "w") as file:
                json.dump(part, file)


def load(vfs: VirtualFileSystem, slot: str) -> State:
    """Return the save in *slot*."""
    return {
        name.removesuffix(".json"): json.loads(vfs.read_text(f"/saves/{slot}/{name}"))
        for name in vfs.listdir(f"/saves/{slot}")
    }


def die_while_saving(container: str) -> None:
    """End this process without any cleaning up, in the middle of a batch."""
    with VirtualFileSystem(container) as vfs, vfs.atomic_batch():
        vfs.rmtree("/saves/slot2")
        vfs.write_text("/saves/slot2/player.json", "{}")
        os._exit(9)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--die"]:
        die_while_saving(sys.argv[2])
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

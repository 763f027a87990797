"""Ship a game's assets as a pack: one file in the order in which the game reads it.

The assets of the release and those of a patch lie in layers. A start of the game is
recorded once; what it reads comes first in the pack that the players get, which they
open as immutable. A patch is shipped as the layer that it is, with what it deletes.

    python examples/packed_assets.py [DIRECTORY]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from stratavfs import VirtualFileSystem

READ_AT_START = (150, 7)  # numbers of textures


def main(directory: Path) -> None:
    """Make the packs in *directory*, and play with them."""
    make_release(directory / "release.db")
    with VirtualFileSystem(directory / "patch.db") as assets:
        assets.add_underlay(directory / "release.db", name="release")
        make_patch(assets)
        record_a_start(assets, directory / "start.trace")
        ship(assets, directory)
    play(directory / "game.pack")
    play_patched(directory)


def make_release(location: Path) -> None:
    """Fill the container that the artists have made."""
    with VirtualFileSystem(location) as release, release.atomic_batch():
        for number in range(200):
            release.write_bytes(f"/textures/{number:03}.png", bytes([number]) * 3000)
        release.write_text("/config.json", '{"width": 80}')
        release.write_text("/intro.txt", "Last year's film")
        release.write_bytes("/music/title.ogg", b"OggS" * 50_000)


def make_patch(assets: VirtualFileSystem) -> None:
    """Change some of it; the release below stays as it is."""
    assets.write_text("/config.json", '{"width": 160}')
    assets.remove("/intro.txt")


def start(assets: VirtualFileSystem) -> int:
    """Start the game: it reads some of the assets, in an order of its own."""
    assets.read_text("/config.json")
    with assets.open("/music/title.ogg", "rb") as music:
        music.read(4)
    return sum(
        assets.read_bytes(f"/textures/{number:03}.png")[0] for number in (150, 7)
    )


def record_a_start(assets: VirtualFileSystem, file: Path) -> None:
    """Note what a start reads, in the order of the first time."""
    with assets.access_trace() as trace:
        start(assets)
    trace.save(file)
    print("a start reads:", ", ".join(trace))
    assert [*trace] == [
        "/config.json",
        "/music/title.ogg",
        "/textures/150.png",
        "/textures/007.png",
    ]


def ship(assets: VirtualFileSystem, directory: Path) -> None:
    """Write all as one pack, and the patch alone as another."""
    report = assets.pack(directory / "game.pack", order=directory / "start.trace")
    print(f"packed: {report.files} files of {report.bytes} bytes")
    patch = assets.pack(directory / "patch.pack", layer="local")
    print(f"the patch: {patch.files} file")
    assert (report.files, patch.files) == (202, 1)


def play(pack: Path) -> None:
    """Open the pack as the players do: no locks, nothing is written beside it."""
    with VirtualFileSystem(pack, immutable=True) as assets:
        assert start(assets) == sum(READ_AT_START)
        assert not assets.exists("/intro.txt")
        assert assets.check() == []
        # Those that are read first have the first numbers, and lie in the first pages.
        numbers = [assets.stat(path).st_ino for path in ("/config.json", "/textures")]
        assert numbers[0] < numbers[1]
    assert not [*pack.parent.glob("game.pack-*")]


def play_patched(directory: Path) -> None:
    """Put the patch over the release that players have already."""
    with VirtualFileSystem() as game:
        game.add_underlay(directory / "release.db", 0)
        game.add_underlay(directory / "patch.pack", 1)
        assert start(game) == sum(READ_AT_START)
        assert game.read_text("/config.json") == '{"width": 160}'
        assert not game.exists("/intro.txt")
        print("played, packed and patched")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

"""Take a game's assets in, patch them from a zip archive, and ship them as one archive.

The artists work in a directory of the disk, where other files lie about, too. What is
imported from it is only what the game needs; the second time, only what has changed. A
patch that is broken leaves everything as it was. What is shipped is the merged view.

    python examples/assets_in_and_out.py [DIRECTORY]
"""

from __future__ import annotations

import os
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from stratavfs import BadArchive, VirtualFileSystem

EPOCH = 1_500_000_000  # seconds; a build should not depend on when it was made
ART = ["*.png", "*.ogg", "levels/**"]
NOT_ART = [".git/", "*.psd", "drafts/"]


def main(directory: Path) -> None:
    """Run the pipeline in *directory*."""
    studio = make_studio(directory / "studio")
    with VirtualFileSystem(directory / "assets.db") as assets:
        take_in(assets, studio)
        take_in_again(assets, studio)
        patch(assets, directory)
        refuse_a_bad_patch(assets, directory)
        ship(assets, directory / "assets.tar.gz")
    look_at(directory / "assets.tar.gz")


def make_studio(studio: Path) -> Path:
    """Make the directory that the artists work in."""
    files = {
        "textures/hero.png": b"\x89PNG hero",
        "textures/hero.psd": b"the layers of the hero",
        "textures/old/hero.png": b"\x89PNG hero of last year",
        "sounds/step.ogg": b"OggS step",
        "levels/one/map.json": b'{"width": 80}',
        "levels/one/drafts/map.json": b"{",
        ".git/config": b"[core]",
    }
    for name, content in files.items():
        path = studio / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (EPOCH, EPOCH))
    (studio / "levels/first").symlink_to("one")
    return studio


def take_in(assets: VirtualFileSystem, studio: Path) -> None:
    """Import what the game needs, and show how far it is."""
    steps = []
    report = assets.import_tree(
        studio,
        "/assets",
        include=ART,
        exclude=NOT_ART,
        progress=lambda at: steps.append((at.done, at.total)),
    )
    print(f"taken in: {report.files} files of {report.bytes} bytes")
    done, total = steps[-1]
    print(f"the last that progress was told: {done} of {total}")
    assert sorted(assets.find("*", "/assets", type="f")) == [
        "/assets/levels/one/map.json",
        "/assets/sounds/step.ogg",
        "/assets/textures/hero.png",
        "/assets/textures/old/hero.png",
    ]
    assert assets.readlink("/assets/levels/first") == "one"
    assert assets.stat("/assets/sounds/step.ogg").st_mtime == EPOCH


def take_in_again(assets: VirtualFileSystem, studio: Path) -> None:
    """Import once more after one file has changed: that one is all that is read."""
    (studio / "textures/hero.png").write_bytes(b"\x89PNG hero with a hat")
    report = assets.import_tree(
        studio, "/assets", include=ART, exclude=NOT_ART, on_conflict="newer"
    )
    print(f"taken in again: {report.files} file, {report.unchanged} unchanged")
    assert report.files == 1
    assert assets.read_bytes("/assets/textures/hero.png").endswith(b"with a hat")


def patch(assets: VirtualFileSystem, directory: Path) -> None:
    """Unpack a zip over the assets: all of it, or nothing."""
    with zipfile.ZipFile(directory / "patch.zip", "w") as archive:
        archive.writestr("sounds/step.ogg", b"OggS softer step")
        archive.writestr("sounds/jump.ogg", b"OggS jump")
    report = assets.import_archive(
        directory / "patch.zip", "/assets", on_conflict="replace"
    )
    print(f"patched: {report.files} files")
    assert assets.read_bytes("/assets/sounds/step.ogg") == b"OggS softer step"


def refuse_a_bad_patch(assets: VirtualFileSystem, directory: Path) -> None:
    """See that an archive that means harm changes nothing."""
    with zipfile.ZipFile(directory / "bad.zip", "w") as archive:
        archive.writestr("sounds/step.ogg", b"OggS wrong step")
        archive.writestr("../../saves/slot1", b"yours no more")
    try:
        assets.import_archive(directory / "bad.zip", "/assets", on_conflict="replace")
    except BadArchive as error:
        print(f"refused: {error.strerror}")
    assert assets.read_bytes("/assets/sounds/step.ogg") == b"OggS softer step"
    assert assets.listdir("/") == ["assets"]


def ship(assets: VirtualFileSystem, target: Path) -> None:
    """Export what the players get; old textures are kept at home."""
    report = assets.export_archive("/assets", target, exclude="old/")
    print(f"shipped: {report.files} files in {target.name}")


def look_at(target: Path) -> None:
    """Read the archive as anybody would."""
    with tarfile.open(target) as archive:
        names = sorted(archive.getnames())
        print("in it:", ", ".join(names))
        assert "textures/old/hero.png" not in names
        step = archive.extractfile("sounds/step.ogg")
        assert step is not None
        assert step.read() == b"OggS softer step"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

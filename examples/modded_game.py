"""A game with a DLC, a patch, two mods and a player, none of whom spoils the rest.

The base game, its patch and the DLC are containers, one mod is a directory, the other a
zip archive. The player's container lies on top and takes every change: throw it away,
and the game is as it was shipped. Pictures and sounds are real ones.

    python examples/modded_game.py [DIRECTORY]        (needs Pillow)
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import tempfile
import wave
import zipfile
from array import array
from pathlib import Path
from typing import IO

from PIL import Image, ImageColor

from stratavfs import VirtualFileSystem

HERO, GRASS, LOGO = "/textures/hero.png", "/textures/grass.png", "/intro/logo.png"
STEP, BALANCE = "/sounds/step.wav", "/balance.json"
SAVED, SCREEN = "/saves/state.json", "/saves/screen.png"
SOFT, LOUD = 0.1, 0.5
RATE = 8000  # samples of sound a second


def main(directory: Path) -> None:
    """Make the game in *directory* and play it."""
    make_base(directory / "base.db")
    base = hashes(directory)
    make_patch(directory / "patch.db", directory / "base.db")
    with VirtualFileSystem(directory / "dlc.db") as dlc:
        dlc.write_text("/maps/island.txt", "~~~~\n~/\\~\n")
    make_mods(directory / "crimson", directory / "stealth.zip")
    shipped = hashes(directory)
    assert base.items() <= shipped.items()  # making the patch did not touch the base

    with start_game(directory) as game:
        show_the_layers(game)
        show_the_patch(game)
        change_the_load_order(game)
        play(game)
    with start_game(directory) as game:
        print(f"started again, the game still knows {game.read_text(SAVED)}")
        assert json.loads(game.read_text(SAVED)) == {"name": "Ada", "level": 3}

    assert hashes(directory) == shipped
    print(f"and not one byte of {', '.join(shipped)} has changed")


def make_base(location: Path) -> None:
    """Make the game itself."""
    with VirtualFileSystem(location) as base, base.atomic_batch():
        for path, colour in [(HERO, "gray"), (GRASS, "green"), (LOGO, "white")]:
            with base.open(path, "wb") as file:
                paint(file, colour)
        with base.open(STEP, "wb") as file:
            record(file, LOUD)
        base.write_text("/maps/harbor.txt", "~~~~\n~[]~\n")
        base.write_text(BALANCE, json.dumps({"speed": 10, "jump": 2}))


def make_patch(location: Path, base: Path) -> None:
    """Make version 1.1 by changing the game: the changes, alone, are the patch."""
    with VirtualFileSystem(location) as patch:
        patch.add_underlay(base)
        patch.rmtree("/intro")  # nobody liked it
        patch.rename("/maps/harbor.txt", "/maps/harbour.txt")
        with patch.open(BALANCE, "r+") as file:
            balance = json.load(file)
            file.seek(0)
            json.dump(balance | {"speed": 12}, file)


def make_mods(folder: Path, archive: Path) -> None:
    """Make a mod that is a directory and one that is a zip archive."""
    hero = folder / HERO[1:]
    hero.parent.mkdir(parents=True)
    with hero.open("wb") as file:
        paint(file, "crimson")
    with zipfile.ZipFile(archive, "w") as zipped:
        with zipped.open(HERO[1:], "w") as file:
            paint(file, "black")
        with zipped.open(STEP[1:], "w") as file:
            record(file, SOFT)


def start_game(directory: Path) -> VirtualFileSystem:
    """Return all layers as one file system; what is written goes to user.db alone."""
    game = VirtualFileSystem(directory / "user.db")
    game.add_underlay(directory / "base.db", priority=0, name="base")
    game.add_underlay(directory / "patch.db", priority=10, name="patch")
    game.add_underlay(directory / "dlc.db", priority=20, name="dlc")
    game.add_underlay(directory / "stealth.zip", priority=30, name="stealth")
    game.add_underlay(directory / "crimson", priority=40, name="crimson")
    return game


def show_the_layers(game: VirtualFileSystem) -> None:
    """Look at the files of six layers as if they were in one directory."""
    names = [str(layer["name"]) for layer in game.list_layers()]
    print(f"the layers of the game, the highest first: {', '.join(names)}")
    assert game.listdir("/maps") == ["harbour.txt", "island.txt"]
    owners = [game.which_layer(path) for path in (HERO, STEP, GRASS)]
    assert owners == ["crimson", "stealth", "base"]
    assert is_painted(game, HERO, "crimson")
    assert loudness_of(game, STEP) == SOFT
    print("the hero wears crimson, by one mod, and walks softly, by the other")


def show_the_patch(game: VirtualFileSystem) -> None:
    """See that the patch deletes, renames and changes what the base has."""
    assert not game.exists("/intro")
    assert not game.exists("/maps/harbor.txt")
    assert json.loads(game.read_text(BALANCE)) == {"speed": 12, "jump": 2}
    print(f"the patch has removed the intro:\n{game.explain(LOGO)}")


def change_the_load_order(game: VirtualFileSystem) -> None:
    """Let the other mod win, then switch it off, while the game runs."""
    game.set_priority("stealth", 50)
    assert is_painted(game, HERO, "black")
    game.remove_underlay("stealth")
    assert is_painted(game, HERO, "crimson")
    assert loudness_of(game, STEP) == LOUD
    print("stealth went on top, and the hero wore black; it is off now, and he stamps")


def play(game: VirtualFileSystem) -> None:
    """Save twice, the second time in vain, and cheat."""
    save(game, {"name": "Ada", "level": 3}, screen="blue")
    try:
        save(game, {"name": "Ada", "level": object()}, screen="red")
    except TypeError as error:
        print(f"a save failed: {error}; the one before it is all there")
    assert is_painted(game, SCREEN, "blue")
    game.write_text(BALANCE, json.dumps({"speed": 99}))
    print("the player's layer:", ", ".join(map(str, game.diff())))


def save(game: VirtualFileSystem, state: dict[str, object], screen: str) -> None:
    """Save the picture on the screen and the state: both, or neither."""
    with game.atomic_batch():
        with game.open(SCREEN, "wb") as file:
            paint(file, screen)
        game.write_text(SAVED, json.dumps(state))


def paint(file: IO[bytes], colour: str) -> None:
    """Write a PNG of one *colour*."""
    Image.new("RGB", (32, 32), colour).save(file, "PNG")


def is_painted(game: VirtualFileSystem, path: str, colour: str) -> bool:
    """Tell whether the PNG at *path* is of that *colour*."""
    with game.open(path, "rb") as file, Image.open(file) as picture:
        return picture.getpixel((16, 16)) == ImageColor.getrgb(colour)


def record(file: IO[bytes], loudness: float) -> None:
    """Write a WAV of a tone: 440 Hz for a quarter of a second."""
    turns = (math.tau * 440 * number / RATE for number in range(RATE // 4))
    samples = array("h", (int(32767 * loudness * math.sin(turn)) for turn in turns))
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, RATE, 0, "NONE", ""))
        sound.writeframes(samples)


def loudness_of(game: VirtualFileSystem, path: str) -> float:
    """Return how loud the WAV at *path* is, from 0 to 1."""
    with game.open(path, "rb") as file, wave.open(file, "rb") as sound:
        samples = array("h", sound.readframes(sound.getnframes()))
    return round(max(samples) / 32767, 2)


def hashes(directory: Path) -> dict[str, str]:
    """Return the hash of every file but the player's."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith("user.db")
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

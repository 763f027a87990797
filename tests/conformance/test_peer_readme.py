"""Every example of stella-sqlite-vfs's README, with the import changed.

The text is theirs word for word, the layers apart, so that a program that was written
from that page runs here; what their comments promise is asserted.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Name -> parameters of the peer's API with their defaults, without self.
SIGNATURES = {
    "open": ("path, mode='r', buffering=-1, encoding=None, errors=None, newline=None"),
    "read_text": "path, encoding='utf-8'",
    "write_text": "path, content, encoding='utf-8'",
    "read_bytes": "path",
    "write_bytes": "path, content",
    "copy": "src, dst",
    "rename": "src, dst",
    "remove": "path",
    "unlink": "path",
    "exists": "path",
    "isfile": "path",
    "isdir": "path",
    "stat": "path",
    "getsize": "path",
    "mkdir": "path, parents=False, exist_ok=False",
    "makedirs": "path, exist_ok=False",
    "listdir": "path='/'",
    "walk": "top='/', onerror=None",
    "copytree": "src, dst",
    "rmdir": "path",
    "rmtree": "path",
    "glob": "pattern",
    "list_layers": "",
    "which_layer": "path",
    "which_layer_detailed": "path",
    "remove_underlay": "name",
    "flush": "",
    "sync": "",
    "atomic_batch": "",
    "close": "",
    "__init__": "db_path=':memory:', chunk_size=65536, read_only=False",
}


def positional(name: str) -> list[str]:
    """Return the positional parameters of a method as they are written."""
    parameters = inspect.signature(getattr(VirtualFileSystem, name)).parameters
    return [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"
    ]


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_peer_parameters_have_their_names_order_and_defaults(name: str) -> None:
    expected = [part for part in SIGNATURES[name].split(", ") if part]

    found = positional(name)

    assert found[: len(expected)] == expected
    assert all("=" in extra for extra in found[len(expected) :])


def test_basic_usage_runs(capsys: pytest.CaptureFixture[str]) -> None:
    # Create an in-memory file system
    with VirtualFileSystem(":memory:") as vfs:
        # Create directories
        vfs.makedirs("/game/assets/textures")

        # Write files
        vfs.write_text("/game/config.json", '{"resolution": "1920x1080"}')

        # Standard file operations
        with vfs.open("/game/data.txt", "w") as f:
            f.write("Hello, Virtual World!")

        # Read files
        content = vfs.read_text("/game/data.txt")
        print(content)  # noqa: T201 - "Hello, Virtual World!"

        # List directory
        files = vfs.listdir("/game/assets")
        print(files)  # noqa: T201 - ['textures']

    assert capsys.readouterr().out == "Hello, Virtual World!\n['textures']\n"


def test_persistent_storage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image_data, config_text = b"\x89PNG", "[video]\n"

    # Create a persistent file system
    vfs = VirtualFileSystem("game_assets.db")

    # Write game data
    vfs.write_bytes("/textures/player.png", image_data)
    vfs.write_text("/config/settings.ini", config_text)

    # Close when done
    vfs.close()

    # Later, reopen the same database
    vfs = VirtualFileSystem("game_assets.db")
    texture = vfs.read_bytes("/textures/player.png")

    assert texture == image_data
    vfs.close()


def test_large_file_handling_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    video_stream = [bytes([n]) * 1024 for n in range(64)]

    vfs = VirtualFileSystem("large_files.db", chunk_size=65536)

    # Write large file efficiently (streaming, no full RAM load)
    with vfs.open("/videos/cutscene.mp4", "wb") as f:
        for chunk in video_stream:
            f.write(chunk)

    # Seek to specific position without loading entire file
    with vfs.open("/videos/cutscene.mp4", "rb") as f:
        f.seek(1024 * 50)  # the peer's page jumps to its 50 MB mark
        sample = f.read(4096)

    assert sample == b"".join(video_stream[50:54])
    vfs.close()


def test_atomic_batch_operations_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    player_data, world_data, inventory_data = "player", "world", "inventory"

    vfs = VirtualFileSystem("game_save.db")

    # All operations succeed or fail together
    with vfs.atomic_batch():
        vfs.write_text("/save/player.json", player_data)
        vfs.write_text("/save/world.json", world_data)
        vfs.write_text("/save/inventory.json", inventory_data)
        # If any operation fails, all are rolled back

    assert vfs.listdir("/save") == ["inventory.json", "player.json", "world.json"]
    vfs.close()


def test_pattern_matching_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    vfs = VirtualFileSystem("assets.db")

    # Create file structure
    vfs.write_text("/game/scripts/player.lua", "...")
    vfs.write_text("/game/scripts/enemy.lua", "...")
    vfs.write_text("/game/data/level1.json", "...")
    vfs.write_text("/game/data/level2.json", "...")

    # Find files with glob patterns
    lua_scripts = vfs.glob("/game/scripts/*.lua")
    all_json = vfs.glob("/**/*.json")
    level_files = vfs.glob("/game/data/level[0-9].json")

    # Sorted here, where the peer's page shows the order of its database
    assert lua_scripts == ["/game/scripts/enemy.lua", "/game/scripts/player.lua"]
    assert all_json == ["/game/data/level1.json", "/game/data/level2.json"]
    assert level_files == ["/game/data/level1.json", "/game/data/level2.json"]
    vfs.close()


def test_constructor_takes_its_arguments_by_position(tmp_path: Path) -> None:
    location = str(tmp_path / "a.db")
    VirtualFileSystem(location, 4096).close()

    with VirtualFileSystem(location, 65536, True) as vfs:
        assert vfs.read_only
        assert vfs.chunk_size == 4096


@pytest.mark.parametrize("mode", ["r", "w", "a", "x", "r+", "w+", "a+", "x+"])
@pytest.mark.parametrize("binary", ["", "b"])
def test_file_modes_of_the_page_open(
    mem: VirtualFileSystem, mode: str, binary: str
) -> None:
    if "x" not in mode:
        mem.write_text("/f", "text")

    with mem.open("/f", mode + binary) as f:
        assert f.readable() == ("r" in mode or "+" in mode)
        assert f.writable() == (mode != "r")


def test_stat_has_the_fields_of_the_page(mem: VirtualFileSystem) -> None:
    mem.write_text("/f", "text")

    found = mem.stat("/f")

    assert (found.size, found.st_size, found.is_directory) == (4, 4, False)
    assert (found.st_mode, found.source_layer) == (0o100644, "local")
    assert found.st_mtime > 0
    assert found.st_ctime > 0
    assert found.created_at == found.modified_at


def test_layers_of_one_are_listed_as_the_page_lists_them(
    mem: VirtualFileSystem,
) -> None:
    mem.write_text("/f", "text")

    assert mem.list_layers() == [
        {
            "name": "local",
            "priority": float("inf"),
            "db_path": ":memory:",
            "writable": True,
            "kind": "memory",
            "at": "/",
        }
    ]
    assert mem.which_layer("/f") == "local"
    assert mem.which_layer("/missing") is None
    assert mem.which_layer_detailed("/f") == {
        "path": "/f",
        "resolved_from": "local",
        "layers": [{"name": "local", "has_file": True}],
    }


def test_layers_of_a_game_are_those_of_the_page(
    make_vfs: Callable[..., VirtualFileSystem], tmp_path: Path
) -> None:
    """The page fills its read-only layers; here they are filled before."""
    base, dlc, user = (str(tmp_path / f"{name}.db") for name in ("base", "dlc", "user"))
    with VirtualFileSystem(base) as made:
        made.write_text("/game/player_speed.txt", "10")
    with VirtualFileSystem(dlc) as made:
        made.write_text("/game/new_level.txt", "Level data...")

    base_game = make_vfs(base, read_only=True)
    expansion = make_vfs(dlc, read_only=True)
    user_vfs = make_vfs(user)
    user_vfs.add_underlay(expansion, priority=10, name="expansion")
    user_vfs.add_underlay(base_game, priority=0, name="base")

    assert user_vfs.read_text("/game/player_speed.txt") == "10"
    user_vfs.write_text("/game/player_speed.txt", "20")
    assert user_vfs.read_text("/game/player_speed.txt") == "20"
    assert base_game.read_text("/game/player_speed.txt") == "10"
    assert user_vfs.which_layer("/game/player_speed.txt") == "local"
    assert user_vfs.which_layer("/game/new_level.txt") == "expansion"
    keys = ("name", "priority", "db_path", "writable")
    assert [tuple(layer[key] for key in keys) for layer in user_vfs.list_layers()] == [
        ("local", float("inf"), user, True),
        ("expansion", 10, dlc, False),
        ("base", 0, base, False),
    ]

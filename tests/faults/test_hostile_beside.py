"""What a stranger may put beside a container: journals, logs, links of those names."""

from __future__ import annotations

import os
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.faults.hostile import (
    WAYS,
    bounds,
    make_sample,
    require_named,
    tour_above,
    tour_of,
)
from tests.ground import SIDE_FILES, connect, copy_as_killed, execute

from stratavfs import VirtualFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.damaged

PAGE = 4096
MAGIC = bytes.fromhex("d9d505f920a163d7")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with bounds():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "stranger.db"
    make_sample(path)
    return path


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's own, of which a stranger knows the name."""
    victim = tmp_path / "precious.txt"
    victim.write_text("precious " * 1000)
    return victim


def use(path: Path, way: str) -> None:
    """Open the container at *path* and use it, as far as it goes."""
    try:
        with VirtualFileSystem(path, **WAYS[way]) as vfs:
            vfs.listdir("/")
            if not vfs.read_only:
                vfs.write_bytes("/new", b"new")
    except OSError as error:
        require_named(error)


# --- journals -------------------------------------------------------------------------


def journal_of(path: Path, names: str) -> bytes:
    """Return a rollback journal of *path* that *names* another one above it.

    SQLite writes such a name where one transaction changes several databases; once it
    has rolled back, it deletes the file of that name (sqlite.org/fileformat2.html).
    """
    content = path.read_bytes()
    first = content[:PAGE]
    total = sum(first[at] for at in range(PAGE - 200, 0, -200))
    header = MAGIC + struct.pack(">IIIII", 1, 0, len(content) // PAGE, 512, PAGE)
    journal = header.ljust(512, b"\0") + struct.pack(">I", 1) + first
    journal += struct.pack(">I", total & 0xFFFFFFFF)
    name = names.encode()
    journal += struct.pack(">I", (1 << 30) // PAGE + 1) + name
    return journal + struct.pack(">II", len(name), sum(name)) + MAGIC


@pytest.mark.parametrize("way", WAYS)
def test_open_with_journal_that_names_a_file_leaves_it_alone(
    path: Path, victim: Path, way: str
) -> None:
    journal = path.with_name("stranger.db-journal")
    journal.write_bytes(journal_of(path, str(victim)))

    use(path, way)

    assert victim.read_text() == "precious " * 1000


def test_add_underlay_with_journal_that_names_a_file_leaves_it_alone(
    path: Path, victim: Path
) -> None:
    journal = path.with_name("stranger.db-journal")
    journal.write_bytes(journal_of(path, str(victim)))

    tour_above(path)

    assert victim.read_text() == "precious " * 1000


def make_half_written(path: Path) -> Path:
    """Return a copy of *path*, killed within a commit that has changed half of it."""
    with VirtualFileSystem(path, **WAYS["writable"]) as vfs:
        for number in range(200):
            vfs.write_bytes(f"/half/{number:03}", b"old" * 300)
    killed = path.with_name("killed.db")
    with closing(connect(path)) as cx:
        for pragma in ("journal_mode = DELETE", "synchronous = OFF", "cache_size = 5"):
            cx.execute(f"PRAGMA {pragma}")
        cx.execute("BEGIN")
        cx.execute("UPDATE inodes SET content = zeroblob(size) WHERE size = 900")
        killed.write_bytes(path.read_bytes())
        journal = path.with_name(path.name + "-journal").read_bytes()
        killed.with_name("killed.db-journal").write_bytes(journal)
        cx.execute("ROLLBACK")
    return killed


@pytest.mark.parametrize("way", WAYS)
def test_read_of_half_written_container_shows_the_state_before(
    path: Path, way: str
) -> None:
    killed = make_half_written(path)

    # Reading may be refused: it takes a writer to roll the journal back.
    found: set[bytes] = set()
    refused = False
    try:
        vfs = VirtualFileSystem(killed, **WAYS[way])
    except OSError as error:
        require_named(error, str(killed))
        refused = True
    else:
        with vfs:
            found = {vfs.read_bytes(f"/half/{number:03}") for number in range(200)}

    assert found == (set() if refused else {b"old" * 300})
    assert not (refused and way == "writable")


def test_read_of_half_written_underlay_shows_the_state_before(path: Path) -> None:
    killed = make_half_written(path)
    found = {b"old" * 300}
    with VirtualFileSystem() as top:
        try:
            top.add_underlay(str(killed))
            found = {top.read_bytes(f"/half/{number:03}") for number in range(200)}
        except OSError as error:
            require_named(error)

    assert found == {b"old" * 300}


# --- links and rubbish of those names -------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("end", SIDE_FILES)
@pytest.mark.parametrize("way", WAYS)
def test_open_with_link_beside_leaves_what_it_leads_to(
    path: Path, victim: Path, way: str, end: str
) -> None:
    path.with_name(path.name + end).symlink_to(victim)

    use(path, way)

    assert victim.read_text() == "precious " * 1000


RUBBISH = {
    "text": b"precious " * 1000,
    "zeros": bytes(20_000),
    "ones": b"\xff" * 20_000,
    "magic": MAGIC * 1000,
    "magic of a log": bytes.fromhex("377f0682002de218") * 1000,
    "a journal's header": MAGIC + b"\xff" * 20 + bytes(5000),
}


@pytest.mark.parametrize("end", SIDE_FILES)
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_open_with_rubbish_beside_is_answered_or_refused(
    path: Path, rubbish: str, end: str
) -> None:
    for way in WAYS:
        make_sample(path)
        for name in SIDE_FILES:
            path.with_name(path.name + name).unlink(missing_ok=True)
        path.with_name(path.name + end).write_bytes(RUBBISH[rubbish])

        use(path, way)


# --- containers behind a link ---------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("way", ["read-only", "immutable", "underlay"])
def test_read_through_link_sees_the_log_beside_the_container(
    path: Path, tmp_path: Path, way: str
) -> None:
    killed, link = tmp_path / "killed" / "container.db", tmp_path / "link.db"
    killed.parent.mkdir()
    execute(path, "PRAGMA journal_mode = WAL")
    with closing(connect(path)) as cx:
        cx.execute("UPDATE inodes SET content = x'6c61746572' WHERE size = 5")
        copy_as_killed(path, killed)
    link.symlink_to(killed)

    # What is in the log is seen, or the container cannot be read without it.
    found = b"later"
    try:
        if way == "underlay":
            with VirtualFileSystem() as top:
                top.add_underlay(str(link))
                found = top.read_bytes("/d/small")
        else:
            with VirtualFileSystem(link, **WAYS[way]) as vfs:
                found = vfs.read_bytes("/d/small")
    except OSError as error:
        require_named(error)

    assert found == b"later"


def test_tour_of_container_behind_a_link_is_answered(path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)

    assert "refused" not in tour_of(link, WAYS["immutable"])

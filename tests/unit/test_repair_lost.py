"""``repair()`` and ``/lost+found``: what goes there, as what, under which name."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from tests.unit.damages import (
    FILE,
    break_it,
    contents,
    is_healthy,
    make_sample,
    repairs,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from stratavfs import VirtualFileSystem

pytestmark = pytest.mark.damaged

NAMELESS = "DELETE FROM entries WHERE name = 's'"
"""What puts inode 4, with the bytes abc, into /lost+found."""

DIRECTORY = "INSERT INTO inodes SELECT {}, mode, 1, uid, gid, owner, group_name, size, "
DIRECTORY += "0, 0, 0, 0, 2, 0, NULL, NULL FROM inodes WHERE id = 2"


@pytest.fixture
def sample(make_vfs: Callable[..., VirtualFileSystem]) -> VirtualFileSystem:
    vfs: VirtualFileSystem = make_sample(make_vfs)
    return vfs


def tree(vfs: VirtualFileSystem) -> list[str]:
    """Return all paths, those of directories with a slash at the end."""
    return sorted(
        path
        for top, directories, files in vfs.walk("/")
        for path in (
            *(f"{top.rstrip('/')}/{name}/" for name in directories),
            *(f"{top.rstrip('/')}/{name}" for name in files),
        )
    )


# --- the directory itself -------------------------------------------------------------


def test_repair_makes_lost_and_found_only_when_something_comes(
    sample: VirtualFileSystem,
) -> None:
    break_it(sample, "UPDATE inodes SET nlink = 2 WHERE id = 4")

    sample.repair()

    assert not sample.exists("/lost+found")


def test_repair_uses_the_directory_that_is_there(sample: VirtualFileSystem) -> None:
    sample.write_bytes("/lost+found/mine", b"mine")
    before = sample.stat("/lost+found")
    break_it(sample, NAMELESS)

    assert repairs(sample) == ["8: inode 4: named /lost+found/inode-4"]

    assert sample.stat("/lost+found").st_ino == before.st_ino
    assert sorted(sample.listdir("/lost+found")) == ["inode-4", "mine"]


def test_repair_leaves_a_file_of_that_name_alone(sample: VirtualFileSystem) -> None:
    sample.write_bytes("/lost+found", b"a file")
    sample.symlink("d", "/lost+found-2")
    break_it(sample, NAMELESS)

    assert repairs(sample) == ["8: inode 4: named /lost+found-3/inode-4"]

    assert sample.read_bytes("/lost+found") == b"a file"
    assert sample.readlink("/lost+found-2") == "d"
    assert sample.read_bytes("/lost+found-3/inode-4") == b"abc"


def test_repair_takes_a_whiteouts_place_and_hides_what_it_hid(
    make_vfs: Callable[..., VirtualFileSystem], sample: VirtualFileSystem
) -> None:
    base = make_vfs()
    base.write_bytes("/lost+found/old", b"deleted above")
    sample.add_underlay(base)
    sample.rmtree("/lost+found")
    break_it(sample, NAMELESS)

    sample.repair()

    assert sample.listdir("/lost+found") == ["inode-4"]


def test_repair_of_lost_and_found_without_its_entry_makes_it_again(
    sample: VirtualFileSystem,
) -> None:
    sample.write_bytes("/lost+found/inode-4", b"mine")
    break_it(sample, NAMELESS, "DELETE FROM entries WHERE name = 'lost+found'")

    repairs(sample)

    assert is_healthy(sample)
    assert sample.read_bytes("/lost+found/inode-4") == b"mine"
    assert sample.read_bytes("/lost+found/inode-4-2") == b"abc"


def test_repair_of_lost_and_found_that_leads_nowhere_takes_another(
    sample: VirtualFileSystem,
) -> None:
    break_it(sample, NAMELESS, "INSERT INTO entries VALUES ('/', 'lost+found', 4, 99)")

    sample.repair()

    assert is_healthy(sample)
    assert b"abc" in contents(sample).values()


def test_repair_gives_newcomers_other_names_than_what_is_there(
    sample: VirtualFileSystem,
) -> None:
    sample.write_bytes("/lost+found/inode-4", b"first")
    sample.write_bytes("/lost+found/inode-4-2/f", b"second")
    break_it(
        sample, NAMELESS, "INSERT INTO entries VALUES ('/lost+found/', 'x', 8, 99)"
    )

    assert repairs(sample)[-1] == "8: inode 4: named /lost+found/inode-4-3"

    assert sample.read_bytes("/lost+found/inode-4") == b"first"
    assert sample.read_bytes("/lost+found/inode-4-2/f") == b"second"


def test_repair_of_what_lies_in_lost_and_found_keeps_it_there(
    sample: VirtualFileSystem,
) -> None:
    sample.symlink("a", "/lost+found/link")
    sample.write_bytes("/lost+found/f", b"x")
    break_it(
        sample,
        "UPDATE inodes SET target = NULL WHERE id = 7",
        "UPDATE entries SET name = '..' WHERE parent = '/lost+found/' AND name = 'f'",
        NAMELESS,
    )

    sample.repair()

    assert is_healthy(sample)
    assert {b"abc", b"x"} <= {*contents(sample).values()}


def test_repair_never_gives_an_inode_a_number_that_a_dangling_name_has(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        NAMELESS,
        "INSERT INTO entries VALUES ('/', 'ghost', 8, 6), ('/', 'other', 8, 7)",
        "INSERT INTO xattrs VALUES (8, 'user.x', x'01')",
    )

    sample.repair()

    assert is_healthy(sample)
    assert not sample.exists("/ghost")
    assert not sample.exists("/other")
    assert sample.getxattr("/lost+found/inode-8", "user.x") == b"\1"
    assert sample.listxattr("/lost+found/inode-4") == ["user.a"]


def test_repair_never_takes_the_directory_it_makes_for_lost(
    sample: VirtualFileSystem,
) -> None:
    break_it(  # the next number comes before it
        sample,
        "UPDATE inodes SET id = 1 << 62 WHERE id = 5",
        "UPDATE entries SET inode = 1 << 62 WHERE inode = 5",
        "UPDATE sqlite_sequence SET seq = 1 << 62",
        NAMELESS,
        "DELETE FROM entries WHERE name = 'l'",
    )

    assert repairs(sample) == [
        "8: inode 4: named /lost+found/inode-4",
        f"8: inode {1 << 62}: named /lost+found/inode-{1 << 62}",
    ]

    assert is_healthy(sample)


# --- directories with all below them --------------------------------------------------


def test_repair_of_directory_with_impossible_name_moves_all_below_it(
    sample: VirtualFileSystem,
) -> None:
    sample.makedirs("/bad/sub/deep")
    sample.write_bytes("/bad/sub/deep/f", b"deep")
    sample.link("/bad/sub/deep/f", "/bad/g")
    number = sample.stat("/bad").st_ino
    break_it(
        sample,
        "UPDATE entries SET parent = '/../' || substr(parent, 6) "
        "WHERE parent >= '/bad/' AND parent < '/bad0'",
        "UPDATE entries SET name = '..' WHERE name = 'bad'",
    )

    assert repairs(sample) == [f"7: /..: moved to /lost+found/inode-{number}"]

    top = f"/lost+found/inode-{number}"
    assert sample.read_bytes(f"{top}/sub/deep/f") == b"deep"
    assert sample.samefile(f"{top}/g", f"{top}/sub/deep/f")
    assert sample.stat(f"{top}/g").st_nlink == 2
    assert is_healthy(sample)


def test_repair_of_impossible_names_in_one_another_moves_each(
    sample: VirtualFileSystem,
) -> None:
    sample.makedirs("/bad/worse")
    sample.write_bytes("/bad/worse/f", b"deep")
    break_it(
        sample,
        "UPDATE entries SET parent = '/.././' WHERE name = 'f' AND parent LIKE '/bad%'",
        "UPDATE entries SET parent = '/../', name = '.' WHERE name = 'worse'",
        "UPDATE entries SET name = '..' WHERE name = 'bad'",
    )

    sample.repair()

    assert is_healthy(sample)
    assert "/lost+found/inode-7/f" in tree(sample)
    assert "/lost+found/inode-6/" in tree(sample)


def test_repair_of_names_in_a_file_keeps_the_file_and_their_places(
    sample: VirtualFileSystem,
) -> None:
    sample.makedirs("/x/y")
    sample.write_bytes("/x/y/f", b"f")
    sample.write_bytes("/x/g", b"g")
    sample.symlink("g", "/x/l")
    break_it(
        sample,
        "UPDATE entries SET parent = '/s/' || substr(parent, 4) "
        "WHERE parent >= '/x/' AND parent < '/x0'",
        "INSERT INTO entries VALUES ('/s/y/', 'hidden', 14, NULL)",
    )

    assert repairs(sample) == ["6: /s/: what is in it was moved to /lost+found/s"]

    assert sample.read_bytes("/s") == b"abc"
    assert [path for path in tree(sample) if "/lost+found/s" in path] == [
        "/lost+found/s/",
        "/lost+found/s/g",
        "/lost+found/s/l",
        "/lost+found/s/y/",
        "/lost+found/s/y/f",
    ]
    assert sample.read_bytes("/lost+found/s/l") == b"g"
    assert is_healthy(sample)


def test_repair_of_names_in_several_files_of_one_name_keeps_all(
    sample: VirtualFileSystem,
) -> None:
    for number in range(3):
        sample.write_bytes(f"/{number}/s", b"")
    break_it(
        sample,
        "INSERT INTO entries SELECT '/' || name || '/s/', 'f', 8, 3 FROM entries "
        "WHERE name IN ('0', '1', '2')",
        "UPDATE inodes SET nlink = 4 WHERE id = 3",
    )

    sample.repair()

    assert is_healthy(sample)
    assert [path for path in contents(sample) if path.startswith("/lost")] == [
        "/lost+found/s-2/f",
        "/lost+found/s-3/f",
        "/lost+found/s/f",
    ]


def test_repair_of_names_in_a_file_of_long_name_finds_room_for_a_number(
    sample: VirtualFileSystem,
) -> None:
    long = "\xe4" * 127
    sample.makedirs(f"/lost+found/{long}")
    sample.write_bytes(f"/{long}", b"")
    break_it(
        sample,
        f"INSERT INTO entries VALUES ('/{long}/', 'f', 8, 4)",
        "UPDATE inodes SET nlink = 2 WHERE id = 4",
    )

    sample.repair()

    assert is_healthy(sample)
    assert sample.read_bytes(f"/lost+found/{long[:56]}-2/f") == b"abc"


def test_repair_of_path_that_gets_too_long_in_lost_and_found_shortens_it(
    sample: VirtualFileSystem,
) -> None:
    deep = "/" + "/".join(["n" * 254] * 16)  # 4080 bytes
    sample.write_bytes(f"{deep}/{'f' * 14}", b"far down")
    assert len(f"{deep}/{'f' * 14}") == 4095
    with pytest.raises(OSError) as caught:
        sample.touch(f"{deep}/{'f' * 15}")
    assert caught.value.errno == errno.ENAMETOOLONG
    break_it(
        sample,
        f"UPDATE entries SET kind = 8 WHERE name = '{'n' * 254}' AND parent = '/'",
    )
    number = sample._store.row(
        "SELECT inode FROM entries WHERE parent = '/' AND name LIKE 'nn%'"
    )[0]
    break_it(sample, f"UPDATE inodes SET mode = {FILE} WHERE id = {number}")

    sample.repair()

    assert is_healthy(sample)
    assert b"far down" in contents(sample).values()


def test_repair_of_path_of_many_times_the_limit_ends(
    sample: VirtualFileSystem,
) -> None:
    steps = [f"{'n' * 250}{number:04}" for number in range(60)]  # 15,300 bytes
    for number, name in enumerate(steps):
        parent = "".join(f"/{step}" for step in steps[:number]) + "/"
        break_it(
            sample,
            DIRECTORY.format(100 + number),
            f"INSERT INTO entries VALUES ('{parent}', '{name}', 4, {100 + number})",
        )

    sample.repair()

    assert is_healthy(sample)
    assert len([path for path in tree(sample) if "nnn" in path]) == 60 - 3


# --- bytes of files -------------------------------------------------------------------


def test_repair_saves_what_is_cut_off_at_the_same_offsets(
    sample: VirtualFileSystem,
) -> None:
    data = bytes(range(65, 91))  # in chunks of four: six whole ones and a half
    sample.write_bytes("/big", data)
    number = sample.stat("/big").st_ino
    break_it(sample, f"UPDATE inodes SET size = 9 WHERE id = {number}")

    (line,) = repairs(sample)
    assert line.startswith(f"12: chunks of inode {number}: ")
    assert line.endswith(f" moved to /lost+found/inode-{number}")

    assert sample.read_bytes("/big") == data[:9]
    assert sample.read_bytes(f"/lost+found/inode-{number}") == bytes(9) + data[9:]
    assert is_healthy(sample)


def test_repair_saves_each_byte_of_chunks_that_are_too_long(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        "UPDATE chunks SET data = CAST('0123456789abcdefghijk' AS BLOB) WHERE idx = 0",
        "UPDATE chunks SET data = CAST('LMNOPQRSTUVWXYZ' AS BLOB) WHERE idx = 2",
    )

    sample.repair()

    assert sample.read_bytes("/d/f") == b"0123efghLM"
    saved = sample.read_bytes("/lost+found/inode-3").replace(b"\0", b"")
    assert saved == b"NO" + b"456789abcdefghijk" + b"PQRSTUVWXYZ"
    assert is_healthy(sample)


def test_repair_saves_chunks_that_no_file_can_have(sample: VirtualFileSystem) -> None:
    break_it(
        sample,
        "INSERT INTO chunks VALUES (3, -1, x'6e6567'), (3, 1 << 61, x'666172')",
    )

    sample.repair()

    assert sample.read_bytes("/d/f") == b"abcdefghij"
    saved = sample.read_bytes("/lost+found/inode-3").replace(b"\0", b"")
    assert sorted(saved) == sorted(b"negfar")
    assert is_healthy(sample)


def test_repair_of_lost_inode_row_keeps_names_links_and_attributes(
    sample: VirtualFileSystem,
) -> None:
    sample.link("/d/f", "/g")
    sample.setxattr("/d/f", "user.x", b"1")
    sample.truncate("/d/f", 1000)  # how long the hole was is lost
    break_it(sample, "DELETE FROM inodes WHERE id = 3")

    assert repairs(sample) == [
        "13: inode 3: made again for its chunks",
    ]

    assert contents(sample)["/d/f"] == contents(sample)["/g"] == b"abcdefghij"
    assert sample.getxattr("/g", "user.x") == b"1"
    assert sample.stat("/g").st_nlink == 2
    assert is_healthy(sample)


def test_repair_of_links_of_one_broken_target_saves_it_once(
    sample: VirtualFileSystem,
) -> None:
    sample.link("/l", "/d/l", follow_symlinks=False)
    break_it(sample, "UPDATE inodes SET target = 'a' || char(0), size = 2 WHERE id = 5")

    sample.repair()

    assert is_healthy(sample)
    assert not sample.lexists("/l")
    assert not sample.lexists("/d/l")
    saved = [path for path, data in contents(sample).items() if data == b"a\0"]
    assert saved == ["/lost+found/inode-5", "/lost+found/inode-5-2"]
    assert sample.samefile(*saved)


def test_repair_of_root_that_is_a_file_with_other_names_saves_its_bytes(
    sample: VirtualFileSystem,
) -> None:
    break_it(
        sample,
        f"UPDATE inodes SET mode = {FILE}, content = x'72', size = 1 WHERE id = 1",
        "UPDATE entries SET kind = 8 WHERE parent = ''",
        "INSERT INTO entries VALUES ('/', 'again', 8, 1)",
    )

    sample.repair()

    assert is_healthy(sample)
    assert sample.read_bytes("/lost+found/inode-1") == b"r"
    assert sample.read_bytes("/s") == b"abc"

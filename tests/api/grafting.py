"""What tests of whole trees share: what is in them, and what they show.

A local layer lies over *base*, a file system that *fill* has filled, and *edit* changes
some of everything in it.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

from tests import ground

if TYPE_CHECKING:
    from pathlib import Path

    from stratavfs import VirtualFileSystem

Seen = dict[str, tuple[Any, ...]]


def seen(vfs: VirtualFileSystem) -> Seen:
    """Return all that a merged view shows: attributes, times, bytes, names of a file.

    Left out are the count of names, since some may be deleted; ctime, the moment of the
    last change wherever it was made; and when the root was made, which is when its
    container was.
    """
    found: dict[str, tuple[Any, ...]] = {}
    names: dict[object, list[str]] = {}
    for path in ["/", *vfs.glob("**/*")]:
        status = vfs.lstat(path)
        content: bytes | str | None = None
        if stat.S_ISLNK(status.st_mode):
            content = vfs.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = vfs.read_bytes(path)
        single = status.st_nlink == 1 or not status.st_ino
        identity = path if single else (status.st_dev, status.st_ino)
        beside = names.setdefault(identity, [])
        beside.append(path)
        attributes = {
            name: vfs.getxattr(path, name, follow_symlinks=False)
            for name in vfs.listxattr(path, follow_symlinks=False)
        }
        born = 0 if path == "/" else status.st_birthtime_ns
        times = status.st_atime_ns, status.st_mtime_ns, born
        owners = status.st_uid, status.st_gid, status.owner, status.group
        mode, size = status.st_mode, status.st_size
        size = 0 if stat.S_ISDIR(mode) else size
        found[path] = (mode, size, owners, times, content, attributes, beside)
    return found


def shown(vfs: VirtualFileSystem) -> Seen:
    """Return the same without directories' times, which change with names in them."""
    return {
        path: (*node[:3], None, *node[4:]) if stat.S_ISDIR(node[0]) else node
        for path, node in seen(vfs).items()
    }


def below_root(seen: Seen) -> Seen:
    """Return the view without what each file system has for itself.

    That is the root, and when a directory was made that both have.
    """
    return {
        path: (*node[:3], node[3][:2], *node[4:]) if stat.S_ISDIR(node[0]) else node
        for path, node in seen.items()
        if path != "/"
    }


def rows_of(vfs: VirtualFileSystem) -> ground.Dump:
    return ground.dump(vfs._store._cx)


def changed(vfs: VirtualFileSystem) -> list[str]:
    return sorted(map(str, vfs.diff()))


def fill(vfs: VirtualFileSystem) -> None:
    """Make some of everything, with attributes of its own."""
    for path in ("/f", "/d/x", "/d/y", "/d/sub/z", "/d/sub/deep/w", "/gone/q", "/e/x"):
        vfs.write_bytes(path, b"base " + path.encode())
    vfs.write_bytes("/big", bytes(range(256)) * 40)
    vfs.symlink("d/x", "/link")
    vfs.link("/f", "/hard")
    vfs.chmod("/d/y", 0o600)
    vfs.chown("/d/y", "ann", 7)
    vfs.chmod("/d/sub", 0o700)
    for path in ("/d/sub", "/d/y", "/link", "/"):
        vfs.setxattr(path, "user.of", path.encode(), follow_symlinks=False)
        vfs.utime(path, ns=(1_000_000_001, 2_000_000_002), follow_symlinks=False)


def edit(vfs: VirtualFileSystem) -> None:
    """Change some of everything."""
    vfs.write_bytes("/d/x", b"changed")
    with vfs.open("/big", "r+b") as file:
        file.write(b"patched")
    vfs.chmod("/d/sub/z", 0o640)
    vfs.setxattr("/d", "user.local", b"1")
    vfs.remove("/d/y")
    vfs.rmtree("/gone")
    vfs.rmtree("/e")
    vfs.write_bytes("/e/new", b"of an opaque directory")
    vfs.rename("/d/sub/deep", "/moved")
    vfs.write_bytes("/one", b"two names")
    vfs.link("/one", "/e/two")
    vfs.symlink("one", "/d/pointing")
    vfs.remove("/hard")
    vfs.mkdir("/hard")
    for path in ("/e", "/d", "/moved"):
        vfs.utime(path, ns=(3_000_000_003, 4_000_000_004))


def act_on_directory(vfs: VirtualFileSystem) -> None:
    vfs.rmtree("/d")
    vfs.mkdir("/d")


def fill_opaque_directory(vfs: VirtualFileSystem) -> None:
    """Hide names at two depths by one opaque directory, and have some of them anew."""
    act_on_directory(vfs)
    vfs.write_bytes("/d/x", b"mine")
    vfs.write_bytes("/d/sub/mine", b"mine")


def filled(make_vfs: Any) -> Any:
    """Return a file system with some of everything."""
    vfs = make_vfs(chunk_size=64)
    fill(vfs)
    return vfs


def over(base: Any, kind: str, make_vfs: Any, tmp_path: Path) -> Any:
    """Return a file system over *base*: in memory, or a file."""
    where = ":memory:" if kind == "memory" else tmp_path / "local.db"
    vfs = make_vfs(where, 3)
    vfs.add_underlay(base, name="base")
    return vfs

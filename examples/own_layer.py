"""A layer of one's own: stack the layers of a container image without unpacking them.

A layer of an image (OCI, Docker) is a tar archive that also deletes: an empty member
``.wh.NAME`` hides NAME in the layers below, ``.wh..wh..opq`` all they have in its
directory. That is a whiteout and an opaque directory; one small class makes underlays
of them, and the image can be read, searched, and changed in a local layer.

    python examples/own_layer.py [DIRECTORY]
    python -m pytest examples/own_layer.py      # what every layer has to answer
"""

from __future__ import annotations

import io
import os
import posixpath
import sys
import tarfile
import tempfile
from pathlib import Path
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import TYPE_CHECKING, BinaryIO

from stratavfs import VirtualFileSystem
from stratavfs.layers import S_IFWHT, Inode, Layer
from stratavfs.testing import LayerConformance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HIDES = ".wh."
HIDES_ALL = ".wh..wh..opq"
DIRECTORY = Inode(S_IFDIR | 0o755)  # that an archive says nothing of
WHITEOUT = Inode(S_IFWHT)


class ImageLayer(Layer):
    """One layer of a container image: a tar archive, compressed or not."""

    immutable = True  # so no name is asked for twice

    def __init__(self, location: Path) -> None:
        self.location = str(location)
        self._inodes: dict[str, Inode] = {"/": DIRECTORY}
        self._names: dict[str, dict[str, int]] = {"/": {}}
        self._members: dict[str, tarfile.TarInfo] = {}
        with tarfile.open(location, errors="replace") as archive:
            # Marks come last: they hide nothing of their own layer.
            for member in sorted(archive, key=lambda member: HIDES in member.name):
                self._add(member)

    def find(self, path: str) -> Inode | None:
        """Return what is at *path*, None if there is nothing."""
        return self._inodes.get(path)

    def kinds(self, path: str) -> Iterable[tuple[str, int]]:
        """Return the names in the directory at *path*, and what each one is."""
        if path not in self._names:
            wrong = NotADirectoryError if path in self._inodes else FileNotFoundError
            raise wrong(path)
        return self._names[path].items()

    def open(self, path: str) -> BinaryIO:
        """Open a file: all of it is read, since compressed archives cannot seek."""
        if path not in self._members:
            raise FileNotFoundError(path)
        with tarfile.open(self.location) as archive:  # its own: threads share the layer
            content = archive.extractfile(self._members[path])
            return io.BytesIO(content.read() if content else b"")

    def _add(self, member: tarfile.TarInfo) -> None:
        path = path_of(member.name)
        parent, name = posixpath.split(path)
        if name == HIDES_ALL:
            self._put(parent, self._inodes.get(parent, DIRECTORY)._replace(opaque=1))
        elif name.startswith(HIDES):
            path = posixpath.join(parent, name.removeprefix(HIDES))
            inode = self._inodes.get(path, WHITEOUT)
            # A directory of that name was deleted and made anew.
            self._put(path, inode._replace(opaque=int(inode.is_directory)))
        else:
            if member.islnk():  # a hard link, to a member that came before
                member = self._members.get(path_of(member.linkname), member)
            if member.isfile() or member.isdir() or member.issym():  # no devices here
                self._put(path, inode_of(member))
            if member.isfile():
                self._members[path] = member

    def _put(self, path: str, inode: Inode) -> None:
        if path not in self._names:
            parent, name = posixpath.split(path)
            if parent not in self._names:
                self._put(parent, DIRECTORY)
            self._names[parent][name] = S_IFMT(inode.mode)
            if inode.is_directory:
                self._names[path] = {}
        elif not inode.is_directory:
            return  # nothing else takes a directory's place
        self._inodes[path] = inode


def path_of(name: str) -> str:
    """Return the path of a member: ``/etc/hosts`` of ``./etc/hosts``, ``etc/hosts``.

    No name leads out of the archive: ``..`` stops at the root.
    """
    return posixpath.normpath(f"/./{name}")


def inode_of(member: tarfile.TarInfo) -> Inode:
    """Return what the archive says of a member, in the words of a layer."""
    kind = S_IFDIR if member.isdir() else S_IFLNK if member.issym() else S_IFREG
    target = member.linkname if member.issym() else None
    ns = round(member.mtime * 1_000_000_000)
    return Inode(
        kind | member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        size=member.size if target is None else len(target.encode()),
        atime_ns=ns,
        mtime_ns=ns,
        ctime_ns=ns,
        birthtime_ns=ns,
        owner=member.uname,
        group=member.gname,
        target=target,
    )


class TestImageLayer(LayerConformance):
    """What a stack will ask of every layer, asked of this one."""

    def make_layer(self, files: Mapping[str, bytes]) -> Layer:
        """Return a layer with these *files*; each check closes its own."""
        handle, name = tempfile.mkstemp(".tar.gz")
        os.close(handle)
        return Temporary(pack(Path(name), files))


class Temporary(ImageLayer):
    """A layer that takes its archive with it."""

    def close(self) -> None:
        """Remove the archive."""
        os.unlink(self.location)


def pack(location: Path, members: Mapping[str, bytes]) -> Path:
    """Write an archive of *members* and return where it is."""
    with tarfile.open(location, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return location


def build_image(directory: Path) -> list[Path]:
    """Build an image as FROM, COPY and two RUNs of a Dockerfile would."""
    base = {
        "bin/sh": b"#!shell",
        "etc/motd": b"Welcome to the base image",
        "usr/share/doc/sh/manual": b"sh: the shell",
    }
    copied = {"app/main.py": b"print('version 1')", "app/debug.log": b"started"}
    removed = {"app/.wh.debug.log": b"", "etc/.wh.motd": b""}
    made_anew = {"usr/share/doc/.wh..wh..opq": b"", "usr/share/doc/LICENSE": b"free"}
    return [
        pack(directory / f"layer{number}.tar.gz", members)
        for number, members in enumerate([base, copied, removed, made_anew])
    ]


def main(directory: Path) -> None:
    """Look into an image, and change it without touching a layer of it."""
    archives = build_image(directory)
    before = [archive.read_bytes() for archive in archives]

    with VirtualFileSystem(directory / "changes.db") as image:
        for number, archive in enumerate(archives):  # the later, the higher
            image.add_underlay(ImageLayer(archive), number, archive.name)
        files = [path for path in image.glob("/**") if image.isfile(path)]
        print(f"the image has {files}")
        assert files == ["/app/main.py", "/bin/sh", "/usr/share/doc/LICENSE"]
        print(image.explain("/etc/motd"))

        with image.open("/app/main.py", "r+") as source:
            source.write("print('version 2')")
        image.rename("/bin/sh", "/bin/dash")
        print("then changed:", ", ".join(map(str, image.diff())))
        assert image.read_text("/app/main.py") == "print('version 2')"

    assert [archive.read_bytes() for archive in archives] == before
    print("no layer of the image has changed")

    checks = [name for name in dir(TestImageLayer) if name.startswith("test_")]
    for check in checks:
        getattr(TestImageLayer(), check)()
    print(f"and this kind of layer passes all {len(checks)} checks")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))

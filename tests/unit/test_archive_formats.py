"""Formats by their names, ends and content, and streams that are packed."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from contextlib import contextmanager
from errno import EAGAIN, EIO
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.archives import (
    NAMES,
    SAMPLE,
    Pipe,
    Sink,
    named,
    outcome,
    read,
    sample,
    written,
)

from stratavfs import BadArchive, InvalidArgument, InvalidType, archives
from stratavfs.archives import (
    ArchiveMember,
    _formats,
    formats,
    register_format,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

every_format = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the registry be as before at the end."""
    monkeypatch.setattr(_formats, "_formats", dict(_formats._formats))


class Backwards:
    """A format whose archives are one file, backwards."""

    name = "backwards"
    extensions = (".back", ".gz")

    def recognizes(self, head: bytes) -> bool:
        return head.startswith((b"BACK", b"PK\3\4back"))

    @contextmanager
    def read(self, stream: Any) -> Iterator[Any]:
        data = stream.read()[::-1]
        yield iter([(ArchiveMember("a", size=len(data)), io.BytesIO(data))])

    @contextmanager
    def write(self, stream: Any) -> Iterator[Any]:
        yield self


# --- the registry ---------------------------------------------------------------------


def test_names_of_the_package_are_those_of_the_protocol() -> None:
    assert archives.__all__ == [
        "ArchiveFormat",
        "ArchiveMember",
        "ArchiveWriter",
        "formats",
        "register_format",
    ]


@pytest.mark.slow
def test_import_loads_no_compressor() -> None:
    script = "import sys, stratavfs.archives; print(*sys.modules)"

    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    never = {"zipfile", "tarfile", "zlib", "bz2", "lzma", "tempfile", "backports.zstd"}
    assert never & {*run.stdout.split()} == set()


def test_formats_are_known_in_order() -> None:
    assert tuple(each.name for each in formats()) == NAMES
    assert repr(formats()[0]) == "<archive format zip>"
    assert repr(formats()[2]) == "<archive format tar.gz>"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.zip", "zip"),
        ("/x.tar/A.ZIP", "zip"),
        ("a.tar", "tar"),
        ("a.tar.gz", "tar.gz"),
        ("a.TGZ", "tar.gz"),
        ("a.tbz2", "tar.bz2"),
        ("a.tbz", "tar.bz2"),
        ("a.tar.bz2", "tar.bz2"),
        ("a.txz", "tar.xz"),
        ("a.tar.xz", "tar.xz"),
        ("a.tzst", "tar.zst"),
        ("a.tar.zst", "tar.zst"),
    ],
)
def test_format_of_file_goes_by_the_end_of_its_name(file: str, name: str) -> None:
    assert _formats.format_of_file(file) is named(name)


@pytest.mark.parametrize("file", ["", "zip", "a.rar", "a.gz", "a.zip/b", "a.zip "])
def test_format_of_file_of_no_format_names_those_there_are(file: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        _formats.format_of_file(file)

    assert repr(file) in str(caught.value)
    assert ", ".join(NAMES) in str(caught.value)


def test_format_named_without_one_names_those_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"'rar'.*tar\.zst"):
        _formats.format_named("rar")


@every_format
def test_recognized_by_its_beginning_is_what_wrote_it(name: str) -> None:
    head = sample(name)[:1024]

    assert _formats.recognized(head) is named(name)


@every_format
def test_recognized_of_an_empty_archive_is_what_wrote_it(name: str) -> None:
    empty = written(name, [])

    assert _formats.recognized(empty[:1024]) is named(name)
    assert read(name, empty) == []


@pytest.mark.parametrize(
    "head",
    [b"", b"PK", b"SQLite format 3\0", bytes(512), bytes(1023), b"x" * 1024, b"\x1f"],
    ids=repr,
)
def test_recognized_of_something_else_is_none(head: bytes) -> None:
    assert _formats.recognized(head) is None


def test_register_format_lets_it_be_found(registered: None) -> None:
    mine = Backwards()

    register_format(mine)

    assert formats()[-1] is mine
    assert named("backwards") is mine
    assert _formats.format_of_file("a.BACK") is mine
    assert _formats.format_of_file("a.tar.gz") is named("tar.gz")  # the longer end
    assert _formats.format_of_file("a.gz") is mine
    assert _formats.recognized(b"PK\3\4back") is mine  # before those known earlier
    assert read("backwards", b"olleh")[0][1] == b"hello"


def test_register_format_of_a_known_name_replaces_it(registered: None) -> None:
    mine = Backwards()
    mine.name = "zip"

    register_format(mine)

    assert named("zip") is mine
    assert tuple(each.name for each in formats()) == NAMES


@pytest.mark.parametrize(
    "missing", ["name", "extensions", "recognizes", "read", "write"]
)
def test_register_format_that_lacks_something_is_refused(
    missing: str, registered: None
) -> None:
    mine = Backwards()
    setattr(mine, missing, None)

    with pytest.raises(InvalidType, match="Backwards has not"):
        register_format(mine)

    assert tuple(each.name for each in formats()) == NAMES


@pytest.mark.parametrize("wrong", [Backwards, "zip", None, 3])
def test_register_format_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidType):
        register_format(wrong)


def test_register_format_with_one_extension_as_text_is_refused() -> None:
    mine: Any = Backwards()
    mine.extensions = ".back"

    with pytest.raises(InvalidType):
        register_format(mine)


def test_register_format_in_many_threads_loses_none(registered: None) -> None:
    def register(number: int) -> None:
        for each in range(50):
            mine = Backwards()
            mine.name = f"{number}.{each}"
            register_format(mine)
            assert mine in formats()

    threads = [threading.Thread(target=register, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(formats()) == len(NAMES) + 200


# --- streams --------------------------------------------------------------------------


@every_format
def test_read_of_a_pipe_gives_the_same(name: str) -> None:
    assert read(name, Pipe(sample(name))) == read(name, sample(name))


@every_format
def test_write_to_a_pipe_gives_the_same(name: str) -> None:
    sink = Sink()

    with named(name).write(sink) as archive:  # type: ignore[arg-type]
        for member, data in SAMPLE:
            archive.add(member, None if data is None else io.BytesIO(data))

    assert bytes(sink.taken) == sample(name)
    assert not sink.closed


@every_format
def test_write_twice_gives_the_same_bytes(name: str) -> None:
    assert written(name, SAMPLE) == sample(name)


@every_format
def test_read_leaves_the_stream_open(name: str) -> None:
    stream = io.BytesIO(sample(name))

    read(name, stream)

    assert not stream.closed


@every_format
def test_read_lets_content_be_left_alone(name: str) -> None:
    with named(name).read(io.BytesIO(sample(name))) as members:
        paths = [member.path for member, _ in members]

    assert paths == [member.path for member, _ in SAMPLE]


@every_format
def test_read_of_half_a_content_goes_on_with_the_next(name: str) -> None:
    with named(name).read(io.BytesIO(sample(name))) as members:
        pieces = [content.read(3) for _, content in members if content]

    assert pieces == [b"hel", b"123"]


@every_format
def test_read_of_a_content_whose_time_is_over_is_refused(name: str) -> None:
    with named(name).read(io.BytesIO(sample(name))) as members:
        contents = [content for _, content in members if content]

    with pytest.raises(ValueError, match="closed"):
        contents[0].read()


@every_format
def test_read_of_content_is_a_binary_file(name: str) -> None:
    with named(name).read(io.BytesIO(sample(name))) as members:
        found = [[*content] for member, content in members if content]

    assert found == [[b"hello\n"] * 100, [b"12345"]]


@every_format
@pytest.mark.parametrize("after", [0, 100])
def test_read_of_a_failing_stream_raises_its_error(name: str, after: int) -> None:
    class Failing(Pipe):
        def readinto(self, buffer: Any) -> int:
            size = super().readinto(buffer)
            if not size:
                raise OSError(EIO, "the disk is gone", "x")
            return size

    with pytest.raises(OSError) as caught:
        read(name, Failing(sample(name)[:after]))

    assert (caught.value.errno, caught.value.filename) == (EIO, "x")
    assert not isinstance(caught.value, BadArchive)


@every_format
def test_write_to_a_stream_that_takes_nothing_raises(name: str) -> None:
    class Full(Sink):
        def write(self, data: Any) -> Any:
            return None

    with pytest.raises(BlockingIOError) as caught, named(name).write(Full()):  # type: ignore[arg-type]
        pass

    assert caught.value.errno == EAGAIN


@every_format
def test_write_to_a_stream_that_tells_nothing_is_whole(name: str) -> None:
    class Silent:
        def __init__(self) -> None:
            self.taken = b""

        def write(self, data: Any) -> None:
            self.taken += data

    silent: Any = Silent()

    with named(name).write(silent) as archive:
        for member, data in SAMPLE:
            archive.add(member, None if data is None else io.BytesIO(data))

    assert silent.taken == sample(name)


@every_format
def test_write_that_ends_in_an_error_is_no_archive(name: str) -> None:
    file = io.BytesIO()

    def write() -> None:
        with named(name).write(file) as archive:
            archive.add(ArchiveMember("a"), io.BytesIO())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()

    assert outcome(name, file.getvalue()) is None


@every_format
def test_add_behind_a_file_that_shrank_is_refused(name: str) -> None:
    file = io.BytesIO()

    def write() -> None:
        with named(name).write(file) as archive:
            with pytest.raises(OSError, match="changed while it was read") as caught:
                archive.add(ArchiveMember("a", size=3), io.BytesIO(b"12"))
            assert caught.value.filename == "a"
            archive.add(ArchiveMember("b"))

    with pytest.raises(InvalidArgument, match="cut short in member 'a'"):
        write()

    assert outcome(name, file.getvalue()) is None


@every_format
def test_write_goes_not_on_when_a_member_was_cut_short(name: str) -> None:
    file = io.BytesIO()

    with (
        pytest.raises(InvalidArgument, match="cut short in member 'a'"),
        named(name).write(file) as archive,
        pytest.raises(OSError, match="changed"),
    ):
        archive.add(ArchiveMember("a", size=3), io.BytesIO())

    assert outcome(name, file.getvalue()) is None


@every_format
@pytest.mark.parametrize(
    "member",
    [ArchiveMember("a", size=-1), ArchiveMember("a", size=3)],
    ids=["no size", "no content"],
)
def test_add_of_a_file_without_its_bytes_is_refused(
    name: str, member: ArchiveMember
) -> None:
    file = io.BytesIO()

    with (
        named(name).write(file) as archive,
        pytest.raises(InvalidArgument, match="'a'"),
    ):
        archive.add(member)

    assert read(name, file.getvalue()) == []


@every_format
def test_add_of_a_device_is_refused(name: str) -> None:
    file = io.BytesIO()

    with named(name).write(file) as archive, pytest.raises(OSError) as caught:
        archive.add(ArchiveMember("a", 0o020666))

    assert caught.value.filename == "a"
    assert read(name, file.getvalue()) == []


@every_format
def test_add_of_a_file_that_grew_takes_what_was_told(name: str) -> None:
    archive = written(name, [(ArchiveMember("a", size=3), b"12345")])

    assert read(name, archive)[0][1] == b"123"

"""Searching contents: which lines an expression matches, in which files."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from stratavfs import InvalidArgument, InvalidType, VirtualFileSystem, _grep
from stratavfs.errors import LayerFailed
from stratavfs.records import GrepMatch, Inode

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tree(mem: VirtualFileSystem) -> VirtualFileSystem:
    mem.write_text("/a.txt", "one\ntwo\r\n\nthree")
    mem.write_text("/lib/b.py", "import one\n  import two\n")
    mem.write_text("/lib/deep/c.txt", "ONE Straße\n")
    mem.write_bytes("/data.bin", b"one\nwith \0 in it\n")
    mem.touch("/empty")
    mem.symlink("a.txt", "/to-file")
    mem.symlink("lib", "/to-lib")
    mem.symlink("nowhere", "/broken")
    return mem


def lines(found: Iterator[GrepMatch]) -> list[tuple[object, ...]]:
    return [*map(tuple, found)]


# --- lines ----------------------------------------------------------------------------


def test_grep_gives_path_number_and_line_without_its_end(
    tree: VirtualFileSystem,
) -> None:
    found = list(tree.grep("two"))

    assert found == [
        GrepMatch("/a.txt", 2, "two"),
        GrepMatch("/lib/b.py", 2, "  import two"),
    ]
    assert (found[0].path, found[0].line_number, found[0].line) == ("/a.txt", 2, "two")


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        *(("^", [1, 2, 3, 4]), ("", [1, 2, 3, 4]), ("^$", [3]), ("o$", [2])),
        *(("three$", [4]), (r"two\r", []), ("two\n", []), (r"two\s", [])),
        *((r"(?s)two.", []), (r"\Ath", [4]), (r"e\Z", [1, 4]), (r"[^\w]", [])),
        *((r"^\w+$", [1, 2, 4]), (r"t(?!h)", [2])),
        ("o|h", [1, 2, 4]),
        ("(?x) t w o # with a remark", [2]),
    ],
)
def test_grep_searches_each_line_as_if_it_were_alone(
    tree: VirtualFileSystem, pattern: str, numbers: list[int]
) -> None:
    assert [found.line_number for found in tree.grep(pattern, "/a.txt")] == numbers


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        *((b"", []), (b"\n", [""]), (b"x", ["x"]), (b"x\r", ["x\r"])),
        *((b"x\r\n", ["x"]), (b"x\r\r\n\r\n", ["x\r", ""]), (b"x\ry\n", ["x\ry"])),
        (b"x\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8y\n", ["x\v\f\x1c\x85\u2028y"]),
        (b"\xff\xe4x\n", ["\ufffd\ufffdx"]),
    ],
)
def test_grep_knows_one_end_of_lines_and_replaces_what_is_no_text(
    mem: VirtualFileSystem, content: bytes, expected: list[str]
) -> None:
    mem.write_bytes("/f", content)

    assert [found.line for found in mem.grep("")] == expected
    assert [found.line for found in mem.grep("x")] == [x for x in expected if "x" in x]


def test_grep_ignoring_case_takes_letters_of_any_script(
    tree: VirtualFileSystem,
) -> None:
    assert [f.path for f in tree.grep("ONE", ignore_case=True)] == [
        *("/a.txt", "/lib/b.py", "/lib/deep/c.txt")
    ]
    assert sum(1 for _ in tree.grep("STRAßE", ignore_case=True)) == 1
    assert list(tree.grep("straße")) == []


def test_grep_of_compiled_expression_keeps_its_flags(tree: VirtualFileSystem) -> None:
    insensitive = re.compile("^one", re.IGNORECASE)

    assert [f.path for f in tree.grep(insensitive)] == ["/a.txt", "/lib/deep/c.txt"]
    assert [f.path for f in tree.grep(re.compile("^one"))] == ["/a.txt"]
    assert sum(1 for _ in tree.grep(re.compile("^oNe"), ignore_case=True)) == 2


# --- files ----------------------------------------------------------------------------


def test_grep_follows_no_link_but_the_one_it_is_given(tree: VirtualFileSystem) -> None:
    assert {f.path for f in tree.grep("")} == {"/a.txt", "/lib/b.py", "/lib/deep/c.txt"}
    assert lines(tree.grep("^one", "/to-file")) == [("/to-file", 1, "one")]
    assert lines(tree.grep("one", "/to-lib")) == [("/to-lib/b.py", 1, "import one")]


@pytest.mark.parametrize(
    ("glob", "path", "found"),
    [
        ("*.txt", "/", ["/a.txt", "/lib/deep/c.txt"]),
        ("/*.txt", "/", ["/a.txt"]),
        ("lib/**", "/", ["/lib/b.py", "/lib/deep/c.txt"]),
        ("deep/", "/", ["/lib/deep/c.txt"]),
        ("deep/*", "/lib", ["/lib/deep/c.txt"]),
        ("*.py", "/a.txt", ["/a.txt"]),
        ("nothing", "/", []),
    ],
)
def test_grep_of_glob_selects_files_below(
    tree: VirtualFileSystem, glob: str, path: str, found: list[str]
) -> None:
    assert list(dict.fromkeys(f.path for f in tree.grep("", path, glob=glob))) == found


def test_grep_leaves_binary_files_out_unless_told(tree: VirtualFileSystem) -> None:
    tree.write_bytes("/late.bin", b"one\n" + b"x" * 8188 + b"\0")

    assert [f.path for f in tree.grep("^one")] == ["/a.txt", "/late.bin"]
    assert [f.line for f in tree.grep(b"^o", "/data.bin", binary=True)] == [b"one"]
    assert lines(tree.grep("with \\0", binary=True)) == [
        ("/data.bin", 2, b"with \0 in it")
    ]
    assert lines(tree.grep(re.compile(b"w."), "/a.txt", binary=True)) == [
        ("/a.txt", 2, b"two")
    ]


@pytest.mark.parametrize("where", ["container", "directory", "zip"])
def test_grep_sees_the_merged_view(make_vfs: Any, tmp_path: Path, where: str) -> None:
    below = {"a": b"x 1\n", "b": b"x 2\n", "d/c": b"y\nx 3\n" * 30_000, "d/e": b"x 4\n"}
    base = base_of(where, tmp_path, below, make_vfs)
    vfs: VirtualFileSystem = make_vfs(chunk_size=64)
    vfs.write_bytes("/a", b"x local\n")
    vfs.add_underlay(base, name="base")
    vfs.add_underlay(base, name="again", at="/mounted/here")
    vfs.remove("/b")
    with vfs.open("/d/e", "ab") as file:
        file.write(b"x added\n")

    assert lines(vfs.grep("x ", glob="/[ab]")) == [("/a", 1, "x local")]
    assert lines(vfs.grep("x ", "/d/e")) == [
        *(("/d/e", 1, "x 4"), ("/d/e", 2, "x added"))
    ]
    assert sum(1 for _ in vfs.grep("^x 3$", "/d")) == 30_000
    assert lines(vfs.grep("x [124]", "/mounted")) == [
        ("/mounted/here/a", 1, "x 1"),
        ("/mounted/here/b", 1, "x 2"),
        ("/mounted/here/d/e", 1, "x 4"),
    ]


def base_of(where: str, at: Path, files: dict[str, bytes], make_vfs: Any) -> Any:
    """Return something to lie below, with *files* in it."""
    if where == "container":
        vfs = make_vfs(chunk_size=64)
        for name, content in files.items():
            vfs.write_bytes(name, content)
        return vfs
    if where == "zip":
        with zipfile.ZipFile(at / "base.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return at / "base.zip"
    for name, content in files.items():
        (at / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (at / "base" / name).write_bytes(content)
    return at / "base"


# --- what goes on meanwhile -----------------------------------------------------------

LONG = b"found\n" * 100_000  # more than is read at a time


def test_grep_passes_over_what_vanishes_meanwhile(tree: VirtualFileSystem) -> None:
    tree.write_text("/lib/z.txt", "one\n")
    found = tree.grep("one")
    assert next(found).path == "/a.txt"

    tree.remove("/lib/b.py")
    tree.rmtree("/lib/deep")

    assert [f.path for f in found] == ["/lib/z.txt"]


def test_grep_reads_on_in_a_file_that_is_removed(mem: VirtualFileSystem) -> None:
    mem.write_bytes("/long", LONG)
    found = mem.grep("found", "/long")
    next(found)

    mem.remove("/long")
    orphans = mem.stats().orphans

    assert orphans == 1
    assert sum(1 for _ in found) == 99_999
    assert mem.stats().orphans == 0


@pytest.mark.parametrize("end", ["close", "forget"])
def test_grep_abandoned_keeps_no_file(mem: VirtualFileSystem, end: str) -> None:
    mem.write_bytes("/long", LONG)
    found: Any = mem.grep("found")
    next(found)
    mem.remove("/long")

    found.close() if end == "close" else None
    del found

    assert mem.stats().orphans == 0
    assert mem.listdir("/") == []


def test_grep_in_a_file_that_a_rollback_takes_away_ends(mem: VirtualFileSystem) -> None:
    mem.write_text("/before", "found\n")
    with pytest.raises(KeyError), mem.atomic_batch():  # noqa: PT012 - its own error
        mem.write_bytes("/long", LONG)
        found = mem.grep("found", glob="long")
        next(found)
        raise KeyError

    rest = sum(1 for _ in found)

    assert 0 < rest < 99_999
    assert [f.path for f in mem.grep("found")] == ["/before"]


def test_grep_lets_others_work_while_it_finds_nothing(
    mem: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    mem.write_bytes("/long", LONG)
    reading, done, read = threading.Event(), threading.Event(), _grep._read

    def slow(*args: Any) -> bytes:
        reading.set()
        assert done.wait(10)
        return read(*args)

    monkeypatch.setattr(_grep, "_read", slow)
    searcher = threading.Thread(target=lambda: [*mem.grep("nowhere")])
    writer = threading.Thread(target=mem.write_bytes, args=("/new", b"x"))
    searcher.start()
    assert reading.wait(10)
    writer.start()
    writer.join(2)
    waited = writer.is_alive()
    done.set()
    searcher.join(10)
    writer.join(10)

    assert not waited
    assert mem.read_bytes("/new") == b"x"


def test_grep_of_what_cannot_be_read_raises_and_says_where(
    mem: VirtualFileSystem,
) -> None:
    class Broken:
        def find(self, path: str) -> Inode | None:
            kinds = {"/": 0o40755, "/f": 0o100644}
            return Inode(kinds[path], size=5) if path in kinds else None

        def kinds(self, path: str) -> list[tuple[str, int]]:
            return [("f", 0o100000)]

        def open(self, path: str) -> Any:
            raise OSError(errno.EIO, "bad sector", path)

    mem.add_underlay(Broken(), name="broken")

    with pytest.raises(LayerFailed, match="bad sector") as caught:
        list(mem.grep("x"))

    assert (caught.value.errno, caught.value.filename) == (errno.EIO, "/f")


# --- refusals -------------------------------------------------------------------------


def test_grep_of_missing_path_raises_at_the_first_step(mem: VirtualFileSystem) -> None:
    mem.symlink("nowhere", "/broken")

    for path in ("/missing", "/broken"):
        found = mem.grep("x", path)
        with pytest.raises(FileNotFoundError) as caught:
            next(found)
        assert caught.value.filename == path


@pytest.mark.parametrize(
    ("pattern", "options", "error", "message"),
    [
        ("a(", {}, InvalidArgument, "escape"),
        ("(" * 9000 + ")" * 9000, {}, InvalidArgument, "no regular expression"),
        (5, {}, InvalidType, "int"),
        (b"a", {}, InvalidType, "binary=True"),
        (re.compile(b"a"), {}, InvalidType, "binary=True"),
        ("ä", {"binary": True}, InvalidType, "encode"),
        (re.compile("a"), {"binary": True}, InvalidType, "encode"),
        ("a", {"glob": ""}, InvalidArgument, "empty"),
        ("a", {"glob": 5}, InvalidType, "int|5"),
    ],
)
def test_grep_of_impossible_wishes_is_refused_at_once(
    mem: VirtualFileSystem,
    pattern: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        mem.grep(pattern, **options)


# --- the ways to search ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        *(("abc", "abc"), (r"a\.b\ c", "a.b c"), ("ab*c", "a"), ("ab+cd", "ab")),
        *(("abc?de", "ab"), ("ab{0,3}cd", "cd"), ("a{b}c", "c"), ("(abc)?d", "d")),
        *(("(abc)", ""), ("ab|cd", ""), ("a(b|c)de", "de"), ("[ab|(]cd", "cd")),
        *((r"[]\]|]cd", "cd"), (r"\x41bcd", ""), (r"\012bcd", ""), ("(?#(|)abc", "")),
        *(("(?i)abc", ""), ("(?x)a b c", ""), ("(?i:a)bcd", "bcd"), ("(?!abc)d", "d")),
        *(("ab\ufffdcde", "cde"), (r"\bself\.\w", "self.")),
    ],
)
def test_needle_is_in_all_that_is_matched(pattern: str, needle: str) -> None:
    assert _grep.needle_of(re.compile(pattern)) == needle


def expected(pattern: str, content: str) -> list[tuple[int, str]]:
    """Return what the law says: every line alone."""
    ended = content.replace("\r\n", "\n")
    parts = ended.removesuffix("\n").split("\n") if ended else []
    return [
        (nth, line) for nth, line in enumerate(parts, 1) if re.search(pattern, line)
    ]


PART = st.sampled_from(
    [
        *("a", "b", "ab", "é", " ", "\n", "\r", r"\.", "\\\n", r"\s", r"\W", r"\n"),
        *("[^a]", "[]b]", "(", ")", "(?:", "(?!", "(?=", "(?s:.)", "(?i:", "|", "."),
        *("*", "+", "?", "*?", "{2}", "{", "^", "$", r"\b", r"\A", r"\Z", r"\x61"),
    ]
)
PATTERN = st.lists(PART, max_size=6).map("".join)
TEXT = st.text(st.sampled_from("ab. éA\n\r"), max_size=30)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(PATTERN, TEXT, st.integers(1, 40))
def test_grep_of_any_pattern_is_what_the_lines_alone_say(
    pattern: str, content: str, piece: int
) -> None:
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        reject()
    with pytest.MonkeyPatch.context() as patch, VirtualFileSystem() as vfs:
        for name in ("_PIECE", "_SMALL", "_TOLD_BY"):
            patch.setattr(_grep, name, piece)
        vfs.write_bytes("/f", content.encode())
        found = [(f.line_number, f.line) for f in vfs.grep(pattern)]

        assert found == expected(pattern, content)


@pytest.mark.parametrize("piece", [1, 3, 7, 64])
def test_grep_parts_a_line_without_end_and_no_character(
    mem: VirtualFileSystem, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    for name, size in (("_PIECE", piece), ("_SMALL", 0), ("_TOLD_BY", 2)):
        monkeypatch.setattr(_grep, name, size)
    monkeypatch.setattr(_grep, "LONGEST_LINE", 8)
    text = "first\n" + "é☃𝄞x" * 20 + "\r\nlast"
    mem.write_text("/f", text, newline="")

    found = list(mem.grep(""))
    parts = [f.line for f in found if f.line_number == 2]

    assert "".join(map(str, parts)) == "é☃𝄞x" * 20
    assert all(4 < len(str(part).encode()) < 8 + piece for part in parts[:-1])
    assert found[0] == ("/f", 1, "first")
    assert found[-1] == ("/f", 3, "last")


LINE = b"of a long file, or of a line " * 10


@pytest.mark.slow
@pytest.mark.no_slow_contracts("single")
@pytest.mark.parametrize(
    ("piece", "pattern", "limit"),
    [
        (LINE + b"\n", "nowhere", 5),
        (LINE + b"\n", r"no\dwhere|never", 10),
        (LINE, "nowhere", 24),
        (LINE, r"no\dwhere|never", 40),
    ],
)
def test_grep_of_a_large_file_takes_little_memory(
    mem: VirtualFileSystem, piece: bytes, pattern: str, limit: int
) -> None:
    with mem.open("/large", "wb") as file:
        for _ in range(40):
            file.write(piece * 4000)
    tracemalloc.start()

    try:
        assert list(mem.grep(pattern)) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < limit << 20 < mem.getsize("/large")


# --- against others -------------------------------------------------------------------

LIBRARY = Path(os.__file__).parent
PACKAGES = ("asyncio", "email", "encodings", "json", "logging", "unittest")


@pytest.fixture(scope="module")
def library() -> Iterator[VirtualFileSystem]:
    """The sources of some packages of the standard library."""
    with VirtualFileSystem() as vfs, vfs.atomic_batch():
        for package in PACKAGES:
            for file in sorted((LIBRARY / package).rglob("*.py")):
                vfs.write_bytes(file.relative_to(LIBRARY), file.read_bytes())
        yield vfs


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("grep"),
    reason="compares with the command",
)
@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        ("import", []),
        ("^import re$", []),
        (r"def \w+\(self", []),
        ("^$", []),
        ("[^ ]$", []),
        (r"[A-Z]{5,}\(", []),
        ("self|other", []),
        ("(iso|cp)_?[0-9]+", []),
        ("[^ -~]", []),
        ("valueerror", ["-i"]),
        (r"^\s*#.*\bxxx\b", ["-i"]),
    ],
)
def test_grep_agrees_with_gnu_grep_on_the_standard_library(
    library: VirtualFileSystem, pattern: str, options: list[str]
) -> None:
    run = subprocess.run(
        ["grep", "-rnaE", "--include=*.py", *options, "-e", pattern, *PACKAGES],
        cwd=LIBRARY,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=True,
    )
    theirs = [f"/{line}" for line in run.stdout.decode().split("\n")[:-1]]

    found = library.grep(pattern, ignore_case=bool(options))
    ours = [f"{path}:{number}:{line!s}" for path, number, line in found]

    assert sorted(ours) == sorted(theirs) != []

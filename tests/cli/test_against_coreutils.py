"""The same commands on the disk and in a container: the same words, the same effects.

A case is a line of the shell in which ``@`` stands before each path: on the disk it is
nothing, in the container ``game.db:/``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from tests import ground
from tests.cli.running import Ran, environment, numbered, ok, run, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(
    shutil.which("cp") is None
    or "GNU"
    not in subprocess.run(
        ["cp", "--version"], capture_output=True, text=True, check=False
    ).stdout,
    reason="compares with GNU coreutils",
)

SYSTEM_WORDS = {os.strerror(number) for number in range(1, 134)}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``disk``, a tree, and ``game.db``, which holds the same."""
    top = tmp_path_factory.mktemp("coreutils")
    disk = top / "disk"
    for directory in ("dir/sub", "empty", "other/sub", "we ird"):
        (disk / directory).mkdir(parents=True)
    (disk / "a.txt").write_text("alpha\nBeta\nlast without end")
    (disk / "b.md").write_text("# beta\n\nbeta again: BETA\n")
    (disk / "dir/c.txt").write_text(numbered(30))
    (disk / "dir/run.sh").write_text("#!/bin/sh\n")
    (disk / "dir/sub/deep.bin").write_bytes(bytes(range(256)) * 9)
    (disk / "other/sub/x").write_text("x\n")
    (disk / "we ird/ünï côde").write_text("alpha\n")
    (disk / "we ird/*[x]?").write_text("")
    (disk / "we ird/-n").write_text("-n\n")
    (disk / ".hidden").write_text("beta\n")
    (disk / "link").symlink_to("a.txt")
    (disk / "dirlink").symlink_to("dir")
    (disk / "dangling").symlink_to("nowhere")
    (disk / "dir/run.sh").chmod(0o755)
    (disk / "b.md").chmod(0o600)
    (disk / "other").chmod(0o700)
    for number, path in enumerate(sorted(disk.rglob("*"))):
        moment = 1_500_000_000 + number
        os.utime(path, (moment, moment), follow_symlinks=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(top)
        ok("import", "--create", "disk", "game.db:/")
    return top


@pytest.fixture
def here(sample: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample, to look at: the current directory."""
    monkeypatch.chdir(sample)
    return sample


@pytest.fixture
def mine(sample: Path, work: Path) -> Iterator[Path]:
    """A copy of the sample, to change: the current directory."""
    subprocess.run(["cp", "-a", sample / "disk", sample / "game.db", "."], check=True)
    before = os.umask(0o022)
    yield work
    os.umask(before)


def on_disk(line: str, stdin: bytes = b"") -> Ran:
    """Run *line* with the system's commands, in ``disk``."""
    words = [word.removeprefix("@") for word in shlex.split(line)]
    done = subprocess.run(
        words,
        input=stdin,
        capture_output=True,
        cwd="disk",
        check=False,
        env=environment(LC_ALL="C"),
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def in_container(line: str) -> Ran:
    """Run *line* with the command under test, in ``game.db``."""
    words = [
        f"game.db:/{word[1:]}" if word.startswith("@") else word
        for word in shlex.split(line)
    ]
    return run(*words)


# --- what reads -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "ls -A @",
        "ls -1 -A @",
        "ls -A @dir",
        "ls -A @empty",
        "ls -A '@we ird'",
        "cat @a.txt @b.md",
        "cat @dir/sub/deep.bin",
        "cat @link",
        "head @dir/c.txt",
        "head -n 3 @dir/c.txt",
        "head -n 0 @dir/c.txt",
        "head -n 3 @a.txt",
        "head -c 100 @dir/sub/deep.bin",
        "head -c 10000 @dir/sub/deep.bin",
        "head -n -28 @dir/c.txt",
        "grep -n eta @a.txt",
        "grep -c eta @a.txt",
        "grep -i beta @a.txt",
        "grep -i -n beta @b.md",
        "grep -i -c beta @b.md",
        "grep without @a.txt",
        "grep none @a.txt",
    ],
)
def test_reading_command_prints_the_same(here: Path, line: str) -> None:
    expected = on_disk(re.sub(r"@(?= |$)", "@.", line))
    found = in_container(line)

    assert (found.code, found.out, found.err) == expected


def plain(text: str) -> list[str]:
    """Return the lines of a listing with paths that begin at the top of the tree."""
    return [
        "/:" if line == ".:" else re.sub(r"^\./", "/", line)
        for line in text.replace("game.db:/", "/").splitlines()
    ]


@pytest.mark.parametrize(
    "line", ["ls -R -A @", "ls -A @dir @other", "ls -A @a.txt @dir @b.md"]
)
def test_listing_of_several_directories_has_the_same_headings(
    here: Path, line: str
) -> None:
    expected = on_disk(line.replace("@", "@./")).text
    found = ok(*(w.replace("@", "game.db:/") for w in shlex.split(line))).text

    assert [w.replace("//", "/") for w in plain(found)] == [
        w.replace("//", "/") for w in plain(expected.replace(".//", "./"))
    ]


def test_long_listing_has_the_same_columns(here: Path) -> None:
    expected = entries(on_disk("ls -l -A --time-style=+%H:%M @.").text)
    found = entries(ok("ls", "-l", "-A", "game.db:/").text)

    assert [line.split()[0] for line in found] == [w.split()[0] for w in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.endswith(" " + theirs.split(None, 6)[6])
        if theirs[0] not in "dl":  # the sizes of the others are the disk's own
            assert theirs.split()[4] in ours.split()


def entries(listing: str) -> list[str]:
    """Return the lines of a long listing that stand for an entry."""
    return [line for line in listing.splitlines() if not line.startswith("total")]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("", ""),
        ("--name '*.txt'", "-name '*.txt'"),
        ("--type f", "-type f"),
        ("--type d", "-type d"),
        ("--type l", "-type l"),
        ("--type f --min-size 20", "-type f -size +19c"),
        ("--type f --max-size 20", "-type f -size -21c"),
        ("--type f --min-size 10 --max-size 200", "-type f -size +9c -size -201c"),
        ("--name '[a-b]*'", "-name '[a-b]*'"),
    ],
)
def test_find_finds_the_same(here: Path, ours: str, theirs: str) -> None:
    expected = on_disk(f"find . -mindepth 1 {theirs}").lines

    found = ok("find", "game.db:/", *shlex.split(ours)).lines

    assert sorted(w.removeprefix("game.db:") for w in found) == sorted(
        line[1:] for line in expected
    )


@pytest.mark.parametrize("flags", ["", "-n", "-i", "-l", "-i -n", "-i -c"])
@pytest.mark.parametrize("pattern", ["beta", "^alpha$", "[0-9]5", "none"])
def test_grep_finds_the_same_below_a_directory(
    here: Path, flags: str, pattern: str
) -> None:
    expected = on_disk(f"grep -r -I {flags} '{pattern}' .")

    found = run("grep", *flags.split(), pattern, "game.db:/")

    assert sorted(w.removeprefix("game.db:") for w in found.lines) == sorted(
        # Files without a match are not counted: there may be a million of them.
        line[1:]
        for line in expected.lines
        if not ("-c" in flags and line[-2:] == ":0")
    )
    assert found.code == expected.code


def test_du_sums_the_same_bytes(here: Path) -> None:
    words = on_disk("du -s -b .").text.split()
    directories = [
        path.lstat().st_size
        for path in [Path("disk"), *Path("disk").rglob("*")]
        if path.is_dir() and not path.is_symlink()
    ]

    found = ok("du", "-s", "-b", "game.db:/").text.split()

    assert int(found[0]) == int(words[0]) - sum(directories)


@pytest.mark.skipif(shutil.which("tree") is None, reason="tree is not installed")
def test_tree_draws_the_same(here: Path) -> None:
    expected = on_disk("tree -a .").lines

    found = ok("tree", "game.db:/").lines

    assert found[1:] == expected[1:]


# --- what changes ---------------------------------------------------------------------

CP = [
    "cp @a.txt @new",
    "cp @a.txt @b.md",
    "cp @a.txt @dir",
    "cp @a.txt @dir/",
    "cp @a.txt @link",
    "cp @link @new",
    "cp @a.txt @b.md @dir",
    "cp @a.txt @b.md @link",
    "cp @a.txt @a.txt",
    "cp @a.txt @link",
    "cp @dir @new",
    "cp @none @new",
    "cp @a.txt @none/",
    "cp -r @dir @new",
    "cp -r @dir @empty",
    "cp -r @dir/. @empty",
    "cp -r @dir @a.txt",
    "cp -r @dir @dir/sub",
    "cp -r @link @dirlink @dangling @empty",
    "cp -r @a.txt @new",
    "cp -r @dir @other",
    "cp -n @a.txt @dir/c.txt",
    "cp -f @a.txt @dir/c.txt",
    "cp '@we ird/*[x]?' @new",
    "cp -p @dir/run.sh @new",
]
MV = [
    "mv @a.txt @new",
    "mv @a.txt @b.md",
    "mv @a.txt @dir",
    "mv @a.txt @dir/",
    "mv @a.txt @none/",
    "mv @a.txt @a.txt",
    "mv @a.txt @b.md @dir",
    "mv @a.txt @b.md @none",
    "mv @dir @new",
    "mv @dir @empty",
    "mv @dir @a.txt",
    "mv @dir @dir/sub",
    "mv @other/sub @dir",
    "mv @empty @dir",
    "mv @link @new",
    "mv @link @dir",
    "mv @a.txt @link",
    "mv @none @new",
    "mv -n @a.txt @b.md",
    "mv -f @a.txt @b.md",
    "mv @a.txt @dirlink",
    "mv '@we ird/-n' @new",
]
RM = [
    "rm @a.txt",
    "rm @a.txt @none @b.md",
    "rm @dir",
    "rm @empty",
    "rm -r @dir",
    "rm -r @dir @none",
    "rm -rf @dir @none",
    "rm -r @dirlink",
    "rm @link @dangling",
    "rm -f @none",
    "rm @a.txt/x",
]
MAKE = [
    "mkdir @new",
    "mkdir @new @other/new",
    "mkdir @dir",
    "mkdir @a.txt",
    "mkdir @none/new",
    "mkdir @a.txt/new",
    "mkdir -p @x/y/z",
    "mkdir -p @dir @dir/sub",
    "mkdir -p @a.txt",
    "mkdir -m 700 @new",
    "mkdir -p -m 700 @x/y",
    "mkdir -m u=rwx,go= @new",
    "touch @new",
    "touch @a.txt",
    "touch -c @new @b.md",
    "touch @dangling",
    "touch @dir",
    "touch @a.txt/new",
    "ln @a.txt @new",
    "ln @a.txt @dir",
    "ln @dir @new",
    "ln @none @new",
    "ln @a.txt @b.md",
    "ln -f @a.txt @b.md",
    "ln -s a.txt @new",
    "ln -s ../a.txt @dir",
    "ln -s none @new",
    "ln -s x @a.txt",
    "ln -s -f x @a.txt",
    "ln -sf x @dir",
]
CHMOD = [
    "chmod 600 @a.txt @dir",
    "chmod 0 @a.txt",
    "chmod u+x,go= @a.txt @dir",
    "chmod 600 @link",
    "chmod 600 @none",
    "chmod a+X @a.txt @dir @dir/run.sh",
]


class Seen(NamedTuple):
    """What is at a path."""

    kind: str
    mode: int
    links: int
    content: bytes | str


def seen(top: str) -> dict[str, Seen]:
    found = {}
    for path in [Path(top), *Path(top).rglob("*")]:
        status = path.lstat()
        name = path.relative_to(top).as_posix()
        if path.is_symlink():
            found[name] = Seen("link", 0, 1, os.readlink(path))
        elif path.is_dir():
            found[name] = Seen("directory", stat.S_IMODE(status.st_mode), 1, "")
        else:
            mode, links = stat.S_IMODE(status.st_mode), status.st_nlink
            found[name] = Seen("file", mode, links, path.read_bytes())
    return found


@pytest.mark.slow
@pytest.mark.parametrize("line", [*CP, *MV, *RM, *MAKE, *CHMOD])
def test_changing_command_has_the_same_effect(mine: Path, line: str) -> None:
    before = ground.dump_of("game.db")

    expected, found = on_disk(line), in_container(line)

    assert bool(found.code) == bool(expected.code), (expected, found)
    if expected.code:  # all or nothing; theirs do what they can
        assert ground.dump_of("game.db") == before
    else:
        ok("export", "game.db:/", "out")
        assert seen("out") == seen("disk")
        assert (found.out, found.err) == (expected.out, "")


@pytest.mark.parametrize(
    "line",
    [
        "cat @none",
        "cat @dir",
        "cat @a.txt/x",
        "head @none",
        "ls @none",
        "ls @a.txt/x",
        "du -s @none",
        "rm @none",
        "rm @dir",
        "rm @a.txt/x",
        "mkdir @dir",
        "mkdir @none/new",
        "mkdir @a.txt/new",
        "mkdir -p @a.txt/x",
        "touch @a.txt/new",
        "cp @none @new",
        "cp @dangling @new",
        "mv @none @new",
        "mv @other/sub @dir",
        "ln @none @new",
        "ln -s x @a.txt",
        "chmod 600 @none",
        "chmod 600 @dangling",
        "find @none",
        "stat @none",
        "grep x @none",
    ],
)
def test_failing_command_says_the_same_reason(
    sample: Path, here: Path, line: str
) -> None:
    before = Path("game.db").read_bytes()

    expected, found = on_disk(line), in_container(line)

    assert expected.code
    reason = expected.err.rstrip().rpartition(": ")[2]
    assert reason in SYSTEM_WORDS or "dangling symlink" in reason
    assert found.err.startswith("stratavfs: ")
    assert "game.db:/" in found.err
    if reason in SYSTEM_WORDS:
        assert reason in found.err
    assert len(found.err.splitlines()) == 1
    assert Path("game.db").read_bytes() == before


# --- pipes ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("count", ["-l", "-c", "-w"])
def test_wc_counts_the_same_through_a_pipe(here: Path, count: str) -> None:
    made = spawn("cat", "game.db:/dir/c.txt").out

    found = on_disk(f"wc {count}", stdin=made).text

    assert found == on_disk(f"wc {count} dir/c.txt").text.split()[0] + "\n"

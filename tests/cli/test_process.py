"""The command in a process of its own: pipes, signals, terminals, exit codes."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tarfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from tests import ground
from tests.cli.running import (
    COMMAND,
    FILES,
    LONG,
    environment,
    in_terminal,
    shell,
    spawn,
)

from stratavfs import VirtualFileSystem, __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="bash, signals and terminals"),
]

EVERY_BYTE = bytes(range(256)) * 300
HOSTILE = "/\x1b]0;owned\a\x1b[31mred\nsecond line\x7f"


# --- entry points, exit codes ---------------------------------------------------------


def test_module_and_script_are_the_same_command(game: Path) -> None:
    script = Path(sys.executable).with_name("stratavfs")

    by_module = spawn("ls", "game.db:/")
    by_script = spawn("ls", "game.db:/", command=[str(script)])

    assert by_module == by_script
    assert by_module.lines == sorted(p[1:] for p in FILES if p.count("/") == 1)


def test_version_names_the_library(work: Path) -> None:
    assert __version__ in spawn("--version").text


@pytest.mark.parametrize(
    ("args", "code", "err"),
    [
        (["ls", "game.db:/"], 0, ""),
        (
            ["cat", "game.db:/none"],
            1,
            "stratavfs: game.db:/none: No such file or directory\n",
        ),
        (["grep", "never", "game.db:/"], 1, ""),
        (["ls", "--no-such-flag"], 2, None),
    ],
)
def test_exit_code_tells_what_became_of_it(
    game: Path, args: list[str], code: int, err: str | None
) -> None:
    ran = spawn(*args)

    assert ran.code == code
    assert err is None or ran.err == err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_command_without_its_extra_names_what_to_install(missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "sys.argv = ['stratavfs', 'ls', 'game.db']; "
        "import stratavfs.cli; sys.exit(stratavfs.cli.main())"
    )

    ran = spawn("-c", script, command=[sys.executable])

    if missing == "click":
        assert ran.code == 2
        assert "stratavfs[cli]" in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.splitlines()) == 1


def test_named_container_is_the_default(game: Path) -> None:
    ran = spawn("cat", ":/readme.txt", env=environment(STRATAVFS_DB=str(game)))

    assert ran == (0, b"hello\n", "")


# --- pipes ----------------------------------------------------------------------------


def test_cat_into_a_pipe_keeps_every_byte(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.write_bytes("/x", EVERY_BYTE)

    ran = shell("stratavfs cat game.db:/x | cksum; cksum < /dev/stdin", None)
    direct = spawn("cat", "game.db:/x")

    assert ran.lines[0] == subprocess.run(
        ["cksum"], input=EVERY_BYTE, capture_output=True, check=True
    ).stdout.decode().rstrip("\n")
    assert direct == (0, EVERY_BYTE, "")


def test_write_from_a_pipe_keeps_every_byte(game: Path) -> None:
    Path("x").write_bytes(EVERY_BYTE)

    ran = shell("cat x | stratavfs write game.db:/x - && stratavfs cat game.db:/x")

    assert ran == (0, EVERY_BYTE, "")


def test_cat_and_write_in_one_pipe_copy_between_containers(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.write_bytes("/x", EVERY_BYTE)

    ran = shell(
        "stratavfs init b.db && stratavfs cat game.db:/x | stratavfs write b.db:/y -"
    )

    assert (ran.code, ran.err) == (0, "")
    assert ground.tree_of("b.db") == {"/y": EVERY_BYTE}


def test_archive_in_a_pipe_is_read_by_tar(game: Path) -> None:
    ran = shell("stratavfs archive -c -f - --format tar game.db:/ | tar -t")

    assert ran.code == 0
    assert sorted(line.strip("/") for line in ran.lines) == sorted(
        path[1:] for path in FILES
    )


def test_archive_of_tar_comes_in_through_a_pipe(game: Path) -> None:
    ran = shell(
        "stratavfs export game.db:/ out && "
        "tar -C out -cz . | stratavfs archive -x --create -f - new.db:/"
    )

    assert (ran.code, ran.err) == (0, "")
    assert ground.tree_of("new.db") == FILES


def test_broken_pipe_is_quiet(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.write_bytes("/x", bytes(4_000_000))

    ran = shell("stratavfs cat game.db:/x | head -c 5; echo ${PIPESTATUS[0]} >&2")

    assert ran.out == bytes(5)
    assert ran.err in ("141\n", "1\n")


def test_listing_into_a_broken_pipe_is_quiet(game: Path) -> None:
    with VirtualFileSystem(game) as vfs, vfs.atomic_batch():
        for number in range(5000):
            vfs.touch(f"/many/a-name-that-fills-the-pipe-{number}")

    ran = shell("stratavfs find game.db:/ | head -n 1; echo ${PIPESTATUS[0]} >&2")

    assert ran.lines == ["game.db:/all.bin"]
    assert ran.err in ("141\n", "1\n")


def test_full_disk_at_stdout_is_an_error(game: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")

    ran = shell("stratavfs cat game.db:/all.bin > /dev/full")

    assert ran.code == 1
    assert ran.err.startswith("stratavfs: ")
    assert "No space left on device" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("line", ["ls game.db >&-", "write game.db:/new - <&-"])
def test_closed_stream_is_an_error_in_one_line(game: Path, line: str) -> None:
    before = ground.dump_of(game)

    ran = shell(f"stratavfs {line}")

    assert ran.code == 1
    assert ran.out == b""
    assert ran.err.startswith("stratavfs: ")
    assert "Error: " not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert ground.dump_of(game) == before


def test_output_in_a_pipe_has_no_escape_codes(game: Path) -> None:
    for args in (["ls", "-l"], ["tree"], ["stat"], ["du"], ["layers"], ["info"]):
        ran = spawn(*args, "game.db:/" if args[0] != "info" else "game.db")

        assert ran.code == 0
        assert b"\x1b" not in ran.out
        assert ran.err == ""


# --- Ctrl-C ---------------------------------------------------------------------------


@contextmanager
def running(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    """Return a context with a command that waits for its standard input."""
    with subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # nothing is left to be flushed into a pipe that is gone
        env=environment(),
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def half_an_archive() -> bytes:
    """Return a tar whose second member goes on and on, cut within it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as file:
        for name, size in (("first.bin", 1000), ("second.bin", 4_000_000)):
            member = tarfile.TarInfo(name)
            member.size = size
            file.addfile(member, io.BytesIO(bytes(size)))
    return made.getvalue()[:2_000_000]


def interrupt(child: subprocess.Popen[bytes], given: bytes) -> tuple[int, bytes, str]:
    """Give the command *given*, interrupt it when it has read that; see it end.

    A pipe holds 64 KiB: what is longer has been read to that when all is written. The
    command is in the middle of it, since more is to come.
    """
    assert child.stdin is not None
    assert len(given) > 1 << 20
    child.stdin.write(given)
    child.send_signal(signal.SIGINT)
    # What comes just before it waits for more is seen when there is more.
    with suppress(BrokenPipeError):
        child.stdin.write(b"more")
    out, err = finished(child)
    return child.returncode, out, err


def finished(child: subprocess.Popen[bytes]) -> tuple[bytes, str]:
    """Return what the command wrote, its standard input being held open all along."""
    assert child.stdout is not None
    assert child.stderr is not None
    child.wait(LONG)
    return child.stdout.read(), child.stderr.read().decode()


@pytest.mark.parametrize(
    ("args", "given"),
    [
        (["archive", "-x", "-f", "-", "game.db:/new"], half_an_archive()),
        (["write", "game.db:/readme.txt", "-"], bytes(2_000_000)),
        (["write", "-a", "game.db:/readme.txt", "-"], bytes(2_000_000)),
    ],
    ids=["archive", "write", "append"],
)
def test_interrupt_leaves_the_container_as_it_was(
    game: Path, args: list[str], given: bytes
) -> None:
    before = ground.dump_of(game)

    with running(*args) as child:
        code, out, err = interrupt(child, given)

    assert code == 130
    assert out == b""
    assert err == "stratavfs: interrupted; nothing was changed\n"
    assert ground.dump_of(game) == before
    assert ground.integrity_of(game) == "ok"
    assert spawn("check", "--deep", "game.db").code == 0


def test_interrupt_of_an_import_leaves_the_container_as_it_was(game: Path) -> None:
    before = ground.dump_of(game)
    Path("host").mkdir()
    for number in range(20):
        Path(f"host/{number:02}").write_bytes(bytes(1000))

    # It stops at the signal it sends itself, in the middle of its batch.
    script = (
        "import os, signal, sys, stratavfs.cli\n"
        "from stratavfs import VirtualFileSystem\n"
        "original = VirtualFileSystem.import_tree\n"
        "def import_tree(self, *args, **options):\n"
        "    found = original(self, *args, **options)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return found\n"
        "VirtualFileSystem.import_tree = import_tree\n"
        "sys.argv[0] = 'stratavfs'\n"
        "sys.exit(stratavfs.cli.main())\n"
    )
    ran = spawn(
        *("-c", script, "import", "host", "game.db:/new"), command=[sys.executable]
    )

    assert ran.code == 130
    assert ran.err == "stratavfs: interrupted; nothing was changed\n"
    assert ground.dump_of(game) == before


def test_interrupt_of_a_created_container_leaves_none(work: Path) -> None:
    with running("archive", "-x", "--create", "-f", "-", "new.db:/") as child:
        code, _, err = interrupt(child, half_an_archive())

    assert code == 130
    assert err == "stratavfs: interrupted; nothing was changed\n"
    assert os.listdir() == []


def test_interrupt_of_what_only_reads_says_so_in_a_line(game: Path) -> None:
    with VirtualFileSystem(game) as vfs:
        vfs.write_bytes("/large.bin", bytes(8_000_000))
    before = ground.dump_of(game)

    # Nobody reads on: it waits in the middle of what it writes.
    with running("cat", "game.db:/large.bin") as child:
        assert child.stdout is not None
        first: IO[bytes] = child.stdout
        assert first.read(1)
        child.send_signal(signal.SIGINT)
        child.wait(LONG)
        assert child.stderr is not None
        err = child.stderr.read().decode()

    assert child.returncode == 130
    assert err == "stratavfs: interrupted\n"
    assert ground.dump_of(game) == before


def test_termination_leaves_the_container_as_it_was(game: Path) -> None:
    before = ground.dump_of(game)

    with running("archive", "-x", "-f", "-", "game.db:/new") as child:
        assert child.stdin is not None
        child.stdin.write(half_an_archive())
        child.terminate()
        child.wait(LONG)

    assert child.returncode != 0
    assert ground.dump_of(game) == before
    assert spawn("check", "--deep", "game.db").code == 0


# --- terminals ------------------------------------------------------------------------

ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(rb"\x1b\[[0-9;]+m")


def many(files: int) -> None:
    Path("host").mkdir()
    for number in range(files):
        Path(f"host/{number:04}.txt").write_bytes(b"content")


def test_import_at_a_terminal_shows_a_bar(empty: Path) -> None:
    many(300)

    code, shown = in_terminal("import", "host", "empty.db:/")

    assert code == 0
    assert b"300" in ESCAPE.sub(b"", shown)
    assert b"\x1b[" in shown
    assert len(ground.tree_of(empty)) == 300


def test_import_with_stderr_in_a_pipe_shows_none(empty: Path) -> None:
    many(300)

    assert spawn("import", "host", "empty.db:/").err == ""


def test_listing_at_a_terminal_has_colours_unless_refused(game: Path) -> None:
    plain = environment(NO_COLOR="1", COLUMNS="80")

    code, coloured = in_terminal("ls", "game.db:/")
    refused_code, refused = in_terminal("ls", "game.db:/", env=plain)

    assert code == refused_code == 0
    assert COLOUR.search(coloured)
    assert not COLOUR.search(refused)
    assert b"readme.txt" in refused


@pytest.mark.parametrize(
    "args",
    [
        ["ls"],
        ["ls", "-l"],
        ["ls", "-R"],
        ["tree"],
        ["find"],
        ["grep", "-l", "."],
        ["grep", "text"],
        ["du"],
        ["stat"],
        ["diff"],
        ["explain"],
        ["which"],
        ["cp", "-v"],
    ],
    ids=" ".join,
)
def test_hostile_names_do_not_reach_a_terminal_raw(work: Path, args: list[str]) -> None:
    with VirtualFileSystem("evil.db") as vfs:
        vfs.write_text(f"{HOSTILE}/{HOSTILE}", "text\x1b]0;owned\a\n")
        vfs.symlink(HOSTILE, f"{HOSTILE}/link")
    place = "evil.db:/"
    if args[0] in ("stat", "explain", "which", "cp"):
        place = f"evil.db:{HOSTILE}{HOSTILE}"
    target = ["evil.db:/copy"] if args[0] == "cp" else []

    _, shown = in_terminal(*args, place, *target)

    assert b"owned" in shown or b"text" in shown or args[0] in ("which", "diff", "du")
    assert b"\x1b]" not in shown
    assert b"\a" not in shown
    assert b"\x7f" not in shown
    assert b"\x1b[31mred" not in shown
    assert b"\nsecond line" not in shown


def test_hostile_names_in_errors_are_one_harmless_line(work: Path) -> None:
    with VirtualFileSystem("evil.db"):
        pass

    code, shown = in_terminal("cat", f"evil.db:{HOSTILE}")

    assert code == 1
    assert shown.count(b"\n") == 1
    assert b"\x1b" not in shown
    assert b"\a" not in shown


def test_cat_at_a_terminal_writes_what_is_in_the_file(game: Path) -> None:
    assert in_terminal("cat", "game.db:/readme.txt") == (0, b"hello\r\n")

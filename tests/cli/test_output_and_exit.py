"""What is printed where, and how a command ends: terminals, closed streams, Ctrl-C."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from tests import ground
from tests.cli import running
from tests.cli.running import Ran, code_of, ok, refused, run

from stratavfs import VirtualFileSystem, cli
from stratavfs.cli import (
    _app,
    _copier,
    _output,
    _progress,
    _shell_prompt,
)
from stratavfs.records import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


class Refusing(io.BytesIO):
    """A file that takes nothing, as long as there is an *error*."""

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        self.flush()
        return super().write(data)

    def flush(self) -> None:
        if self.error is not None:
            raise self.error


def terminal(encoding: str = "utf-8") -> Terminal:
    return Terminal(io.BytesIO(), encoding=encoding)


def pipe() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def run_on(stdout: io.TextIOWrapper | None, stderr: object, *args: str) -> int:
    """Run the command in this interpreter on these streams; return its exit code."""
    with (
        mock.patch.object(sys, "argv", ["stratavfs", *args]),
        mock.patch.object(sys, "stdout", stdout),
        mock.patch.object(sys, "stderr", stderr),
    ):
        return code_of(cli.main)


def at_terminal(*args: str, encoding: str = "utf-8") -> Ran:
    """Run the command as at a terminal; it has nothing to complain of."""
    out, err = terminal(encoding), terminal()
    code = run_on(out, err, *args)
    return Ran(code, out.shown.encode(), err.shown)


@contextmanager
def refusing(number: int) -> Iterator[io.TextIOWrapper]:
    """Return a context with a stream on which each write fails with *number*."""
    file = Refusing()
    stream = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
    file.error = OSError(number, os.strerror(number))
    try:
        yield stream
    finally:
        file.error = None


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


# --- at a terminal --------------------------------------------------------------------


def test_ls_at_a_terminal_shows_columns_of_coloured_words(game: Path) -> None:
    ran = at_terminal("ls", "game.db:/")

    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.text)
    assert plain == "all.bin  bin  docs  empty  link  readme.txt\n"
    assert "\x1b[34m\x1b[1mdocs\x1b[0m" in ran.text
    assert "\x1b[36m\x1b[1mlink\x1b[0m" in ran.text
    assert "\x1b[32m\x1b[1mrun.sh\x1b[0m" in at_terminal("ls", "game.db:/bin").text


def test_ls_at_a_narrow_terminal_fills_columns_downwards(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    shown = {}
    for width in ("5", "24", "30"):
        monkeypatch.setenv("COLUMNS", width)
        shown[width] = at_terminal("ls", "game.db:/").text.splitlines()

    assert shown["5"] == ["all.bin", "bin", "docs", "empty", "link", "readme.txt"]
    assert shown["24"] == ["all.bin  empty", "bin      link", "docs     readme.txt"]
    assert shown["30"] == ["all.bin  docs   link", "bin      empty  readme.txt"]


def test_ls_of_an_empty_directory_shows_nothing(game: Path) -> None:
    assert at_terminal("ls", "game.db:/empty") == Ran(0, b"", "")
    assert at_terminal("ls", "-l", "game.db:/empty") == Ran(0, b"total 0\n", "")
    assert ok("ls", "-l", "game.db:/empty").lines == ["total 0"]


def test_names_at_a_terminal_are_quoted_and_obeyed_by_none(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with VirtualFileSystem("game.db") as vfs:
        vfs.write_text("/empty/\x1b[2J", "to\x1bdo\tyes\n")
        vfs.write_text("/empty/it's", "")

    listed = at_terminal("ls", "-1", "game.db:/empty")
    found = at_terminal("grep", "do", "game.db:/empty")
    removed = at_terminal("rm", "-v", "game.db:/empty/\x1b[2J", "game.db:/readme.txt")

    assert listed.lines == ["''$'\\033''[2J'", '"it\'s"']
    assert found.lines == ["'game.db:/empty/'$'\\033''[2J':to\\x1bdo\tyes"]
    assert removed.lines == [
        "removed 'game.db:/empty/'$'\\033''[2J'",
        "removed 'game.db:/readme.txt'",
    ]


def test_names_that_a_terminal_cannot_show_are_escaped(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with VirtualFileSystem("game.db") as vfs:
        vfs.touch("/empty/\u00fc")

    ran = at_terminal("ls", "game.db:/empty", encoding="ascii")

    assert (ran.code, ran.text) == (0, "\\xfc\n")


def test_archive_to_a_terminal_refuses(game: Path) -> None:
    ran = at_terminal("archive", "-c", "-f", "-", "game.db:/docs")

    assert (ran.code, ran.out) == (1, b"")
    assert ran.err.startswith("stratavfs: an archive does not go to a terminal")


# --- progress -------------------------------------------------------------------------


def test_import_at_a_terminal_draws_a_bar_on_stderr(game: Path) -> None:
    Path("tree").mkdir()
    Path("tree/one.txt").write_bytes(b"1")

    ran = at_terminal("import", "tree", "game.db:/new")

    assert (ran.code, ran.out) == (0, b"")
    assert "importing" in ran.err
    assert "one.txt" in ran.err
    assert ran.err.endswith("\x1b[2K")  # it is taken away


def test_import_in_a_pipe_draws_no_bar(game: Path) -> None:
    Path("tree").mkdir()

    ran = run("import", "tree", "game.db:/new")

    assert ran == Ran(0, b"", "")


def test_cp_that_is_quick_draws_no_bar(game: Path) -> None:
    assert at_terminal("cp", "game.db:/readme.txt", "game.db:/new").err == ""


def test_import_with_stderr_closed_draws_no_bar_on_stdout(game: Path) -> None:
    Path("tree").mkdir()
    out = terminal()

    code = run_on(out, None, "import", "tree", "game.db:/new")

    assert (code, out.shown) == (0, "")


def test_bar_shows_steps_size_and_a_harmless_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = terminal()
    monkeypatch.setattr(sys, "stderr", screen)

    with _progress.bar("copying") as listener:
        assert listener is not None
        before = screen.shown
        listener(Progress(3, 7, "/a\x1b[2J[red]b", 2048))

    assert before == ""
    for part in ("copying", "3/7", "2.0K", "$'\\033'", "[red]b"):
        assert part in screen.shown
    assert "\x1b[2J" not in screen.shown


def test_bar_that_comes_later_draws_nothing_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = terminal()
    monkeypatch.setattr(sys, "stderr", screen)

    with _progress.bar("copying", after=3600) as listener:
        assert listener is not None
        listener(Progress(3, 7, "/a", 2048))

    assert screen.shown == ""


# --- streams that are closed ----------------------------------------------------------


def test_is_terminal_of_what_is_closed_is_false() -> None:
    stream = pipe()

    stream.close()

    assert not _output.is_terminal(stream)
    assert _output.is_terminal(terminal())


def test_output_that_is_closed_is_an_error_of_one_line(game: Path) -> None:
    err = io.StringIO()

    code = run_on(None, err, "cat", "game.db:/readme.txt")

    why = os.strerror(errno.EBADF)
    assert (code, err.getvalue()) == (1, f"stratavfs: standard output: {why}\n")


def test_command_without_output_needs_none(game: Path) -> None:
    err = io.StringIO()

    code = run_on(None, err, "rm", "game.db:/readme.txt")

    assert (code, err.getvalue()) == (0, "")
    assert "/readme.txt" not in running.tree()


def test_output_that_is_full_is_an_error_of_one_line(game: Path) -> None:
    err = io.StringIO()

    with refusing(errno.ENOSPC) as out:
        code = run_on(out, err, "info", "--json", "game.db")

    assert (code, err.getvalue()) == (
        1,
        f"stratavfs: {os.strerror(errno.ENOSPC)}\n",
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_output_whose_reader_is_gone_ends_quietly(
    game: Path, options: tuple[str, ...]
) -> None:
    err = io.StringIO()

    with refusing(errno.EPIPE) as out:
        code = run_on(out, err, "find", *options, "game.db:/")

    assert (code, err.getvalue()) == (141, "")


def test_shell_whose_reader_is_gone_ends_quietly(game: Path) -> None:
    err = io.StringIO()
    before = ground.dump_of(game)
    reader, writer = os.pipe()
    os.close(reader)

    with open(writer, "w", encoding="utf-8") as out:
        code = run_on(out, err, "shell", "game.db", "-kc", "cat readme.txt\nrm link")

    assert (code, err.getvalue()) == (141, "")
    assert ground.dump_of(game) == before


def test_complaint_that_nobody_reads_leaves_the_exit_code(game: Path) -> None:
    with refusing(errno.EPIPE) as err:
        code = run_on(pipe(), err, "mkdir", "game.db:/docs")

    assert code == 1
    assert run_on(pipe(), None, "mkdir", "game.db:/docs") == 1


def test_complaint_that_cannot_be_written_is_an_error(game: Path) -> None:
    with refusing(errno.ENOSPC) as err, pytest.raises(OSError) as caught:
        run_on(pipe(), err, "mkdir", "game.db:/docs")

    assert caught.value.errno == errno.ENOSPC


def test_input_that_is_closed_is_an_error_of_one_line(game: Path) -> None:
    before = ground.dump_of(game)
    lines = []

    for command in (("write", "game.db:/new"), ("shell", "game.db")):
        with mock.patch.object(sys, "stdin", None):
            err = io.StringIO()
            assert run_on(pipe(), err, *command) == 1
            lines.append(err.getvalue())

    assert lines == [
        f"stratavfs: standard input: {os.strerror(errno.EBADF)}\n",
        "stratavfs: standard input is closed: name a script, or give -c TEXT\n",
    ]
    assert ground.dump_of(game) == before


# --- errors ---------------------------------------------------------------------------


def test_traceback_shows_where_an_error_comes_from(game: Path) -> None:
    reading = run("--traceback", "cat", "game.db:/missing")
    changing = run("mkdir", "--traceback", "game.db:/docs")

    for ran, name in ((reading, "FileNotFoundError"), (changing, "FileExistsError")):
        assert (ran.code, ran.out) == (1, b"")
        assert ran.err.startswith("Traceback (most recent call last):")
        assert name in ran.err
        assert ran.err.splitlines()[-1].startswith("stratavfs: game.db:/")


def test_error_that_nobody_expected_is_named_with_a_remedy(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        message = "a bug"
        raise RuntimeError(message)

    monkeypatch.setattr(VirtualFileSystem, "touch", broken)
    before = ground.dump_of(game)

    line = refused("touch", "game.db:/a", "game.db:/b")

    assert line == (
        "stratavfs: RuntimeError: a bug (more with --traceback); nothing was changed"
    )
    assert ground.dump_of(game) == before


def test_error_without_words_is_named(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(VirtualFileSystem, "touch", broken)

    assert refused("touch", "game.db:/a") == "stratavfs: ValueError"


def test_exit_within_a_command_is_the_programs(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VirtualFileSystem, "touch", lambda *_: sys.exit(7))
    before = ground.dump_of(game)

    ran = run("touch", "game.db:/a")

    assert ran == Ran(7, b"", "")
    assert ground.dump_of(game) == before


def test_words_of_name_both_files_of_an_error() -> None:
    both = OSError(errno.EXDEV, "Cross-device link", b"a", None, "b")

    assert _output.words_of(both) == "a -> b: Cross-device link"
    assert _output.words_of(OSError(errno.EIO, "Broken")) == "Broken"


# --- Ctrl-C ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "args", "told"),
    [
        ("grep", ("grep", "x", "game.db:/"), ""),
        ("touch", ("touch", "game.db:/new"), "; nothing was changed"),
        ("import_tree", ("import", ".", "game.db:/"), "; nothing was changed"),
        ("export_tree", ("export", "game.db:/", "out"), "; no container was changed"),
    ],
)
def test_interrupt_tells_what_was_changed(
    game: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    args: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.setattr(VirtualFileSystem, call, interrupt)
    before = ground.dump_of(game)

    ran = run(*args)

    assert ran == Ran(130, b"", f"stratavfs: interrupted{told}\n")
    assert ground.dump_of(game) == before


def test_interrupt_after_the_changes_are_kept_says_so(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("one").write_bytes(b"1")
    monkeypatch.setattr(_copier, "remove_source", interrupt)

    ran = run("mv", "one", "game.db:/one")

    assert ran == Ran(130, b"", "stratavfs: interrupted; the changes are kept\n")
    assert running.tree()["/one"] == b"1"
    assert Path("one").exists()


def test_interrupt_of_a_script_between_commands_ends_it(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("script").write_text("rm link\n")
    monkeypatch.setattr("stratavfs.cli._shell.Script.read", interrupt)
    before = ground.dump_of(game)

    ran = run("shell", "game.db", "script")

    assert ran.code == 130
    assert ran.err == "stratavfs: interrupted; nothing was changed\n"
    assert ground.dump_of(game) == before


def test_interrupt_of_a_command_at_a_prompt_lets_the_shell_go_on(
    game: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shell_prompt, "readline", None)
    monkeypatch.setattr(VirtualFileSystem, "touch", interrupt)
    typed = Terminal(io.BytesIO(b"touch new\ncat readme.txt\n"), encoding="utf-8")
    out, err = terminal(), io.StringIO()
    before = ground.dump_of(game)

    with mock.patch.object(sys, "stdin", typed):
        code = run_on(out, err, "shell", "game.db")

    assert code == 0
    assert out.shown == "game.db:/> game.db:/> hello\ngame.db:/> \n"
    assert err.getvalue() == "stratavfs: interrupted; nothing was changed\n"
    assert ground.dump_of(game) == before


def test_interrupt_while_the_command_is_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_app, "main", interrupt)

    assert run("ls") == Ran(130, b"", "stratavfs: interrupted\n")


# --- packages -------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["click", "rich"])
def test_command_without_its_packages_names_the_remedy(
    game: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    ran = run("ls", "game.db")

    assert (ran.code, ran.out) == (2, b"")
    assert ran.err == (
        "stratavfs: the command needs more packages: pip install 'stratavfs[cli]'\n"
    )

"""Places: what an argument names, in a container or on the host."""

from __future__ import annotations

import pytest

from stratavfs.cli._places import NoContainer, Place, Reader

FILES = {"game.db", "./game.db", "../game.db", "dir/game.db", "a:b.db"}
PLAIN = Reader()
DEFAULT = Reader("default.db")
SHELL = Reader("default.db", directory="/dir", inside=True)
WINDOWS = Reader(windows=True)


def is_file(path: str) -> bool:
    return path in FILES


# --- where only a container makes sense -----------------------------------------------


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        ("game.db:/a", "game.db", "/a"),
        ("game.db:a", "game.db", "/a"),
        ("game.db:", "game.db", "/"),
        ("game.db", "game.db", "/"),
        ("no.db", "no.db", "/"),
        ("/tmp/x y.db:/a b", "/tmp/x y.db", "/a b"),
        ("/tmp/no.db", "/tmp/no.db", "/"),
        ("./game.db:/a", "./game.db", "/a"),
        ("../no.db:/a", "../no.db", "/a"),
        ("game.db:/a:b", "game.db", "/a:b"),
        ("game.db:/a:/b", "game.db", "/a:/b"),
        ("game.db:a:b", "game.db", "/a:b"),
        ("a:b.db:/c", "a:b.db", "/c"),
        ("game.db:/-x", "game.db", "/-x"),
        ("game.db:/a\nb", "game.db", "/a\nb"),
        ("game.db:/a/../b/", "game.db", "/a/../b/"),
    ],
)
def test_container_place_without_a_default_is_in_the_named_container(
    text: str, container: str, path: str
) -> None:
    assert PLAIN.container_place(text, is_file) == Place(container, path)


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        (":/a", "default.db", "/a"),
        (":a", "default.db", "/a"),
        (":", "default.db", "/"),
        ("/a", "default.db", "/a"),
        ("/", "default.db", "/"),
        ("a", "default.db", "/a"),
        ("game.db", "game.db", "/"),
        ("game.db:/a", "game.db", "/a"),
    ],
)
def test_container_place_with_a_default_may_leave_it_out(
    text: str, container: str, path: str
) -> None:
    assert DEFAULT.container_place(text, is_file) == Place(container, path)


@pytest.mark.parametrize("text", [":", ":/a", ":a", ""])
def test_container_place_in_no_default_is_refused(text: str) -> None:
    with pytest.raises(NoContainer):
        PLAIN.container_place(text, is_file)


# --- where a file of the host may be meant --------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a/b", "/a", "/tmp/a", ".", "..", "-", "game.db", "a b"),
        *("./a:b", "./a:/b", "../a:b", "a/b:c", "/tmp/a:b"),
    ],
)
def test_any_place_without_a_container_is_of_the_host(text: str) -> None:
    assert DEFAULT.any_place(text, is_file) == Place(None, text)


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        ("game.db:/a", "game.db", "/a"),
        ("no.db:/a", "no.db", "/a"),
        ("no.db:a", "no.db", "/a"),
        ("no.db:", "no.db", "/"),
        ("dir/no.db:/a", "dir/no.db", "/a"),
        ("/tmp/no.db:/a", "/tmp/no.db", "/a"),
        ("/tmp/no.db:", "/tmp/no.db", "/"),
        ("./game.db:/a", "./game.db", "/a"),
        ("../game.db:", "../game.db", "/"),
        (":/a", "default.db", "/a"),
    ],
)
def test_any_place_with_a_container_is_in_it(
    text: str, container: str, path: str
) -> None:
    assert DEFAULT.any_place(text, is_file) == Place(container, path)


def test_any_place_in_no_default_is_refused() -> None:
    with pytest.raises(NoContainer):
        PLAIN.any_place(":/a", is_file)


# --- Windows --------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["C:\\a\\b", "C:/a/b", "c:", "C:\\"])
def test_any_place_with_a_drive_is_of_the_host(text: str) -> None:
    assert WINDOWS.any_place(text, is_file) == Place(None, text)


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        ("C:\\a\\game.db:/b", "C:\\a\\game.db", "/b"),
        ("C:/a/game.db:/b", "C:/a/game.db", "/b"),
        ("C:\\a\\game.db:", "C:\\a\\game.db", "/"),
        ("game.db:/C:/a", "game.db", "/C:/a"),
    ],
)
def test_any_place_with_a_drive_may_be_in_a_container(
    text: str, container: str, path: str
) -> None:
    assert WINDOWS.any_place(text, is_file) == Place(container, path)
    assert WINDOWS.container_place(text, is_file) == Place(container, path)


def test_any_place_elsewhere_than_on_windows_knows_no_drives() -> None:
    assert PLAIN.any_place("C:/a", is_file) == Place("C", "/a")


# --- the shell ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "container", "path"),
    [
        ("a", "default.db", "/dir/a"),
        ("game.db", "default.db", "/dir/game.db"),
        ("/a", "default.db", "/a"),
        (".", "default.db", "/dir/."),
        ("..", "default.db", "/dir/.."),
        ("", "default.db", "/dir/"),
        ("./a:/b", "default.db", "/dir/./a:/b"),
        ("/a:b", "default.db", "/a:b"),
        ("other.db:/a", "other.db", "/a"),
        (":a", "default.db", "/dir/a"),
    ],
)
def test_place_in_the_shell_starts_in_its_directory(
    text: str, container: str, path: str
) -> None:
    assert SHELL.container_place(text, is_file) == Place(container, path)
    assert SHELL.any_place(text, is_file) == Place(container, path)


# --- what a place is ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/b", "b"),
        ("/a/b/", "b"),
        ("/", ""),
        ("/a/.", ""),
        ("/a/..", ""),
        ("/a/b:c", "b:c"),
        ("/a/...", "..."),
    ],
)
def test_name_is_the_last_component(path: str, name: str) -> None:
    assert Place("game.db", path).name == name
    assert Place(None, path).name == name


@pytest.mark.parametrize(
    ("path", "asks"), [("/a/", True), ("/", True), ("/a/.", True), ("/a", False)]
)
def test_asks_directory_by_its_end(path: str, asks: bool) -> None:
    assert Place("game.db", path).asks_directory is asks


def test_text_of_a_place_leads_back_to_it() -> None:
    for place in (
        Place("game.db", "/a:b"),
        Place("dir/game.db", "/"),
        Place(None, "a"),
    ):
        assert PLAIN.any_place(str(place), is_file) == place

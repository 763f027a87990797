"""Rows that no container holds: wrong types in every column, and what leads nowhere."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from tests.faults.hostile import (
    COLUMNS,
    WAYS,
    WRONG,
    bounds,
    make_sample,
    make_spoilt,
    tour_above,
    tour_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.damaged

FEW = (None, "text", b"bytes", -1, 1 << 62)
LARGE = "inode = (SELECT inode FROM entries WHERE name = 'big')"


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    with bounds():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stranger.db"


def spoilt(path: Path, table: str, column: str, where: str, value: object) -> bool:
    """Make a sample with *value* in a column; tell whether SQLite can hold it there."""
    try:
        statement = f"UPDATE {table} SET {column} = ? WHERE {where}"
        make_spoilt(path, statement, args=(value,))
    except sqlite3.IntegrityError:
        return False  # a key that is NULL, a rowid that is no number
    return True


# --- wrong values ---------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_tour_of_healthy_container_is_answered(path: Path, way: str) -> None:
    make_sample(path)

    outcomes = tour_of(path, WAYS[way])

    # The refusals are those of the disk: reading a directory, listing a file.
    assert outcomes["answered"] > 100
    assert not {"refused", "CorruptDatabase", "LayerFailed"} & {*outcomes}


def test_tour_above_healthy_container_is_answered(path: Path) -> None:
    make_sample(path)

    outcomes = tour_above(path)

    assert outcomes["answered"] > 100
    assert not {"refused", "CorruptDatabase", "LayerFailed"} & {*outcomes}


@pytest.mark.parametrize(("table", "column", "where"), COLUMNS)
def test_read_of_wrong_value_is_answered_or_refused(
    path: Path, table: str, column: str, where: str
) -> None:
    for value in FEW:
        if spoilt(path, table, column, where, value):
            tour_of(path, WAYS["immutable"])


@pytest.mark.slow
@pytest.mark.parametrize(("table", "column", "where"), COLUMNS)
def test_use_of_wrong_value_is_answered_or_refused(
    path: Path, table: str, column: str, where: str
) -> None:
    for value in WRONG:
        if spoilt(path, table, column, where, value):
            tour_above(path)
    for value in FEW:
        if spoilt(path, table, column, where, value):
            tour_of(path, WAYS["writable"])

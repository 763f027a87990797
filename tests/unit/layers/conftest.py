"""Fixtures: a directory of the host, and a layer that reaches it in both ways."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stratavfs.layers import DirectoryLayer, directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[True, False], ids=["by-descriptor", "by-name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Both ways through the host, whichever this one has to take."""
    by_descriptor: bool = request.param
    if by_descriptor and not directory._BY_DESCRIPTOR:
        pytest.skip("files cannot be opened by their directory here")
    monkeypatch.setattr(directory, "_BY_DESCRIPTOR", by_descriptor)
    return by_descriptor


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """/file, /sub/deep/note, and beside it a secret that no link may reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    host = tmp_path / "host"
    (host / "sub" / "deep").mkdir(parents=True)
    (host / "file").write_bytes(b"hello")
    (host / "sub" / "deep" / "note").write_bytes(b"a note")
    return host


@pytest.fixture
def layer(way: bool, host: Path) -> DirectoryLayer:
    return DirectoryLayer(host)


@pytest.fixture
def nothing_leaks() -> Iterator[None]:
    """Compare the open files of this process before and after."""
    listed = Path("/proc/self/fd")
    before = sorted(os.listdir(listed)) if listed.exists() else []
    yield
    assert (sorted(os.listdir(listed)) if listed.exists() else []) == before

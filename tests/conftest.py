"""Fixtures: a file system of every kind, and a check of each one before it closes."""

from __future__ import annotations

import gc
import itertools
import os
from typing import TYPE_CHECKING, Any

import icontract
import pytest
from hypothesis import HealthCheck, settings

from stratavfs import VirtualFileSystem, _check
from stratavfs.archives import _formats

# Helpers assert too, also under python -O, where only rewritten ones do.
pytest.register_assert_rewrite(
    *(f"tests.{name}" for name in ("conformance", "faults", "model", "ground"))
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# dev: quick and random; ci: the same examples every time; nightly: many.
settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

CHUNK_SIZES = (2, 3, 64, 65536)


# With ICONTRACT_SLOW=1 every call is followed by calls that verify it.
ALONE = {
    "single": "the verifying calls are warned, counted or measured with it",
    "threads": "what is verified holds only while no other thread changes it",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not icontract.SLOW:
        return
    for item in items:
        for marker in item.iter_markers("no_slow_contracts"):
            item.add_marker(pytest.mark.skip(reason=ALONE[marker.args[0]]))


def pytest_collection_finish() -> None:
    """Take the tests themselves, a million objects, out of each later collection."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "damaged: the test breaks its container, so it is not checked"
    )
    config.addinivalue_line(
        "markers", "no_slow_contracts(why): left out with ICONTRACT_SLOW=1"
    )


@pytest.fixture(autouse=True)
def checked_at_close(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let every file system check its container before it closes."""
    # A format that a test or a page registers is known to that one alone.
    monkeypatch.setattr(_formats, "_formats", dict(_formats._formats))
    if request.node.get_closest_marker("damaged"):
        # Nor does the invariant check it after each call, with ICONTRACT_SLOW=1.
        monkeypatch.setattr(_check, "is_healthy", lambda store: True)
        return
    close = VirtualFileSystem.close

    def check_and_close(self: VirtualFileSystem) -> None:
        findings = [] if self.closed else self.check()
        close(self)
        assert findings == []

    monkeypatch.setattr(VirtualFileSystem, "close", check_and_close)


@pytest.fixture
def make_vfs(
    tmp_path: Path, checked_at_close: None
) -> Iterator[Callable[..., VirtualFileSystem]]:
    """Return a maker of file systems that are closed after the test."""
    made: list[VirtualFileSystem] = []

    def make(*args: Any, **options: Any) -> VirtualFileSystem:
        vfs = VirtualFileSystem(*args, **options)
        made.append(vfs)
        return vfs

    yield make
    for vfs in made:
        vfs.close()


@pytest.fixture(
    params=itertools.product(("memory", "file"), CHUNK_SIZES),
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def vfs(request: pytest.FixtureRequest, tmp_path: Path, make_vfs: Any) -> Any:
    """An empty file system: in memory and on disk, at every chunk size."""
    where, chunk_size = request.param
    location = ":memory:" if where == "memory" else str(tmp_path / "container.db")
    return make_vfs(location, chunk_size)


@pytest.fixture
def mem(make_vfs: Any) -> Any:
    """An empty file system in memory with the default chunk size."""
    return make_vfs()


@pytest.fixture
def clock() -> Clock:
    """A clock that moves by one second with each look at it."""
    return Clock()


class Clock:
    """Nanoseconds since 1970, one second later at each call."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000_000_000

    def __call__(self) -> int:
        self.now += 1_000_000_000
        return self.now

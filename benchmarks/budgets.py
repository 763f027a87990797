"""What each work may cost: the rows of the table, as data.

A workload runs its subjects in one interleaved run; its rows say which of them are
compared and up to what ratio. A row without a yardstick has a budget in microseconds, a
row without a budget is there to be looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks import fixtures, layers, search, transfers, upkeep, work

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stage import Stage
    from benchmarks.work import Figures


class Row(NamedTuple):
    """One line of the table."""

    subject: str
    yardstick: str | None
    budget: float | None
    """The largest ratio; without a yardstick, the most microseconds."""


class Workload(NamedTuple):
    """What is run in one interleaved run, and the rows that come of it."""

    group: str
    work: str
    run: Callable[[Stage], Figures]
    rows: tuple[Row, ...]


_WRITES: Final = (Row("disk", "local", 1.0), Row("disk", "sql", None))
_BATCHED: Final = (Row("disk", "local", 0.5), Row("disk", "sql", None))
# Budgets of streams are speeds: 0.8 and 0.9 of the floor's.
_STREAM_READ: Final = 1 / 0.8
_STREAM_WRITE: Final = 1 / 0.9
# "Flat", with room for a deeper index and a colder cache.
_FLAT: Final = 1.2

SMALL: Final = "files of 4 KiB"
LARGE: Final = "one large file"
MANY: Final = "many entries"
LAYERS: Final = "layers"
FIXTURES: Final = "2,000 files of 4 KiB for a test"
UPKEEP: Final = "upkeep"
DURABLE: Final = "what durability costs"
START: Final = "starting"
TRANSFERS: Final = "10,000 small files"
SEARCH: Final = "searching, files of 6 KiB"

_SEARCHED: Final = (Row("disk", "local", None), Row("stack", "local", None))

# A hit in the bottom of 64 underlays against a hit in the only layer.
_STACKED: Final = (Row("stack", "alone", 2.0),)
_POLLED: Final = (Row("stack", "alone", None),)
# Each is as durable as what it is compared with, or more.
_COMMITS: Final = (
    Row("off", "local", None),
    Row("normal", "local", None),
    Row("full", "fsync", None),
    Row("sync()", "fsync", None),
    Row("fsync", "local", None),
)

WORKLOADS: Final = (
    Workload(
        SMALL,
        "read_bytes",
        partial(work.read, verb="read_bytes"),
        (
            Row("disk", "local", 1.0),
            Row("disk", "sql", 1.35),
            Row("immutable", "local", 0.75),
            Row("memory", "local", None),
        ),
    ),
    Workload(
        SMALL,
        "open + read",
        partial(work.read, verb="open_and_read"),
        (Row("disk", "sql", 2.0), Row("disk", "local", None)),
    ),
    Workload(
        SMALL, "stat", work.stat, (Row("disk", "sql", 1.35), Row("disk", "local", None))
    ),
    Workload(
        SMALL,
        "exists",
        work.exists,
        (Row("disk", "sql", 1.35), Row("disk", "local", None)),
    ),
    Workload(
        SMALL,
        "listdir, 100 names",
        work.listdir,
        (Row("disk", "sql", 1.35), Row("disk", "local", None)),
    ),
    Workload(
        SMALL, "overwrite", partial(work.write, create=False, batch=False), _WRITES
    ),
    Workload(SMALL, "create", partial(work.write, create=True, batch=False), _WRITES),
    Workload(
        SMALL,
        "overwrite, in a batch",
        partial(work.write, create=False, batch=True),
        _BATCHED,
    ),
    Workload(
        SMALL,
        "create, in a batch",
        partial(work.write, create=True, batch=True),
        _BATCHED,
    ),
    Workload(
        LARGE,
        "write 1 MiB at a time",
        partial(work.stream_write, batch=False),
        (Row("disk", "sql", _STREAM_WRITE),),
    ),
    Workload(
        LARGE,
        "the same in a batch",
        partial(work.stream_write, batch=True),
        (Row("disk", "sql", _STREAM_WRITE),),
    ),
    Workload(
        LARGE,
        "read 1 MiB at a time",
        work.stream_read,
        (Row("disk", "sql", _STREAM_READ),),
    ),
    Workload(
        LARGE,
        "update 4 KiB",
        partial(work.update, batch=False),
        (Row("disk", "sql", 3.0),),
    ),
    Workload(
        LARGE,
        "update 4 KiB, in a batch",
        partial(work.update, batch=True),
        (Row("disk", "sql", 3.0),),
    ),
    Workload(
        MANY,
        "listdir of 1,000",
        partial(work.among_others, verb="listdir", argument="/here"),
        (Row("many", "few", _FLAT),),
    ),
    Workload(
        MANY,
        "glob of 1,000",
        partial(work.among_others, verb="glob", argument="/here/*.txt"),
        (Row("many", "few", _FLAT),),
    ),
    Workload(
        MANY,
        "glob **/f*, all match, an entry",
        partial(work.glob_all, pattern="/others/**/f*", share=1),
        (Row("disk", None, 1.0),),
    ),
    Workload(
        MANY,
        "glob **/*.png, 1 in 100, an entry",
        partial(work.glob_all, pattern="/**/*.png", share=100),
        (Row("disk", None, 1.0),),
    ),
    Workload(MANY, "rename a tree, an entry", work.rename, (Row("disk", None, 4.0),)),
    Workload(MANY, "rmtree, an entry", work.rmtree, (Row("disk", None, 4.0),)),
    *(
        Workload(
            LAYERS,
            f"{what}, bottom of 64, {kind}",
            partial(layers.ask, verb=verb, kind=kind, layers=64, missing=missing),
            _STACKED,
        )
        for kind in ("memory", "immutable")
        for what, verb, missing in (
            ("read_bytes", "read_bytes", False),
            ("open + read", "open", False),
            ("exists", "exists", False),
            ("missing", "exists", True),
        )
    ),
    *(
        Workload(
            LAYERS,
            f"read_bytes, bottom of {height}, {kind}",
            partial(layers.ask, verb="read_bytes", kind=kind, layers=height),
            _POLLED,
        )
        for kind in ("disk", "path")
        for height in (1, 4)
    ),
    Workload(
        LAYERS,
        "copy-up of 4 KiB, in a batch",
        layers.copy_up,
        (Row("base", "local", None),),
    ),
    Workload(
        LAYERS,
        "rmtree of a base directory",
        layers.remove_tree,
        (Row("many", "few", _FLAT),),
    ),
    Workload(
        FIXTURES,
        "fork()",
        partial(fixtures.fork, closing_too=False),
        (
            Row("memory", None, 5000.0),
            Row("disk", None, 5000.0),
            Row("memory", "sql", None),
            Row("disk", "sql disk", None),
            Row("memory", "refill", None),
        ),
    ),
    Workload(
        FIXTURES,
        "fork() and close()",
        partial(fixtures.fork, closing_too=True),
        (Row("memory", "refill", None), Row("disk", "refill", None)),
    ),
    Workload(
        FIXTURES,
        "reset(), 10 written, 1,000 deleted",
        fixtures.reset,
        (
            Row("memory", None, 1000.0),
            Row("memory", "sql", None),
            Row("memory", "refill", None),
        ),
    ),
    Workload(
        FIXTURES,
        "an empty batch",
        fixtures.empty_batch,
        (Row("disk", "sql", None), Row("20 open", "disk", None)),
    ),
    Workload(
        UPKEEP,
        "backup(), a MiB",
        upkeep.backup,
        (
            Row("disk", "copyfile", None),
            Row("disk", "fsync", None),
            Row("disk", "sql", None),
        ),
    ),
    Workload(
        UPKEEP,
        "compact() of half, a MiB kept",
        upkeep.compact,
        (Row("disk", "sql", None),),
    ),
    Workload(UPKEEP, "stats(), an entry", upkeep.stats, (Row("disk", "sql", None),)),
    Workload(
        UPKEEP,
        "check(), an entry",
        partial(upkeep.check, deep=False),
        (Row("many", "few", None),),
    ),
    Workload(
        UPKEEP,
        "check(deep=True), an entry",
        partial(upkeep.check, deep=True),
        (Row("many", "few", None), Row("many", "sql", None)),
    ),
    Workload(DURABLE, "a commit", partial(upkeep.commit, batch=False), _COMMITS),
    Workload(
        DURABLE,
        "a file of one batch",
        partial(upkeep.commit, batch=True),
        _COMMITS[:-1],
    ),
    Workload(
        START,
        "an empty container",
        work.create,
        (Row("disk", None, 1000.0), Row("memory", None, 500.0)),
    ),
    Workload(
        TRANSFERS,
        "a tree in",
        transfers.trees_in,
        (
            Row("import", "cp -r", 1 / 3),
            Row("again", "cp -r", None),
            Row("copytree", "cp -r", None),
        ),
    ),
    Workload(
        TRANSFERS,
        "a tree out",
        transfers.trees_out,
        (Row("export", "cp -r", 1.5), Row("copytree", "cp -r", None)),
    ),
    Workload(
        TRANSFERS,
        "a tar out",
        partial(transfers.archives_out, kind="tar"),
        (Row("export", "stdlib", None),),
    ),
    Workload(
        TRANSFERS,
        "a zip in",
        partial(transfers.archives_in, kind="zip"),
        (Row("import", "stdlib", None),),
    ),
    Workload(SEARCH, "find *.png, an entry", search.find_names, _SEARCHED),
    Workload(SEARCH, "find by size and time, an entry", search.find_files, _SEARCHED),
    Workload(
        SEARCH,
        "grep for a word, a MiB",
        partial(search.grep, pattern="needle_"),
        _SEARCHED,
    ),
    Workload(
        SEARCH,
        "grep for an expression, a MiB",
        partial(search.grep, pattern=r"^\s*needle_\d+ ="),
        _SEARCHED,
    ),
    Workload(
        SEARCH,
        "grep -i, a MiB",
        partial(search.grep, pattern="NEEDLE_", ignore_case=True),
        _SEARCHED,
    ),
    Workload(
        START,
        "import",
        work.import_package,
        (Row("stratavfs", "sqlite3", None), Row("icontract", "sqlite3", None)),
    ),
)

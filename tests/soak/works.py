"""What is done to the shared container: works, each with a rule that always holds.

A step is one change: all of it is there or nothing, whoever fails or is killed. A look
returns what contradicts the rule in the state that it sees, at any moment. One thread
has a work to itself; many of them share the files.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from stratavfs import VirtualFileSystem as Vfs

ACCOUNTS: Final = 6
MONEY: Final = 150
TOKENS: Final = 8
PLACES: Final = ("left", "middle", "right")
PAGES: Final = 4
LOGS: Final = 4
"""Files of the log that are kept, each of up to a number of bytes."""
LOG_SIZE: Final = 8000


class Work:
    """Something that a thread does again and again."""

    one_statement = True
    """Whether a glance is one question to one layer, hence one look on a stack too."""

    def __init__(self, who: str, chance: Random) -> None:
        self.who = who
        self.chance = chance

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        """Make what all of these works share."""

    def step(self, vfs: Vfs) -> None:
        """Make one change."""
        raise NotImplementedError

    def look(self, vfs: Vfs) -> list[str]:
        """Return what is wrong; batches may be used for it."""
        raise NotImplementedError

    def glance(self, vfs: Vfs) -> list[str]:
        """Return what is wrong, seen in one look: no batch, nobody waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what is open from step to step."""


def numbers(vfs: Vfs, path: str) -> int:
    return int(vfs.read_text(path))


class Bank(Work):
    """Money moves between accounts: their sum never changes.

    A balance is the size of a file, so that one listing shows them all.
    """

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        for number in range(ACCOUNTS):
            vfs.write_bytes(f"/bank/{number}", b"$" * MONEY)

    def step(self, vfs: Vfs) -> None:
        names = [f"/bank/{number}" for number in range(ACCOUNTS)]
        src, dst = self.chance.sample(names, 2)
        with vfs.atomic_batch():
            have = vfs.getsize(src)
            amount = self.chance.randrange(have + 1)
            vfs.truncate(src, have - amount)
            with vfs.open(dst, "ab") as account:
                account.write(b"$" * amount)

    def look(self, vfs: Vfs) -> list[str]:
        return self.glance(vfs)

    def glance(self, vfs: Vfs) -> list[str]:
        """Look at all accounts at once, without a batch."""
        balances = [entry.stat().st_size for entry in vfs.scandir("/bank")]
        if sum(balances) == ACCOUNTS * MONEY and len(balances) == ACCOUNTS:
            return []
        return [f"bank: {balances} are not {ACCOUNTS * MONEY} in all"]


class Tokens(Work):
    """Names go from place to place: each is in exactly one."""

    one_statement = False

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        for place in PLACES:
            vfs.makedirs(f"/tokens/{place}")
        for number in range(TOKENS):
            vfs.write_text(f"/tokens/{PLACES[number % 3]}/t{number}", f"t{number}")

    def step(self, vfs: Vfs) -> None:
        act = self.chance.choice([self._carry, self._carry, self._pass, self._swap])
        act(vfs)

    def _carry(self, vfs: Vfs) -> None:
        """Rename one, wherever it is."""
        name = f"t{self.chance.randrange(TOKENS)}"
        with vfs.atomic_batch():
            (path,) = vfs.glob(f"/tokens/*/{name}")
            place = self.chance.choice([it for it in PLACES if f"/{it}/" not in path])
            vfs.rename(path, f"/tokens/{place}/{name}")

    def _pass(self, vfs: Vfs) -> None:
        """Rename one that may be elsewhere by now."""
        name = f"t{self.chance.randrange(TOKENS)}"
        src, dst = self.chance.sample(PLACES, 2)
        with suppress(FileNotFoundError):
            vfs.rename(f"/tokens/{src}/{name}", f"/tokens/{dst}/{name}")

    def _swap(self, vfs: Vfs) -> None:
        """Let two places change their names."""
        one, other = self.chance.sample(PLACES, 2)
        with vfs.atomic_batch():
            vfs.rename(f"/tokens/{one}", "/tokens/tmp")
            vfs.rename(f"/tokens/{other}", f"/tokens/{one}")
            vfs.rename("/tokens/tmp", f"/tokens/{other}")

    def look(self, vfs: Vfs) -> list[str]:
        with vfs.atomic_batch():
            return self.glance(vfs)

    def glance(self, vfs: Vfs) -> list[str]:
        """Look for all tokens at once, without a batch."""
        found = vfs.glob("/tokens/*/t*")
        names = sorted(path.rpartition("/")[2] for path in found)
        if names == [f"t{number}" for number in range(TOKENS)]:
            return []
        return [f"tokens: {found}"]


class Counter(Work):
    """Everyone counts: the total is the sum of what each has counted."""

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        vfs.write_text("/counter/total", "0")
        vfs.mkdir("/counter/by")

    def __init__(self, who: str, chance: Random) -> None:
        super().__init__(who, chance)
        self.counted = 0
        self._seen = 0

    def step(self, vfs: Vfs) -> None:
        with vfs.atomic_batch():
            with suppress(KeyError), vfs.atomic_batch():
                self._count(vfs)
                raise KeyError  # it did not happen
            self._count(vfs)
        self.counted += 1

    def _count(self, vfs: Vfs) -> None:
        mine = f"/counter/by/{self.who}"
        vfs.write_text("/counter/total", str(numbers(vfs, "/counter/total") + 1))
        vfs.write_text(mine, str(numbers(vfs, mine) + 1 if vfs.exists(mine) else 1))

    def look(self, vfs: Vfs) -> list[str]:
        found: list[str] = []
        with vfs.atomic_batch():
            total = numbers(vfs, "/counter/total")
            each = [numbers(vfs, path) for path in vfs.glob("/counter/by/*")]
        if total != sum(each):
            found.append(f"counter: {total} in all, but {each}")
        return found + self._seen_before(total)

    def glance(self, vfs: Vfs) -> list[str]:
        """Look at the total without a batch: it never falls."""
        return self._seen_before(numbers(vfs, "/counter/total"))

    def _seen_before(self, total: int) -> list[str]:
        before, self._seen = self._seen, total
        return [] if total >= before else [f"counter: {total} after {before}"]


class Log(Work):
    """Everyone appends lines: all are whole, and each one's own are in order."""

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        vfs.write_bytes("/log/0", b"")

    def __init__(self, who: str, chance: Random) -> None:
        super().__init__(who, chance)
        self._lines = 0

    def step(self, vfs: Vfs) -> None:
        if self.chance.random() < 0.1:
            self._turn(vfs)
            return
        newest = max(vfs.listdir("/log"), key=int)
        line, path = self._line(), f"/log/{newest}"
        if self.chance.random() < 0.5:
            with vfs.open(path, "ab", 0) as log:
                log.write(line)
        else:  # several writes, which belong together
            with vfs.atomic_batch(), vfs.open(path, "ab", 16) as log:
                log.write(line)
        self._lines += 1

    def _line(self) -> bytes:
        text = b"%s %d " % (self.who.encode(), self._lines)
        text += b"x" * self.chance.choice([0, 1, 50, 64, 500])
        return b"%08x %s\n" % (zlib.crc32(text), text)

    def _turn(self, vfs: Vfs) -> None:
        """Begin a new file if the newest is long; remove the oldest."""
        with vfs.atomic_batch():
            kept = sorted(vfs.listdir("/log"), key=int)
            if vfs.getsize(f"/log/{kept[-1]}") > LOG_SIZE:
                vfs.touch(f"/log/{int(kept[-1]) + 1}")
            for name in kept[:-LOGS]:
                vfs.remove(f"/log/{name}")

    def look(self, vfs: Vfs) -> list[str]:
        with vfs.atomic_batch():
            names = sorted(vfs.listdir("/log"), key=int)
            lines = [vfs.read_bytes(f"/log/{name}").splitlines() for name in names]
        return [*wrong_lines([line for file in lines for line in file])]

    def glance(self, vfs: Vfs) -> list[str]:
        """Look at one file alone: what is in it is in order too."""
        name = self.chance.choice(vfs.listdir("/log"))
        with suppress(FileNotFoundError):  # it may be the oldest
            return [*wrong_lines(vfs.read_bytes(f"/log/{name}").splitlines())]
        return []


def wrong_lines(lines: list[bytes]) -> Iterator[str]:
    """Yield what is torn, or does not follow the line before of the same writer."""
    last: dict[bytes, int] = {}
    for line in lines:
        checksum, _, text = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            yield f"log: torn: {line!r}"
            continue
        who, number, _ = text.split(b" ", 2)
        if int(number) != last.get(who, int(number) - 1) + 1:
            yield f"log: {who!r} wrote {number!r} after {last[who]}"
        last[who] = int(number)


class Pages(Work):
    """Files are replaced as a whole: each is always one that somebody wrote."""

    @staticmethod
    def lay_out(vfs: Vfs) -> None:
        for number in range(PAGES):
            vfs.write_bytes(f"/pages/{number}", page(number, 100))

    def step(self, vfs: Vfs) -> None:
        path = f"/pages/{self.chance.randrange(PAGES)}"
        size = self.chance.choice([0, 10, 60, 64, 65, 200, 1000, 20_000])
        written = page(self.chance.randrange(10**9), size)
        beside = f"/pages/.{self.who}"
        how = self.chance.randrange(4)
        if how == 0:
            vfs.write_bytes(path, written)
        elif how == 1:
            with vfs.atomic_batch(), vfs.open(path, "wb", 100) as file:
                file.write(written)
        elif how == 2:
            vfs.write_bytes(beside, written)
            vfs.replace(beside, path)
        else:
            vfs.copy(f"/pages/{self.chance.randrange(PAGES)}", beside)
            vfs.replace(beside, path)

    def look(self, vfs: Vfs) -> list[str]:
        return self.glance(vfs)

    def glance(self, vfs: Vfs) -> list[str]:
        """Look at one page, without a batch."""
        path = f"/pages/{self.chance.randrange(PAGES)}"
        content = vfs.read_bytes(path)
        return [] if is_page(content) else [f"pages: {path} is torn: {content[:40]!r}"]


def page(number: int, size: int) -> bytes:
    """Return bytes that tell whether they are whole."""
    body = (b"%d " % number) * (1 + size // len(b"%d " % number))
    return b"%08x " % zlib.crc32(body) + body


def is_page(content: bytes) -> bool:
    checksum, _, body = content.partition(b" ")
    return checksum == b"%08x" % zlib.crc32(body)


WORKS: Final[tuple[type[Work], ...]] = (
    Bank,
    Tokens,
    Counter,
    Log,
    Pages,
)

"""Looking in: what each layer says of a path, and where layers differ.

It asks layer by layer, where the view asks for one answer.
"""

from __future__ import annotations

from contextlib import closing
from stat import S_IFDIR, S_IFMT
from typing import TYPE_CHECKING, Final

from stratavfs._paths import ROOT, join, parent_of
from stratavfs._stack import LOCAL
from stratavfs.records import S_IFWHT, Change, Conflict, Explanation, LayerSay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stratavfs._layers import LayerStack
    from stratavfs._underlays import Member
    from stratavfs.records import Inode, VPath

_STEP: Final = 1 << 16  # bytes compared at once


# --- explain --------------------------------------------------------------------------


def explain(layers: LayerStack, path: VPath) -> Explanation:
    """Return what each layer says of *path*, and the rule that decides."""
    path = layers.locate(path, follow=False).path
    says = []
    winner: str | None = None
    merging = False
    hider: str | None = None
    for member in layers.stack.everybody():
        inode = member.find(path)
        what, stops = described(member, path, inode)
        rule = ""
        there = inode is not None and not inode.is_whiteout
        if hider is not None:
            rule = f"hidden by {hider}" if inode is not None else ""
        elif there and merging and not (inode and inode.is_directory):
            rule = "hidden: nothing merges with a directory but a directory"
            hider = member.name
        elif there and winner is None:
            winner, merging, rule = member.name, not stops, "answers"
        elif there:
            rule = "merges"
        elif stops:
            rule = "hides the layers below"
        if stops and hider is None:
            hider = member.name
        says.append(LayerSay(member.name, what, rule))
    return Explanation(path, says, winner)


def described(member: Member, path: VPath, inode: Inode | None) -> tuple[str, bool]:
    """Return what *member* has at *path* in words, and whether it hides the rest."""
    if inode is None:
        above = hiding_above(member, path)
        return ("nothing", False) if above is None else (f"nothing: {above}", True)
    if inode.is_whiteout:
        return "whiteout", True
    if inode.is_directory:
        if inode.opaque:
            return "directory, opaque", True
        above = hiding_above(member, path)
        return ("directory", False) if above is None else (f"directory; {above}", True)
    if inode.target is not None:
        return f"link to {inode.target}", True
    return f"file of {inode.size} bytes", True


def hiding_above(member: Member, path: VPath) -> str | None:
    """Return what of *member* above *path* hides the layers below, in words."""
    for directory in directories_above(path):
        inode = member.find(directory)
        if inode is None:
            return None
        if inode.is_whiteout:
            return f"{directory} is a whiteout"
        if not inode.is_directory:
            return f"{directory} is no directory"
        if inode.opaque:
            return f"{directory} is opaque"
    return None


def directories_above(path: VPath) -> list[VPath]:
    """Return the directories above *path* from the root down.

    >>> from stratavfs._paths import normalize
    >>> directories_above(normalize("/a/b")), directories_above(ROOT)
    (['/', '/a'], [])
    """
    found = []
    while path != ROOT:
        path = parent_of(path)
        found.append(path)
    return found[::-1]


# --- conflicts ------------------------------------------------------------------------


def which_layer(layers: LayerStack, path: VPath) -> str | None:
    """Return the name of the layer that answers for *path*, None if none has it."""
    kind, member = layers.answer(path)
    if not kind:
        entry = layers.locate(path, follow=False)
        if entry.inode is None:
            return None
        member = entry.member
    return LOCAL if member is None else member.name


def holders(layers: LayerStack, path: VPath) -> list[tuple[str, bool]]:
    """Return (name of the layer, whether it has *path*), hidden or not."""
    found: dict[str, bool] = {}
    for member in layers.stack.everybody():
        has = member.type_of(path) not in (0, S_IFWHT)
        found[member.name] = found.get(member.name, False) or has
    return [*found.items()]


def conflicts(layers: LayerStack, top: VPath) -> Iterator[Conflict]:
    """Yield the paths at and below *top* at which layers have something different."""
    entry = layers.locate(top, follow=False)
    entry.require()
    todo = [(entry.path, holders_of(layers.stack.everybody(), entry.path))]
    while todo:
        path, holders = todo.pop()
        names = [*dict.fromkeys(member.name for member in holders)]
        if len(names) < 2:  # noqa: PLR2004 - a conflict has two sides
            continue
        # Of an underlay that is a stack itself, the topmost layer speaks.
        rivals = {member.name: member for member in reversed(holders)}
        if not all_same([rivals[name] for name in names], path):
            yield Conflict(path, names[0], names)
        below = holders_in(directories_at(holders, path), path)
        todo += [(join(path, name), found) for name, found in below.items()]


def holders_of(members: list[Member], path: VPath) -> list[Member]:
    """Return those of *members* that have something at *path* nothing has deleted."""
    found = []
    for member in members:
        kind = member.type_of(path)
        if kind not in (0, S_IFWHT):
            found.append(member)
        # A file hides nothing at its own path, but what is above it may.
        if member.hides(path if kind in (S_IFDIR, S_IFWHT) else parent_of(path)):
            break
    return found


def directories_at(members: list[Member], path: VPath) -> list[Member]:
    """Return those of *members* whose directories merge at *path*."""
    found = []
    for member in members:
        if member.type_of(path) == S_IFDIR:
            found.append(member)
        if member.hides(path):
            break
    return found


def holders_in(members: list[Member], directory: VPath) -> dict[str, list[Member]]:
    """Return for each name who has something there that nothing has deleted."""
    found: dict[str, list[Member]] = {}
    deleted: set[str] = set()
    for member in members:
        for name, kind in member.kinds(directory):
            if kind == S_IFWHT:
                deleted.add(name)
            elif name not in deleted:
                found.setdefault(name, []).append(member)
                if kind == S_IFDIR and member.hides(join(directory, name)):
                    deleted.add(name)
    return found


def all_same(members: list[Member], path: VPath) -> bool:
    """Tell whether all of *members* have the same at *path*, attributes aside."""
    first, *others = members
    return all(is_same(first, other, path) for other in others)


def is_same(first: Member, second: Member, path: VPath) -> bool:
    """Tell whether both have the same type and content at *path*."""
    one, two = first.find(path), second.find(path)
    if one is None or two is None or S_IFMT(one.mode) != S_IFMT(two.mode):
        return False
    if not one.is_file:
        return one.target == two.target
    return is_same_content(first, second, path)


def is_same_content(first: Member, second: Member, path: VPath) -> bool:
    """Tell whether both have the same bytes at *path*, a piece at a time."""
    one, two = first.open_file(path), second.open_file(path)
    if one is None or two is None:
        return False
    ours, theirs = memoryview(bytearray(_STEP)), memoryview(bytearray(_STEP))
    with closing(one), closing(two):
        offset, size = 0, one.size() or 0
        if size != two.size():
            return False
        while offset < size:
            stored = [one.next_data(offset), two.next_data(offset)]
            begins = [at for at in stored if at is not None]
            if not begins:
                break  # a hole in both, up to the end
            offset = min(begins)
            count = one.read_into(offset, ours) or 0
            if two.read_into(offset, theirs) != count:
                return False
            if not count or ours[:count] != theirs[:count]:
                return False
            offset += count
    return True


# --- changes --------------------------------------------------------------------------


def changes(layers: LayerStack, top: VPath) -> Iterator[Change]:
    """Yield what the local layer changes at and below *top*, in no order."""
    local = layers.stack.everybody()[0]
    todo = [layers.locate(top, follow=False).path]
    while todo:
        path = todo.pop()
        mine, below = local.find(path), layers.find_below(path)
        if mine is None:
            if below is not None and local.hides(parent_of(path)):
                yield Change(path, "deleted")
            continue
        kind = None if path == ROOT else change_of(local, mine, path, below)
        if kind is not None:
            yield Change(path, kind)
        if mine.is_directory:
            names = {name for name, _ in local.kinds(path)}
            if local.hides(path):
                names |= layers.names_below(path)
            todo += [join(path, name) for name in names]


def change_of(
    local: Member, mine: Inode, path: VPath, below: tuple[Member, Inode] | None
) -> str | None:
    """Return what kind of change *mine*, at *path*, is to what is *below*; or None."""
    if mine.is_whiteout:
        return None if below is None else "deleted"
    if below is None:
        return "added"
    member, theirs = below
    if S_IFMT(mine.mode) != S_IFMT(theirs.mode):
        return "type changed"
    if not mine.is_directory and not is_same(local, member, path):
        return "modified"
    same = attributes(mine) == attributes(theirs)
    if same and dict(local.xattrs(path)) == dict(member.xattrs(path)):
        return None
    return "metadata"


def attributes(inode: Inode) -> tuple[object, ...]:
    """Return what counts as metadata; a directory's time changes with each name.

    The time of access does not count: on a host it changes with each reading.
    """
    kept = (inode.mode, inode.uid, inode.gid, inode.owner, inode.group)
    return kept if inode.is_directory else (*kept, inode.mtime_ns)

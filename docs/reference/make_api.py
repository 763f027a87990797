"""Write api.md from the docstrings; a test compares the page with what this prints.

python docs/reference/make_api.py > docs/reference/api.md
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from typing import TYPE_CHECKING

import stratavfs
from stratavfs import (
    AccessTrace,
    Batch,
    Change,
    Conflict,
    DirEntry,
    Explanation,
    Finding,
    GrepMatch,
    LayerSay,
    Progress,
    Repair,
    Savepoint,
    StatResult,
    Stats,
    TransferReport,
    Usage,
    VirtualFileSystem,
)
from stratavfs.archives import (
    ArchiveFormat,
    ArchiveMember,
    ArchiveWriter,
    formats,
    register_format,
)
from stratavfs.layers import DirectoryLayer, Inode, Layer, LeastLayer, ZipLayer
from stratavfs.testing import LayerConformance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAYER = vars(LeastLayer) | vars(Layer)
RECORDS = (
    *(StatResult, DirEntry, Explanation, LayerSay, Conflict, Change),
    *(Finding, Repair, Progress, Stats, TransferReport, GrepMatch, Usage),
)
SCOPES = (Batch, Savepoint, AccessTrace)

BANNER = re.compile(r"^    # --- (.+?) -+$", re.MULTILINE)
METHOD = re.compile(r"^    (?:def (\w+)\(|(\w+) = (\w+)$)", re.MULTILINE)

HEAD = """\
# API

`from stratavfs import VirtualFileSystem`. This page is made from the docstrings by
`docs/reference/make_api.py`.

Paths are `str` or `os.PathLike[str]`, absolute with `/`; a relative one starts at the
root. Errors are those of [errors](errors.md). Public besides what follows: the
exceptions {exceptions}.
"""


def page() -> str:
    """Return the whole page."""
    names = [name for name in stratavfs.__all__ if is_exception(name)]
    exceptions = ", ".join(f"`{name}`" for name in names)
    parts = [HEAD.format(exceptions=exceptions), "## VirtualFileSystem\n"]
    parts.append(signature("VirtualFileSystem", VirtualFileSystem.__init__))
    parts.append(text_of(VirtualFileSystem))
    for section, methods in sections():
        parts.append(f"## {section[0].upper()}{section[1:]}\n")
        parts.extend(entry(name) for name in methods)
    parts.extend(text for kind in SCOPES for text in scope(kind))
    parts.append("## Records\n")
    parts.extend(record(kind) for kind in RECORDS)
    parts.append("## stratavfs.layers\n")
    for layer in (DirectoryLayer, ZipLayer):
        parts.append(f"### {layer.__name__}\n")
        parts.append(signature(layer.__name__, layer.__init__))
        parts.append(text_of(layer))
    parts.append(f"### Layer\n\n{text_of(Layer)}")
    parts.extend(verb(name) for name in LAYER if is_verb(name))
    parts.append(record(Inode))
    parts.append("## stratavfs.archives\n")
    parts.extend(called(function) for function in (formats, register_format))
    for protocol in (ArchiveFormat, ArchiveWriter):
        parts.extend(scope(protocol))
    parts.append(record(ArchiveMember))
    parts.append("## stratavfs.testing\n")
    parts.append(f"### LayerConformance\n\n{text_of(LayerConformance)}")
    return "\n".join(parts)


def is_exception(name: str) -> bool:
    value = getattr(stratavfs, name)
    return inspect.isclass(value) and issubclass(value, Exception)


def sections() -> list[tuple[str, list[str]]]:
    """Return the banners of the class with the public methods below each."""
    source = inspect.getsource(sys.modules[VirtualFileSystem.__module__])
    source = source[source.index("class VirtualFileSystem") :]
    _, *pieces = BANNER.split(source)
    found = []
    for title, body in zip(pieces[::2], pieces[1::2], strict=True):
        names = [one or other for one, other, _ in METHOD.findall(body)]
        public = [name for name in dict.fromkeys(names) if not name.startswith("_")]
        if public:
            found.append((title, public))
    return found


def is_verb(name: str) -> bool:
    return not name.startswith("_") and inspect.isfunction(LAYER[name])


def verb(name: str) -> str:
    """Return one question that a layer is asked."""
    function = LAYER[name]
    return f"#### Layer.{name}\n\n{signature(name, function)}\n{text_of(function)}"


def entry(name: str) -> str:
    value = inspect.getattr_static(VirtualFileSystem, name)
    if isinstance(value, property):
        return f"### {name}\n\nProperty. {text_of(value)}"
    if value.__name__ != name:
        return f"### {name}\n\nThe same as `{value.__name__}`.\n"
    return f"### {name}\n\n{signature(name, value)}\n{text_of(value)}"


def called(function: Callable[..., object]) -> str:
    name = function.__name__
    return f"### {name}\n\n{signature(name, function)}\n{text_of(function)}"


def scope(kind: type) -> Iterator[str]:
    """Yield what a batch, a savepoint or a trace is, and its methods."""
    yield f"### {kind.__name__}\n\n{text_of(kind)}"
    for name, value in vars(kind).items():
        verb = value.__func__ if isinstance(value, classmethod) else value
        if inspect.isfunction(verb) and not name.startswith("_"):
            called = f"{kind.__name__}.{name}"
            yield f"#### {called}\n\n{signature(called, verb)}\n{text_of(verb)}"


def signature(name: str, function: object) -> str:
    """Return the call in one line, without annotations."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()  # type: ignore[arg-type]
        if parameter.name not in ("self", "cls")
    ]
    text = str(inspect.Signature(parameters))
    text = re.sub(r"<built-in function (\w+)>", r"time.\1", text)
    return f"```text\n{name}{text}\n```\n"


def text_of(value: object) -> str:
    """Return a docstring as Markdown: sections as they are, examples as code."""
    text = inspect.getdoc(value) or ""
    text = re.sub(r":(?:meth|func|mod|class):`~[\w.]+\.(\w+)`", r"`\1`", text)
    text = re.sub(r":(?:meth|func|mod|class):`([^`]+)`", r"`\1`", text)
    text = text.replace("``", "`")
    lines: list[str] = []
    for block in re.split(r"\n\n", text):
        first = block.splitlines()[0] if block else ""
        if ">>>" in block:
            title, _, code = block.rpartition("Example:\n")
            example = textwrap.dedent(code if title or _ else block)
            lines.append(f"```pycon\n{example}\n```")
        elif re.fullmatch(r"(Args|Raises|Warns|Returns):", first):
            lines.append(f"*{first}*\n\n{listed(block)}")
        else:
            lines.append(block)
    return "\n\n".join(lines) + "\n"


def listed(block: str) -> str:
    """Return the items of a section as a list."""
    body = textwrap.dedent("\n".join(block.splitlines()[1:]))
    items = re.split(r"\n(?=\S)", body)
    return "\n".join(f"- {' '.join(item.split())}" for item in items)


def record(kind: type) -> str:
    fields = getattr(kind, "_fields", ())
    properties = [
        name
        for name, value in vars(kind).items()
        if isinstance(value, property) and not name.startswith("_")
    ]
    methods = [
        name
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    ]
    parts = [f"### {kind.__name__}\n", text_of(kind)]
    if fields:
        parts.append(f"Fields: {', '.join(f'`{name}`' for name in fields)}.\n")
    if properties:
        parts.append(f"Properties: {', '.join(f'`{name}`' for name in properties)}.\n")
    if methods:
        parts.append(f"Methods: {', '.join(f'`{name}()`' for name in methods)}.\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")

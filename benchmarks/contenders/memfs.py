"""pyfunc's memfs: a dictionary of paths, all of which are looked at for a listing."""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contenders.bare import FOR_ONE, Bare
from benchmarks.contenders.protocol import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.contenders.protocol import Verb


class Memfs(Bare):
    def __init__(self) -> None:
        fs: Any = fresh_module().MemoryFS()
        self._fs = fs
        self.write, self.read, self.open = fs.writefilebytes, fs.readfilebytes, fs.open
        self.exists, self.listdir = fs.exists, fs.listdir
        self.makedirs, self.rename = fs.makedirs, fs.rename

    def walk(self, key: str) -> int:
        return sum(len(names) for _, _, names in self._fs.walk(key))


def fresh_module() -> Any:
    """Load its module anew: it keeps the files of all instances in one global."""
    spec = find_spec("memfs.memfs")  # ModuleNotFoundError without the package
    if spec is None or spec.loader is None:
        message = "No module named 'memfs.memfs'"
        raise ImportError(message)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LACKS: Final[Mapping[Verb, str]] = {
    "size": "it has no stat",
    "glob": "it has none",
    "rmtree": "it has none",
    "threads": FOR_ONE,
}
KINDS = (Kind("memfs", "memory", lambda _: Memfs(), package="memfs", lacks=LACKS),)

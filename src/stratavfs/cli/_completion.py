"""Completion: what a half-written command line may become.

bash, zsh and fish hand over the line up to the cursor; it is read by the rules of
:mod:`stratavfs.cli._shell_words`, and each answer is quoted as the line was. Containers
are opened without locks and without making a file; what goes wrong is no answer, since
nobody who presses a key has asked for an error.
"""

from __future__ import annotations

import os
import posixpath
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from click.shell_completion import CompletionItem, ShellComplete

from stratavfs import VirtualFileSystem, _sql
from stratavfs.cli import _shell_words
from stratavfs.cli._containers import VARIABLE, Desk
from stratavfs.cli._places import Place, Reader
from stratavfs.cli._shell_words import Line, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import click

ASKED: Final = "_STRATAVFS_COMPLETE"
"""Environment variable: the shell that asks."""
_LINE: Final = "_STRATAVFS_LINE"  # the command line up to the cursor
_BREAKS: Final = "_STRATAVFS_BREAKS"  # characters at which bash ends words: COMP_...

# The first bytes of an SQLite database, and where it holds the id of its application.
_MAGIC: Final = b"SQLite format 3\0"
_ID: Final = slice(68, 72)


# --- what an argument may be ----------------------------------------------------------


def complete(
    ctx: click.Context,
    param: click.Parameter,
    incomplete: str,
    *,
    host: bool = False,
) -> list[CompletionItem[str]]:
    """Return what the place *incomplete* may become.

    Args:
        ctx: Context of the command; that of a shell holds its desk.
        param: The argument; not looked at.
        incomplete: The text so far, without quotes.
        host: Whether it may be a file of the host as well.
    """
    del param
    with suppress(OSError, ValueError, LookupError):
        desk = ctx.find_object(Desk)
        if desk is not None and desk.inside:
            return _items(_in_shell(desk, incomplete))
        return _items(_in_command(incomplete, host=host))
    return []


def complete_container(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the container files, and directories, that *incomplete* may become."""
    del ctx, param
    with suppress(OSError, ValueError):
        names = _host_names(incomplete)
        return _items(name for name in names if name[-1:] == "/" or _is_container(name))
    return []


def complete_host(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the files and directories of the host that *incomplete* may become."""
    del ctx, param
    with suppress(OSError, ValueError):
        return _items(_host_names(incomplete))
    return []


def _items(values: Iterator[str]) -> list[CompletionItem[str]]:
    return [CompletionItem(value) for value in sorted(values)]


def _in_shell(desk: Desk, typed: str) -> Iterator[str]:
    place = desk.place(typed)
    if place.container != desk.default:
        return _in_container(typed, f"{place.container}:")
    start = len(_prefix(place, typed))
    vfs = desk.open(place)
    return (typed[:start] + path for path in paths(vfs, typed[start:], desk.directory))


def _in_command(typed: str, *, host: bool) -> Iterator[str]:
    default = os.environ.get(VARIABLE) or None
    reader = Reader(default, windows=os.name == "nt")
    read = reader.any_place if host else reader.container_place
    if ":" in typed or (default and not host and typed.startswith("/")):
        place = read(typed, os.path.isfile)
        prefix = _prefix(place, typed)
        if not place.is_host and (prefix or place.container == default):
            return _in_container(typed, prefix, place.container or "")
    return _host_places(typed, host=host)


def _prefix(place: Place, typed: str) -> str:
    """Return what of *typed*, the text of *place*, comes before the path."""
    prefixes = (f"{place.container}:", ":")
    return next((prefix for prefix in prefixes if typed.startswith(prefix)), "")


def _in_container(typed: str, prefix: str, container: str = "") -> Iterator[str]:
    with _looking_into(container or prefix[:-1]) as vfs:
        found = [*paths(vfs, typed[len(prefix) :] or "/")]
    return (prefix + path for path in found)


def paths(vfs: VirtualFileSystem, typed: str, directory: str = "/") -> Iterator[str]:
    """Yield the paths that *typed* may become, directories with a slash at the end.

    >>> vfs = VirtualFileSystem()
    >>> vfs.touch("/art/a.png")
    >>> list(paths(vfs, "/ar")), list(paths(vfs, "a", "/art")), list(paths(vfs, "x"))
    (['/art/'], ['a.png'], [])
    """
    head, slash, tail = typed.rpartition("/")
    with vfs.scandir(posixpath.join(directory, head + slash) or "/") as found:
        for entry in found:
            if entry.name.startswith(tail):
                end = "/" if entry.is_dir() else ""
                yield f"{head}{slash}{entry.name}{end}"


@contextmanager
def _looking_into(container: str) -> Iterator[VirtualFileSystem]:
    """Return a context with *container*, in which no file is made.

    A read-only connection makes ``-wal`` and ``-shm`` where they are missing; an
    immutable one does not, and does not see what is in the log of a killed process.
    """
    container = os.path.expanduser(container)
    in_use = all(os.path.exists(container + end) for end in ("-wal", "-shm"))
    with VirtualFileSystem(container, read_only=True, immutable=not in_use) as vfs:
        yield vfs


def _host_places(typed: str, *, host: bool) -> Iterator[str]:
    for name in _host_names(typed):
        is_container = name[-1:] != "/" and _is_container(name)
        if is_container:
            yield f"{name}:"
        if host or name[-1:] == "/":
            yield name


def _host_names(typed: str) -> Iterator[str]:
    head, tail = os.path.split(typed)
    head = typed[: len(typed) - len(tail)]
    with os.scandir(os.path.expanduser(head) or ".") as found:
        for entry in found:
            if entry.name.startswith(tail) and _is_text(entry.name):
                yield f"{head}{entry.name}{'/' if entry.is_dir() else ''}"


def _is_text(name: str) -> bool:
    """Tell whether *name* is UTF-8: others no shell would be handed as they are."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def _is_container(name: str) -> bool:
    """Tell whether the file *name* is a container, by its first bytes.

    Only in a program of its own: closing a database's file drops the locks on it.
    """
    path = os.path.expanduser(name)
    if not os.path.isfile(path):  # a pipe would keep its reader waiting
        return False
    try:
        with open(path, "rb") as stream:
            head = stream.read(_ID.stop)
    except OSError:
        return False
    return head.startswith(_MAGIC) and (
        int.from_bytes(head[_ID], "big") == _sql.APPLICATION_ID
    )


# --- a line ---------------------------------------------------------------------------


class Answers(NamedTuple):
    """What a line may become: values of its last word."""

    word: Word
    """The last word, as far as it is written."""
    items: list[CompletionItem[str]]


def answers(app: click.Command, line: Line, desk: Desk | None = None) -> Answers:
    """Return what the last word of *line*, words for *app*, may become.

    Values are whole words, not quoted yet, as the command lists them.
    """
    word = line.last if line.last is not None else Word()
    items: list[CompletionItem[str]] = []
    if not line.in_comment:
        # Whatever a command's own code thinks of half a command line.
        with suppress(Exception):
            words: list[str] = [*line.words]
            items = _Words(app, {"obj": desk}, "", "").of(words, str(word))
    return Answers(word, items)


class _Words(ShellComplete):
    """click's completion, of words that are split already."""

    name = "words"
    source_template = ""

    def of(self, words: list[str], incomplete: str) -> list[CompletionItem[str]]:
        found = self.get_completions(words, incomplete)
        option, equals, rest = incomplete.partition("=")
        if not (equals and option.startswith("-")):
            option, equals, rest = "", "", incomplete
        whole: list[CompletionItem[str]] = []
        for item in found:
            if item.type in ("file", "dir"):
                values = [*_host_names(rest)]
            else:
                values = [item.value]
            whole += [
                CompletionItem(option + equals + value, help=item.help)
                for value in values
                if value.startswith(rest)
            ]
        return whole


def is_finished(value: str) -> bool:
    """Tell whether a word is complete with *value*; a directory's may go on.

    >>> is_finished("a.png"), is_finished("art/"), is_finished("game.db:")
    (True, False, False)
    """
    return not value.endswith(("/", ":"))


def inserted(values: Sequence[str], word: Word, cut: int = 0) -> list[str]:
    r"""Return *values* from index *cut* on, quoted as *word*, which they complete, is.

    What they begin with alike is quoted alike, and ends in no half of an escape.

    >>> _, word, _ = _shell_words.scan('cat "my')
    >>> inserted(["my dir/"], word), inserted(["my dir/"], Word("my"))
    (['my dir/'], ['my\\ dir/'])
    >>> inserted(["my dir/", "my's"], Word("my"))
    ['my dir/', "my's"]
    """
    texts = [_inserted(value, word, cut) for value in values]
    alike = _alike(values)
    begin = _inserted(alike, word, cut)
    if _alike(texts) == begin:
        return texts
    return [begin + value[len(alike) :] for value in values]


def _alike(texts: Sequence[str]) -> str:
    """Return what all *texts* begin with.

    >>> _alike(["art/a", "art/b"]), _alike([])
    ('art/', '')
    """
    first, last = min(texts, default=""), max(texts, default="")
    length = next((at for at, sign in enumerate(first) if last[at] != sign), len(first))
    return first[:length]


def _inserted(value: str, word: Word, cut: int) -> str:
    if word.quote in ("'", '"'):
        return _shell_words.quoted(value[cut:], word.quote)
    if cut == 0 and value.startswith("~") and word.bare[:1] == (True,):
        return "~" + _shell_words.quoted(value[1:], start=1)
    return _shell_words.quoted(value[cut:], start=cut)


# --- shells ---------------------------------------------------------------------------


def answer(app: click.Command) -> None:
    """Print what a shell asks for by its environment."""
    line = _shell_words.scan(os.environ.get(_LINE, ""))
    write = _WRITERS.get(os.environ.get(ASKED, ""))
    if write is not None and line.words:  # the first is this program
        found = answers(app, line._replace(words=line.words[1:]))
        sys.stdout.buffer.write("".join(write(found)).encode())
        sys.stdout.buffer.flush()


def _for_bash(found: Answers) -> Iterator[str]:
    """Yield what bash is to put in the place of what it takes for the word.

    For bash a word begins at an open quote, or after a colon or another of
    COMP_WORDBREAKS. An open quote it closes itself.
    """
    word = found.word
    breaks = os.environ.get(_BREAKS, "")
    cuts = [
        at
        for at, (sign, bare) in enumerate(zip(word, word.bare, strict=True), 1)
        if bare and sign in breaks
    ]
    in_quotes = word.quote in ("'", '"')
    cut = word.quoted_from if in_quotes else max(cuts, default=0)
    values = [item.value for item in found.items]
    for value, text in zip(values, inserted(values, word, cut), strict=True):
        space = " " if is_finished(value) and not in_quotes else ""
        yield f"{text}{space}\0"


def _for_zsh(found: Answers) -> Iterator[str]:
    for item in found.items:
        yield f"{item.value}\0"


def _for_fish(found: Answers) -> Iterator[str]:
    for item in found.items:
        if "\n" not in item.value:  # which would be two
            help_ = " ".join((item.help or "").split())
            yield f"{item.value}\t{help_}\n"


_WRITERS: Final = {"bash": _for_bash, "zsh": _for_zsh, "fish": _for_fish}

SCRIPTS: Final = {
    "bash": """\
# Completion of stratavfs in bash:  eval "$(stratavfs completion bash)"
_stratavfs_completion() {
    local found
    COMPREPLY=()
    while IFS= read -r -d '' found; do
        COMPREPLY+=("$found")
    done < <(
        _STRATAVFS_COMPLETE=bash _STRATAVFS_LINE="${COMP_LINE:0:COMP_POINT}" \\
            _STRATAVFS_BREAKS="$COMP_WORDBREAKS" "${1/#\\~/$HOME}" 2>/dev/null
    )
}
complete -o nospace -F _stratavfs_completion stratavfs
""",
    "zsh": """\
#compdef stratavfs
# Completion of stratavfs in zsh:  eval "$(stratavfs completion zsh)"
_stratavfs_completion() {
    local found line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX"
    local -a finished unfinished
    while IFS= read -r -d '' found; do
        case $found in
            */|*:) unfinished+=("$found") ;;
            *) finished+=("$found") ;;
        esac
    done < <(
        _STRATAVFS_COMPLETE=zsh _STRATAVFS_LINE=$line ${(Q)words[1]} 2>/dev/null
    )
    compadd -S '' -a unfinished
    compadd -a finished
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _stratavfs_completion "$@"
else
    compdef _stratavfs_completion stratavfs
fi
""",
    "fish": """\
# Completion of stratavfs in fish:  stratavfs completion fish | source
function _stratavfs_completion
    set -l line (commandline -cp | string collect)
    env _STRATAVFS_COMPLETE=fish _STRATAVFS_LINE=$line stratavfs 2>/dev/null
end
complete -c stratavfs -f -a '(_stratavfs_completion)'
""",
}
"""The text that makes a shell ask, of each shell."""

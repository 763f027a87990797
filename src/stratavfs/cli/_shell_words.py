r"""Words: how a line falls into words, and how a name is written as one.

The rules are the POSIX shell's: blanks separate, quotes and backslashes keep characters
as they are, ``#`` at the start of a word begins a comment; and bash's ``$'\n'`` writes
what has no other form. There are no variables and no operators. Pure functions; an
unfinished line, as a completion meets it, is read as far as it goes.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_BLANK: Final = " \t\r\n"
_GLOB: Final = "*?["
_PLAIN: Final = frozenset("@%+=:,./~^-_")
_IN_DOUBLE: Final = '"\\$`'
_OPERATORS: Final = ("|", "||", "&", "&&", ";", "<", ">", ">>", "2>", "2>&1", "&>")
_ESCAPE: Final = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})"
    r"|(.))",
    re.DOTALL,
)
_NAMED: Final = {"a": 7, "b": 8, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_WRITTEN: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


class Word(str):
    """A word of a line: its text without the quotes, and where it stood.

    >>> word, = split("'*'.p?g")
    >>> word, word.pattern
    ('*.p?g', '[*].p?g')
    """

    __slots__ = ("bare", "quote", "quoted_from", "start")
    bare: tuple[bool, ...]
    """Of each character, whether it stood outside of quotes."""
    quote: str
    r"""What is still open at its end: ``'``, ``"``, ``$'``, ``\``, or nothing."""
    quoted_from: int
    """Index in the text where that was opened."""
    start: int
    """Index in the line."""

    def __new__(
        cls,
        text: str = "",
        *,
        bare: tuple[bool, ...] = (),
        quote: str = "",
        quoted_from: int = 0,
        start: int = 0,
    ) -> Self:
        """Return the word of *text*."""
        word = super().__new__(cls, text)
        word.bare, word.quote = bare, quote
        word.quoted_from, word.start = quoted_from, start
        return word

    @property
    def pattern(self) -> str:
        """The text as a glob pattern, in which what was quoted means itself."""
        return self.pattern_from(0)

    def pattern_from(self, start: int) -> str:
        """Return the pattern of what begins at index *start*."""
        return "".join(
            sign if bare else literal(sign)
            for sign, bare in zip(self[start:], self.bare[start:], strict=True)
        )

    @property
    def is_pattern(self) -> bool:
        """Whether something in it, unquoted, makes it a glob pattern."""
        return any(
            sign in _GLOB and bare for sign, bare in zip(self, self.bare, strict=True)
        )


def literal(text: str) -> str:
    """Return *text* as a glob pattern that means itself.

    >>> literal("a[1]*")
    'a[[]1][*]'
    """
    return "".join(f"[{sign}]" if sign in _GLOB else sign for sign in text)


class Line(NamedTuple):
    """A line as far as it goes: the complete words, and the one it ends in."""

    words: list[Word]
    last: Word | None
    """What the line ends in; None after a blank."""
    in_comment: bool = False


def split(line: str) -> list[Word]:
    r"""Return the words of *line*.

    >>> split(r'''cp "a b" it\'s $'x\ny' ''  # a comment''')
    ['cp', 'a b', "it's", 'x\ny', '']

    Raises:
        ValueError: a quote is open at its end, or there is an operator of other shells.
    """
    words, last, _ = scan(line)
    if last is not None:
        if last.quote:
            raise ValueError(
                "a backslash ends the line: a command is one line"
                if last.quote == "\\"
                else f"no closing quote for {last.quote}"
            )
        words.append(last)
    for word in words:
        if word in _OPERATORS and all(word.bare):
            message = f"here is no {word}: write '{word}' to mean the word"
            raise ValueError(message)
    return words


def scan(line: str) -> Line:
    """Return the words of *line*, the last of which may be unfinished.

    >>> line = scan('ls "my d')
    >>> line.words, line.last, line.last.quote, line.last.start
    (['ls'], 'my d', '"', 3)
    """
    words: list[Word] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _BLANK:
            at += 1
        if at == len(line):
            return Line(words, None)
        if line[at] == "#":
            return Line(words, None, in_comment=True)
        reading = _Reading(line, at)
        word = reading.word()
        at = reading.at
        if at == len(line):
            return Line(words, word)
        words.append(word)


class _Reading:
    """The reading of one word, from its first character on."""

    def __init__(self, line: str, at: int) -> None:
        self.line, self.at, self.start = line, at, at
        self.text = ""
        self.bare: list[bool] = []
        self.quote, self.quoted_from = "", 0

    def word(self) -> Word:
        while self.at < len(self.line) and self.line[self.at] not in _BLANK:
            self._part()
        return Word(
            self.text,
            bare=tuple(self.bare),
            quote=self.quote,
            quoted_from=self.quoted_from,
            start=self.start,
        )

    def _part(self) -> None:
        for opening, read in (("'", self._single), ('"', self._double)):
            if self.line[self.at] == opening:
                self._quoted(opening, read)
                return
        if self.line.startswith("$'", self.at):
            self._quoted("$'", self._escaped)
        elif self.line[self.at] == "\\":
            self._quoted("\\", self._one)
        else:
            self._add(self.line[self.at], bare=True)
            self.at += 1

    def _quoted(self, opening: str, read: Callable[[], bool]) -> None:
        self.at += len(opening)
        self.quoted_from = len(self.text)
        if not read():
            self.quote = opening
            self.at = len(self.line)

    def _add(self, text: str, *, bare: bool = False) -> None:
        self.text += text
        self.bare += [bare] * len(text)

    def _one(self) -> bool:
        """Read the character after a backslash; tell whether there was one."""
        self._add(self.line[self.at : self.at + 1])
        self.at += 1
        return self.at <= len(self.line)

    def _single(self) -> bool:
        """Read up to the closing quote; tell whether there was one."""
        end = self.line.find("'", self.at)
        self._add(self.line[self.at : end if end >= 0 else None])
        self.at = end + 1
        return end >= 0

    def _double(self) -> bool:
        while self.at < len(self.line):
            sign = self.line[self.at]
            self.at += 1
            if sign == '"':
                return True
            follower = self.line[self.at : self.at + 1]
            if sign == "\\" and (not follower or follower in _IN_DOUBLE):
                sign = follower
                self.at += 1
            self._add(sign)
        return False

    def _escaped(self) -> bool:
        found = b""
        while self.at < len(self.line):
            sign = self.line[self.at]
            if sign == "'":
                self.at += 1
                self._add(found.decode("utf-8", "surrogateescape"))
                return True
            escape = _ESCAPE.match(self.line, self.at)
            if escape:
                found += _meaning(escape)
            elif sign != "\\":  # one at the end is unfinished
                found += sign.encode("utf-8", "surrogateescape")
            self.at = escape.end() if escape else self.at + 1
        self._add(found.decode("utf-8", "surrogateescape"))
        return False


def _meaning(escape: re.Match[str]) -> bytes:
    r"""Return the bytes of an escape in ``$'...'``; other shells' ls writes octal ones.

    >>> split(r"$'\303\251\u00e9\x41\q'")
    ['ééA\\q']
    """
    octal, byte, short, long, sign = escape.groups()
    if octal or byte:
        return bytes([int(octal, 8) & 255 if octal else int(byte, 16)])
    if short or long:
        code = int(short or long, 16)
        return chr(code).encode("utf-8", "replace") if code <= sys.maxunicode else b"?"
    if sign in _NAMED:
        return bytes([_NAMED[sign]])
    return (sign if sign in "\\'\"?" else f"\\{sign}").encode("utf-8", "replace")


# --- writing --------------------------------------------------------------------------


def quoted(text: str, quote: str = "", start: int = 0) -> str:
    r"""Return *text* as a word of this shell, of bash and of zsh.

    Every character is written by itself: what several names begin with, so do their
    words; a completion can insert just that.

    Args:
        text: The name.
        quote: What it stands in, of what :attr:`Word.quote` may be; it is left open.
        start: Index of *text* in its word.

    >>> print(quoted("my file"), quoted("it's"), quoted("a\nb"), quoted("say", '"'))
    my\ file it\'s a$'\n'b say
    >>> print(quoted("a b\n$", '"'), quoted("it's", "'"))
    a b"$'\n'"\$ it'\''s
    """
    if quote == '"':
        return "".join(map(_in_double, text))
    if quote == "'":
        return "".join(map(_in_single, text))
    return "".join(_bare(sign, at) for at, sign in enumerate(text, start))


def _bare(sign: str, at: int) -> str:
    if sign.isalnum() or (sign in _PLAIN and (at or sign != "~")):
        return sign
    if _is_shown(sign):
        return sign if sign > "\x7f" else f"\\{sign}"
    return _in_dollars(sign)


def _in_double(sign: str) -> str:
    if sign in _IN_DOUBLE:
        return f"\\{sign}"
    if sign == "!":  # bash looks for it in double quotes too
        return '"\\!"'
    return sign if _is_shown(sign) else f'"{_in_dollars(sign)}"'


def _in_single(sign: str) -> str:
    if sign == "'":
        return "'\\''"
    return sign if _is_shown(sign) else f"'{_in_dollars(sign)}'"


def _is_shown(sign: str) -> bool:
    return sign.isprintable() or "\udc80" <= sign <= "\udcff"


def _in_dollars(sign: str) -> str:
    if sign in _WRITTEN:
        return f"$'{_WRITTEN[sign]}'"
    octets = "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", "replace"))
    return f"$'{octets}'"

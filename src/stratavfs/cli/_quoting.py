"""Quoting: how a stranger's name is shown, so that no terminal obeys it.

In a pipe names are written as they are, as coreutils does. Pure functions.
"""

from __future__ import annotations

_SPECIAL = frozenset(" !\"$&'()*;<=>?[\\^`|")
_IN_DOUBLE = frozenset('!"$\\`')
_NAMED = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r"}


def is_safe(text: str) -> bool:
    r"""Tell whether a terminal shows all of *text*, and obeys nothing in it.

    >>> is_safe("é x"), is_safe("\x1b[2J"), is_safe("a\u202eb")
    (True, False, False)
    """
    return text.isprintable()


def harmless(text: str) -> str:
    r"""Return *text* as it is if it is safe, else quoted for a shell.

    >>> print(harmless("a b"), harmless("a\nb"))
    a b 'a'$'\n''b'
    """
    return text if is_safe(text) else quoted(text)


def quoted(text: str) -> str:
    r"""Return *text* as ``ls`` shows a name on a terminal: ready for a shell.

    >>> print(quoted("a"), quoted("a b"), quoted("it's"), quoted("a\x1b\n"))
    a 'a b' "it's" 'a'$'\033\n'
    """
    if is_safe(text):
        if _is_plain(text):
            return text
        if "'" in text and not any(sign in _IN_DOUBLE for sign in text):
            return f'"{text}"'
    first = "" if text and is_safe(text[0]) else "''"
    return first + "".join(map(_part, _runs(text)))


def _is_plain(text: str) -> bool:
    """Tell whether a shell takes all of *text* as it is."""
    if not text or text in ("{", "}") or text[0] in "#~":
        return False
    return not any(sign in _SPECIAL for sign in text)


def _runs(text: str) -> list[str]:
    """Return runs of characters that are all safe, or all not, in turn."""
    runs: list[str] = []
    for sign in text:
        if runs and is_safe(runs[-1]) == is_safe(sign):
            runs[-1] += sign
        else:
            runs.append(sign)
    return runs


def _part(run: str) -> str:
    if is_safe(run):
        return "'" + run.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escape, run)) + "'"


def _escape(sign: str) -> str:
    if ord(sign) in _NAMED:
        return "\\" + _NAMED[ord(sign)]
    return "".join(f"\\{byte:03o}" for byte in sign.encode("utf-8", "surrogateescape"))


def one_line(text: str) -> str:
    r"""Return *text*, a message, in one line that no terminal obeys.

    >>> print(one_line("a\nb\x1b"))
    a\nb\x1b
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)

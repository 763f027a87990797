"""Spans: pure functions that put runs of bytes over one another."""

from __future__ import annotations


def place(data: bytes, at: int, view: memoryview, filled: int) -> int:
    r"""Copy *data* to position *at* of *view*, of which *filled* bytes are done.

    What lies outside the view is left out, a gap before it becomes zeros. Returns the
    bytes done after it.

    >>> view = memoryview(bytearray(b"......"))
    >>> place(b"abc", -1, view, 0), place(b"xyz", 4, view, 2), bytes(view)
    (2, 6, b'bc\x00\x00xy')
    """
    begin, end = max(at, filled), min(at + len(data), len(view))
    if begin >= end:
        return filled
    view[filled:begin] = bytes(begin - filled)
    view[begin:end] = memoryview(data)[begin - at : end - at]
    return end


def spliced(old: bytes, start: int, data: memoryview) -> bytes:
    r"""Return *old* with *data* written at *start*, zeros where it was too short.

    >>> spliced(b"abcd", 1, memoryview(b"XY")), spliced(b"", 2, memoryview(b"Z"))
    (b'aXYd', b'\x00\x00Z')
    """
    return b"".join((old[:start].ljust(start, b"\0"), data, old[start + len(data) :]))

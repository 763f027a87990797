"""Metadata of applications: JSON values as extended attributes, one for each key.

JSON is meant as RFC 8259 has it: what is set can be read by any other program, and what
another program, or a stranger, has left there is looked at before it is believed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stratavfs import errors
from stratavfs._paths import checked_text

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "user.metadata."
"""What the name of each attribute begins with; the key follows."""

DEPTH: Final = 200
"""Arrays and objects within one another: some Pythons read no more than a thousand."""


def encoded(mapping: Mapping[str, Any]) -> dict[str, bytes]:
    """Return *mapping* as attributes: their names, and their values as JSON in UTF-8.

    >>> encoded({"tags": ("a", "ä"), "size": {"y": 2, "x": 1}})["user.metadata.size"]
    b'{"x":1,"y":2}'

    Raises:
        InvalidType: it is no mapping, a key is no ``str``, or JSON has no such value.
        InvalidArgument: a key is empty, holds NUL or a surrogate; or a value is not
            finite, holds itself or a surrogate, or is nested too deeply.
    """
    if not isinstance(mapping, Mapping):
        message = f"metadata should be a mapping, not {type(mapping).__name__}"
        raise errors.InvalidType(message)
    return {_attribute(key): _json_of(key, value) for key, value in mapping.items()}


def decoded(xattrs: Mapping[str, bytes], path: str) -> dict[str, Any]:
    """Return the metadata that is among *xattrs*, those of *path*, sorted by key.

    >>> decoded({"user.metadata.a": b"[1, 2]", "user.other": b"?"}, "/x")
    {'a': [1, 2]}

    Raises:
        OSError: (EINVAL) an attribute is no JSON: something else has written it.
    """
    found = {}
    for name in sorted(name for name in xattrs if name.startswith(PREFIX)):
        try:
            found[name.removeprefix(PREFIX)] = _value_of(xattrs[name])
        except (ValueError, RecursionError) as error:
            too_deep = isinstance(error, RecursionError)
            why = "it is nested too deeply" if too_deep else str(error)
            raise errors.bad_metadata(path, name, why) from error
    return found


def canonical(value: bytes) -> bytes | None:
    """Return the JSON *value* as all equal to it are written; None if it is none.

    ``1`` and ``1.0`` are one number; ``true`` is none.

    >>> canonical(b'{"b": 1.0, "a": 2}') == canonical(b'{"a":2,"b":1}')
    True
    >>> canonical(b"1") == canonical(b"true"), canonical(b"NaN")
    (False, None)
    """
    try:
        return _written(json.loads(value.decode(), parse_float=_number))
    except (ValueError, RecursionError):
        return None


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


# --- one key, one value ---------------------------------------------------------------


def _attribute(key: str) -> str:
    if not isinstance(key, str):
        message = f"a key of metadata should be str, not {type(key).__name__}"
        raise errors.InvalidType(message)
    if not key:
        message = "a key of metadata is not empty"
        raise errors.InvalidArgument(message)
    return checked_text(PREFIX + key)


def _json_of(key: str, value: object) -> bytes:
    try:
        json.dumps(value, allow_nan=False)  # sees whether it holds itself
        _look_into(value)
        return _written(value)
    except errors.InvalidType:
        raise
    except TypeError as error:
        message = f"metadata {key!r} is nothing that JSON has: {error}"
        raise errors.InvalidType(message) from error
    except UnicodeEncodeError as error:
        message = f"metadata {key!r} cannot be encoded as UTF-8 (it holds a surrogate)"
        raise errors.InvalidArgument(message) from error
    except RecursionError as error:
        message = f"metadata {key!r} is nested too deeply; keep it in a file of its own"
        raise errors.InvalidArgument(message) from error
    except ValueError as error:
        message = f"metadata {key!r} is nothing that JSON has: {error}"
        raise errors.InvalidArgument(message) from error


def _look_into(value: object) -> None:
    """Refuse keys that JSON would make text of, and too great a depth.

    *value* does not hold itself.
    """
    todo = [(value, 0)]
    while todo:
        at, depth = todo.pop()
        inner: Iterable[object] = ()
        if isinstance(at, dict):
            inner = at.values()
            for key in at:
                if not isinstance(key, str):
                    message = f"a key in metadata should be str, not {key!r}"
                    raise errors.InvalidType(message)
        elif isinstance(at, list | tuple):
            inner = at
        if depth > DEPTH:
            raise RecursionError
        todo += [(part, depth + 1) for part in inner]


def _written(value: object) -> bytes:
    """Return *value* as JSON, always in the same way.

    Raises:
        ValueError: it holds a number that is not finite, or a surrogate.
    """
    return json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    ).encode()


def _value_of(stored: bytes) -> Any:
    value = json.loads(stored.decode())
    _written(value)  # json reads more than JSON: NaN, 1e999, half a surrogate pair
    return value

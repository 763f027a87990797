"""The command ``stratavfs``, which the extra ``stratavfs[cli]`` brings."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit, as ``stratavfs`` and ``python -m stratavfs``."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:  # while it was loaded
        print("stratavfs: interrupted", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _run() -> int:
    try:
        import click  # noqa: F401, PLC0415 - they may not be there
        import rich  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        message = (
            "stratavfs: the command needs more packages: pip install 'stratavfs[cli]'"
        )
        print(message, file=sys.stderr)  # noqa: T201
        return 2
    from stratavfs.cli import _app  # noqa: PLC0415

    return _app.main()

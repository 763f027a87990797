"""``python -m stratavfs``: the command line."""

from __future__ import annotations

from stratavfs.cli import main

if __name__ == "__main__":
    main()

"""Benchmarks of stratavfs beside what it is measured against; see README.md.

Run with ``python -m benchmarks``. Nothing here is imported by the library.
"""

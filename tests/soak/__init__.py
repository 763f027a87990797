"""The soak: processes and threads on one container for as long as one likes.

``python -m tests.soak --minutes 5 --seed 1`` starts round after round of workers, which
work, are killed, run out of disk, time and luck, and looks after each round for
anything that is not as it must be. The works are those of ``tests/concurrency`` too.
"""

# SPDX-License-Identifier: Apache-2.0
"""Work for all processors whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from lkcloud.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS_VARIABLE = "LKCLOUD_WORKERS"
"""Says how many threads work at a time, where it is not to be one for each processor."""

_AHEAD = 2  # items a worker that may be in work or done: bounds the memory, and what Ctrl-C waits for


def workers() -> int:
    """Return LKCLOUD_WORKERS, or else the number of processors that this process may use.

    Raises UsageError if the variable is no number above 0.
    """
    value = os.environ.get(WORKERS_VARIABLE)
    if value:
        if not (value.isascii() and value.isdecimal() and int(value) > 0):
            raise UsageError(
                f"{WORKERS_VARIABLE} is no number of threads: {value!r}",
                hint=f"set {WORKERS_VARIABLE} to 1 or more, or unset it",
            )
        return int(value)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, name: str) -> Generator[Result]:
    """Yield WORK of each of ITEMS, in their order, done in as many threads, called NAME, as `workers` says.

    Raises what WORK raises, at its place in the order, and what `workers` raises. When the generator ends or is closed,
    no thread is left.
    """
    count = workers()
    with ThreadPoolExecutor(count, thread_name_prefix=name) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

# SPDX-License-Identifier: Apache-2.0
"""Work for all processors whose results come in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items a worker that may be in work or done: bounds the memory, and what Ctrl-C waits for


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, name: str) -> Generator[Result]:
    """Yield WORK of each of ITEMS, in their order, done in as many threads, called NAME, as there are processors.

    Raises what WORK raises, at its place in the order. When the generator ends or is closed, no thread is left.
    """
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > _AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

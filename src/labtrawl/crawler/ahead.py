"""Reading ahead: some requests under way at once, their answers in order."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def ahead(calls: Iterable[Callable[[], Awaitable[T]]], width: int) -> AsyncGenerator[T]:
    """Yield the result of each call in order, with at most `width` of them under way.

    The first call that raises ends it with its error, after the results before it. Close it when
    you leave early: what is under way is cancelled then, not before.
    """
    waiting: deque[asyncio.Future[T]] = deque()
    try:
        for call in calls:
            waiting.append(asyncio.ensure_future(call()))
            if len(waiting) >= width:
                yield await waiting[0]
                del waiting[0]
        while waiting:
            yield await waiting[0]
            del waiting[0]
    finally:
        for future in waiting:
            future.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

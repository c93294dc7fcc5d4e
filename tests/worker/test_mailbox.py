"""News for a client who may be slower than the device."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from worker.mailbox import Mailbox


def work() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


async def read(news: AsyncGenerator[str, None]) -> list[str]:
    async with asyncio.timeout(10):
        return [piece async for piece in news]


async def test_the_newest_of_each_kind_is_read_in_the_order_it_came() -> None:
    mailbox, done = Mailbox[str](), work()
    for key, piece in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        mailbox.put(key, piece)
    done.set_result(None)
    assert await read(mailbox.follow(done)) == ["b1", "a2"]


async def test_news_are_read_as_they_come() -> None:
    mailbox, done = Mailbox[str](), work()
    async with aclosing(mailbox.follow(done)) as news:
        for piece in ("first", "second"):
            waiting = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0)
            assert not waiting.done()
            mailbox.put("a", piece)
            assert await asyncio.wait_for(waiting, 10) == piece


async def test_what_comes_while_a_slow_client_reads_is_not_lost() -> None:
    mailbox, done = Mailbox[str](), work()
    mailbox.put("a", "a1")
    async with aclosing(mailbox.follow(done)) as news:
        assert await anext(news) == "a1"
        for piece in ("a2", "a3"):
            mailbox.put("a", piece)
        done.set_result(None)
        assert await read(news) == ["a3"]


@pytest.mark.parametrize("ending", ["result", "error", "cancelled"])
async def test_it_ends_with_the_work_however_that_ends(ending: str) -> None:
    mailbox, done = Mailbox[str](), work()
    reading = asyncio.ensure_future(read(mailbox.follow(done)))
    await asyncio.sleep(0)
    if ending == "result":
        done.set_result(None)
    elif ending == "error":
        done.set_exception(ZeroDivisionError())
    else:
        done.cancel()
    assert await reading == []
    if ending == "error":
        assert isinstance(done.exception(), ZeroDivisionError)


async def test_a_reader_that_is_cancelled_leaves_no_task() -> None:
    mailbox, done = Mailbox[str](), work()
    before = asyncio.all_tasks()
    reading = asyncio.ensure_future(read(mailbox.follow(done)))
    for _ in range(3):
        await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait((reading,))
    assert asyncio.all_tasks() <= before
    assert not done.done()

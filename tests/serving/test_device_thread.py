"""One thread, in order, and what a cancelled caller leaves behind."""

import asyncio
import threading

import pytest

from serving.device_thread import DeviceThread


async def test_everything_runs_in_one_thread_in_the_order_it_was_given() -> None:
    device, order, threads = DeviceThread(), list[int](), set[int]()

    def work(number: int) -> int:
        order.append(number)
        threads.add(threading.get_ident())
        return number * 2

    results = await asyncio.gather(*(device.run(work, number) for number in range(100)))
    await device.close()
    assert results == [number * 2 for number in range(100)]
    assert order == list(range(100))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_an_exception_reaches_the_caller_and_the_thread_goes_on() -> None:
    device = DeviceThread()
    with pytest.raises(ZeroDivisionError):
        await device.run(lambda: 1 / 0)
    assert await device.run(int, "12", base=3) == 5
    await device.close()


async def test_a_cancelled_callers_work_is_dropped_unless_it_has_begun() -> None:
    device, begun, release, done = DeviceThread(), threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        release.wait()
        done.append("first")

    running = asyncio.create_task(device.run(first))
    waiting = asyncio.create_task(device.run(done.append, "second"))
    await asyncio.to_thread(begun.wait)
    for task in (running, waiting):
        task.cancel()
    await asyncio.wait((running, waiting))
    assert running.cancelled()  # at once, though the thread is still at it
    assert waiting.cancelled()
    release.set()
    await device.run(done.append, "third")
    await device.close()
    assert done == ["first", "third"]


async def test_close_waits_for_what_has_begun_and_drops_the_rest() -> None:
    device, begun, release, done = DeviceThread(), threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        release.wait()
        done.append("first")

    running = asyncio.create_task(device.run(first))
    waiting = asyncio.create_task(device.run(done.append, "second"))
    await asyncio.to_thread(begun.wait)
    closing = asyncio.create_task(device.close())
    await asyncio.wait((waiting,))
    assert not closing.done()
    release.set()
    await closing
    await running
    assert waiting.cancelled()
    assert done == ["first"]

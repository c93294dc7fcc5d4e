"""Sends mutated calls to running servers, several at a time, and tallies how they took it.

A call is wrong when it is answered with INTERNAL or UNKNOWN, or not at all. Between the calls a request that nobody has
mutated has to give the same picture every time. Each call follows from the seed and its number.
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from imagegen.v1.decoder_pb2 import DecoderServiceStreamImg2ImgRequest
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import EncodePromptRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from scripts.fuzz.messages import Method, methods, small_request, wire
from scripts.fuzz.servers import CHECKPOINT, Process, servers

_AT_A_TIME = 12
_DEADLINES_SECONDS = (0.01, 0.1, 2.0, 2.0, 2.0)
# Beyond any deadline: who has not answered by then hangs.
_HANG_SECONDS = 60.0
_CHECK_EVERY = 500
# Caches are full by then. What an allocator does not give back later is not growth, within reason.
_SETTLED_AFTER = 2000
_GROWTH_MIB = 64
_WRONG = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


@dataclass
class Tally:
    """What became of the calls.

    Attributes:
        statuses: how often each status and reason was the answer.
        wrong: numbers of calls whose answer blames the server.
        hung: numbers of calls that were not answered.
        changed: how often the unmutated request gave another picture.
        crashed: tiers whose server has ended.
        settled_bytes: memory of each tier after the first calls, when its caches are full.
        grown_bytes: how much more it was at the end.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[int] = field(default_factory=list)
    hung: list[int] = field(default_factory=list)
    changed: int = 0
    crashed: list[str] = field(default_factory=list)
    settled_bytes: dict[str, int] = field(default_factory=dict)
    grown_bytes: dict[str, int] = field(default_factory=dict)

    @property
    def grown_mib(self) -> float:
        """`grown_bytes` of all tiers, in MiB."""
        return sum(self.grown_bytes.values()) / 2**20

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.wrong or self.hung or self.changed or self.crashed) and self.grown_mib <= _GROWTH_MIB


class Fuzzer:
    """Sends calls to running servers."""

    def __init__(self, processes: Mapping[str, Process], seed: int) -> None:
        self._processes = processes
        self._seed = seed
        self._channels = {tier: grpc.aio.insecure_channel(each.address) for tier, each in processes.items()}
        self._sketch = (CHECKPOINT.parent / "sketch.png").read_bytes()
        self._methods: list[Method] = []
        self._picture = b""
        self.tally = Tally()

    async def prepare(self) -> None:
        """Ask for what the samples are made of."""
        request = small_request(self._sketch)
        images = ImageServiceStub(self._channels["gateway"])
        encode = EncodePromptRequest(prompt=request.prompt, params=request.prior)
        embeddings = (await images.EncodePrompt(encode)).embeddings
        stream = DecoderServiceStreamImg2ImgRequest(checkpoint_every_steps=1)
        stream.request.MergeFrom(
            type(stream.request)(prompt="p", image=self._sketch, params=request.params, embeddings=embeddings)
        )
        events = [event async for event in DecoderServiceStub(self._channels["decoder"]).StreamImg2Img(stream)]
        checkpoint = next(event.checkpoint for event in events if event.HasField("checkpoint"))
        self._methods = methods(self._sketch, embeddings, checkpoint)
        self._picture = await self._unmutated()

    async def run(self, calls: int, first: int = 0) -> None:
        """Send so many, from a number on."""
        started = time.monotonic()
        for start in range(first, first + calls, _CHECK_EVERY):
            await self._send(range(start, min(start + _CHECK_EVERY, first + calls)))
            self.tally.changed += await self._unmutated() != self._picture
            self.tally.crashed = [tier for tier, process in self._processes.items() if process.has_crashed]
            done = start + _CHECK_EVERY - first
            self._weigh(settled=done <= _SETTLED_AFTER)
            grown = ", ".join(f"{tier} {size / 2**20:+.0f} MiB" for tier, size in self.tally.grown_bytes.items())
            print(f"{done} calls, {time.monotonic() - started:.0f} s, {grown}", flush=True)
            if self.tally.crashed:
                return

    async def close(self) -> None:
        """Close the channels."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _send(self, numbers: range) -> None:
        waiting = iter(numbers)  # shared: each of the senders takes the next

        async def sender() -> None:
            for number in waiting:
                await self._one(number)

        await asyncio.gather(*(sender() for _ in range(_AT_A_TIME)))

    async def _one(self, number: int) -> None:
        dice = random.Random(f"{self._seed}-{number}")  # noqa: S311 - not for secrets
        method = dice.choice(self._methods)
        data, deadline_seconds = wire(dice, method), dice.choice(_DEADLINES_SECONDS)
        try:
            async with asyncio.timeout(_HANG_SECONDS):
                status = await self._answer(method, data, deadline_seconds)
        except TimeoutError:
            self.tally.hung.append(number)
            status = "no answer"
        self.tally.statuses[status] += 1
        if status.partition(" ")[0] in {code.name for code in _WRONG}:
            self.tally.wrong.append(number)
            print(f"call {number}, {method.name}: {status}", file=sys.stderr)

    async def _answer(self, method: Method, data: bytes, deadline_seconds: float) -> str:
        channel: Any = self._channels[method.tier]  # bytes go through it as they are
        try:
            if method.streams:
                async for _ in channel.unary_stream(method.name)(data, timeout=deadline_seconds):
                    pass
            else:
                await channel.unary_unary(method.name)(data, timeout=deadline_seconds)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {_reason(error)}"
        return "OK"

    async def _unmutated(self) -> bytes:
        """The picture of the request that nobody has mutated."""
        answer = await ImageServiceStub(self._channels["gateway"]).Img2Img(
            small_request(self._sketch), timeout=_HANG_SECONDS
        )
        return bytes(answer.result.images[0].data)

    def _weigh(self, *, settled: bool) -> None:
        held = {tier: each.resident_bytes() for tier, each in self._processes.items() if not each.has_crashed}
        if settled:
            self.tally.settled_bytes = held
        self.tally.grown_bytes = {tier: size - self.tally.settled_bytes[tier] for tier, size in held.items()}


def _reason(error: grpc.aio.AioRpcError) -> str:
    status, info = rpc_status.from_call(error), ErrorInfo()
    for detail in () if status is None else status.details:
        if detail.Unpack(info):
            return str(info.reason)
    return f"({error.details()})"


async def trial(calls: int, logs: Path, seed: int = 0, first: int = 0) -> Tally:
    """Start servers, whose logs go into the folder, and send so many calls from a number on."""
    with servers(logs) as processes:
        fuzzer = Fuzzer(processes, seed)
        try:
            await fuzzer.prepare()
            await fuzzer.run(calls, first)
        finally:
            await fuzzer.close()
    return fuzzer.tally

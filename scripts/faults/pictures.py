"""A set of requests whose pictures are known, and what became of each time that one of them was sent."""

import asyncio
import enum
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from imagegen.v1.decoder_pb2 import Img2ImgParams, SchedulerType
from imagegen.v1.gateway_pb2 import Img2ImgRequest, StreamImg2ImgRequest
from imagegen.v1.prior_pb2 import PriorParams

_SKETCH = Path(__file__).resolve().parents[2] / "demo" / "sketch.png"
_PROMPTS = ("a red circle", "a blue square on grass", "three green triangles", "a yellow star at night")
_SCHEDULERS = (SchedulerType.SCHEDULER_TYPE_DDIM, SchedulerType.SCHEDULER_TYPE_DDPM)

# What takes longer than this hangs.
DEADLINE_SECONDS = 120.0


class Ending(enum.Enum):
    """How a request ended."""

    RIGHT = "right picture"
    WRONG = "wrong picture"
    UNAVAILABLE = "UNAVAILABLE, typed"
    REFUSED = "RESOURCE_EXHAUSTED, typed"
    INTERNAL = "INTERNAL"
    LOST = "lost"


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        ending: how it ended.
        began_seconds: when it was sent (monotonic).
        ended_seconds: when it ended.
        retries: how often the gateway moved it, as its receipt says.
        detail: of an error.
        tier: of which a worker was missing.
        retry_after_seconds: when to come back.
    """

    ending: Ending
    began_seconds: float
    ended_seconds: float
    retries: int = 0
    detail: str = ""
    tier: str = ""
    retry_after_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_seconds - self.began_seconds

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError, began_seconds: float) -> "Outcome":
        """Of a request that has failed now."""
        info, retry_after = _details(error)
        is_typed = info is not None and retry_after is not None
        endings = {
            grpc.StatusCode.INTERNAL: Ending.INTERNAL,
            grpc.StatusCode.UNAVAILABLE: Ending.UNAVAILABLE if is_typed else Ending.LOST,
            grpc.StatusCode.RESOURCE_EXHAUSTED: Ending.REFUSED if is_typed else Ending.LOST,
        }
        return cls(
            ending=endings.get(error.code(), Ending.LOST),
            began_seconds=began_seconds,
            ended_seconds=time.monotonic(),
            detail=f"{error.code().name}: {error.details()}",
            tier="" if info is None else info.metadata.get("tier", ""),
            retry_after_seconds=retry_after,
        )


def requests(count: int, steps: int) -> list[Img2ImgRequest]:
    """Different requests of so many UNet steps each: prompts, seeds and samplers that draw noise among them."""
    sketch = _SKETCH.read_bytes()
    made = []
    for number in range(count):
        params = Img2ImgParams(num_inference_steps=steps, strength=1.0, seed=number)
        params.scheduler = _SCHEDULERS[number % len(_SCHEDULERS)]
        prior = PriorParams(num_inference_steps=2)
        made.append(Img2ImgRequest(prompt=_PROMPTS[number % len(_PROMPTS)], image=sketch, params=params, prior=prior))
    return made


class Asker:
    """Sends the requests of a set and compares what comes with the pictures that are right."""

    def __init__(self, stub: Any, asked: Sequence[Img2ImgRequest]) -> None:
        self._stub = stub
        self._asked = asked
        self._right: list[bytes] = []

    async def learn(self) -> None:
        """Ask for each picture once, undisturbed."""
        for request in self._asked:
            answer = await self._stub.Img2Img(request, timeout=DEADLINE_SECONDS)
            self._right.append(answer.result.images[0].data)

    async def ask(self, number: int) -> Outcome:
        """Send a request of the set and see what becomes of it. A picture that comes twice is a wrong one."""
        number %= len(self._asked)
        began = time.monotonic()
        pictures, retries = [], 0
        try:
            request = StreamImg2ImgRequest(request=self._asked[number])
            async for event in self._stub.StreamImg2Img(request, timeout=DEADLINE_SECONDS):
                if event.HasField("result"):
                    pictures.append(event.result.images[0].data)
                    retries = event.result.receipt.retries
        except grpc.aio.AioRpcError as error:
            return Outcome.of(error, began)
        ending = Ending.RIGHT if pictures == [self._right[number]] else Ending.WRONG
        return Outcome(ending, began, time.monotonic(), retries)

    async def ask_many(self, count: int, at_once: int, seconds: float = math.inf) -> list[Outcome]:
        """Send so many requests, or as many as can be begun in the time, so many of them at once."""
        numbers, outcomes = iter(range(count)), list[Outcome]()
        end = time.monotonic() + seconds

        async def keep_asking() -> None:
            while time.monotonic() < end and (number := next(numbers, None)) is not None:
                outcome = await self.ask(number)
                outcomes.append(outcome)
                if outcome.retry_after_seconds is not None:
                    await asyncio.sleep(outcome.retry_after_seconds)

        await asyncio.gather(*(keep_asking() for _ in range(at_once)))
        return outcomes


def tally(outcomes: Iterable[Outcome]) -> str:
    """How they ended, in words."""
    counts = Counter(outcome.ending for outcome in outcomes)
    return ", ".join(f"{count} {ending.value}" for ending, count in counts.most_common())


def _details(error: grpc.aio.AioRpcError) -> tuple[Any, float | None]:
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    has_info, retry_after = False, None
    for detail in () if status is None else status.details:
        has_info = detail.Unpack(info) or has_info
        if detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    return (info if has_info else None), retry_after

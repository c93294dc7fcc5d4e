"""Three ways to serve jobs on one simulated device, with a virtual clock. Each returns when each job was done."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.batching.curve import Curve
from serving.batching.limits import Limits
from serving.batching.planner import plan
from serving.batching.table import Table
from serving.batching.work import Request, Row, Shape, Stage

SHAPE = Shape(512, 512)


@dataclass(frozen=True)
class Job:
    """A request of one image.

    Attributes:
        arrival_seconds: when it comes.
        steps: how many it needs.
        tenant: who sent it.
    """

    arrival_seconds: float
    steps: int
    tenant: str = ""


def one_at_a_time(jobs: Sequence[Job], curve: Curve) -> list[float]:
    """First come, first served, each job alone from its first step to its last."""
    step_seconds = curve.step_seconds(Stage.STEP, SHAPE, 1)
    free_seconds, done = 0.0, []
    for job in jobs:
        free_seconds = max(free_seconds, job.arrival_seconds) + job.steps * step_seconds
        done.append(free_seconds)
    return done


def whole_requests(jobs: Sequence[Job], curve: Curve, largest: int, window_seconds: float) -> list[float]:
    """Dynamic batching as model servers do it: gather a batch, up to a window, and run it until its longest is done."""
    free_seconds, done = 0.0, list[float]()
    while len(done) < len(jobs):
        candidates = jobs[len(done) : len(done) + largest]
        closed_seconds = candidates[0].arrival_seconds + window_seconds
        if len(candidates) == largest:
            closed_seconds = min(closed_seconds, candidates[-1].arrival_seconds)
        start_seconds = max(free_seconds, closed_seconds)
        batch = [job for job in candidates if job.arrival_seconds <= start_seconds]
        longest = max(job.steps for job in batch)
        free_seconds = start_seconds + longest * curve.step_seconds(Stage.STEP, SHAPE, len(batch))
        done += [free_seconds] * len(batch)
    return done


def step_level(jobs: Sequence[Job], curve: Curve, limits: Limits) -> list[float]:
    """The planner, asked before each action."""
    done = [0.0] * len(jobs)
    table, now_seconds, coming = Table(), 0.0, 0
    while table or coming < len(jobs):
        if not table:
            now_seconds = max(now_seconds, jobs[coming].arrival_seconds)
        while coming < len(jobs) and jobs[coming].arrival_seconds <= now_seconds:
            table = table.add([_row(coming, jobs[coming])])
            coming += 1
        batch = plan(table, curve, limits, now_seconds)
        if batch is None:
            raise RuntimeError(f"no action for {table}")
        seconds = curve.step_seconds(batch.kind.stage, batch.kind.shape, batch.evaluations)
        now_seconds += seconds
        table = table.advance(batch, seconds)
        for row in batch.rows:
            if row.request.request_id not in table:
                done[int(row.row_id)] = now_seconds
    return done


def _row(index: int, job: Job) -> Row:
    request = Request(str(index), SHAPE, 1, job.arrival_seconds, tenant=job.tenant)
    return Row(str(index), request, Stage.ENCODE, job.steps)

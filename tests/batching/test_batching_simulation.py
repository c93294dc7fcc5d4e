"""The planner against what servers usually do, on a simulated device; steps five times as long as in the benchmark."""

import pytest

from benchmarks.batching.policies import Job, one_at_a_time, step_level, whole_requests
from benchmarks.batching.simulate import (
    ACCELERATOR,
    BUCKETS,
    LINEAR,
    LOAD,
    Figures,
    compare,
    of_jobs,
    poisson_trace,
    saturated,
)
from serving.batching.limits import Limits

JOBS = poisson_trace(6000, LOAD, seed=0, steps=(5, 10, 20))


@pytest.fixture(scope="module")
def linear() -> dict[str, Figures]:
    return compare(JOBS, LINEAR, Limits(BUCKETS))


@pytest.fixture(scope="module")
def accelerator() -> dict[str, Figures]:
    return compare(JOBS[:2500], ACCELERATOR, Limits(BUCKETS))


def test_where_company_saves_nothing_requests_are_faster_and_the_tail_is_no_longer(linear: dict[str, Figures]) -> None:
    single, planner = linear["one at a time"], linear["planner"]
    assert planner.throughput >= 0.97 * single.throughput
    assert planner.mean_seconds <= 0.8 * single.mean_seconds
    assert planner.slowdown_p95 <= 0.4 * single.slowdown_p95
    assert planner.p99_seconds <= 1.1 * single.p99_seconds


def test_where_company_is_cheap_requests_hardly_wait(accelerator: dict[str, Figures]) -> None:
    single, planner = accelerator["one at a time"], accelerator["planner"]
    assert planner.slowdown_p95 <= 0.15 * single.slowdown_p95
    assert planner.p99_seconds <= 0.5 * single.p99_seconds


@pytest.mark.parametrize("device", ["linear", "accelerator"])
def test_whole_request_batches_are_far_behind(device: str, request: pytest.FixtureRequest) -> None:
    rows: dict[str, Figures] = request.getfixturevalue(device)
    assert rows["planner"].slowdown_p95 <= 0.25 * rows["whole-request batches"].slowdown_p95


def test_at_saturation_company_nearly_doubles_the_throughput() -> None:
    crowd = compare(saturated(JOBS[:300]), ACCELERATOR, Limits(BUCKETS))
    assert crowd["planner"].throughput >= 1.8 * crowd["one at a time"].throughput


def test_policies_do_what_they_say_on_a_trace_worked_by_hand() -> None:
    jobs = [Job(0.0, 10), Job(1.0, 2), Job(2.0, 4)]
    assert one_at_a_time(jobs, LINEAR) == [10.0, 12.0, 16.0]
    assert whole_requests(jobs, ACCELERATOR, largest=2, window_seconds=5.0) == pytest.approx([15.0, 15.0, 19.0])
    assert step_level(jobs, LINEAR, Limits(ageing=0.0)) == [16.0, 3.0, 7.0]


def test_figures_are_those_of_a_trace_worked_by_hand() -> None:
    jobs = [Job(0.0, 10), Job(10.0, 5)]
    worked = of_jobs(jobs, [20.0, 20.0])
    assert (worked.throughput, worked.mean_seconds, worked.p99_seconds, worked.slowdown_p95) == (0.1, 15.0, 20.0, 2.0)

"""What bench-growth asks for and how it is reported, without servers."""

import asyncio
import itertools
import json
from dataclasses import fields
from types import SimpleNamespace

import pytest

from benchmarks.growth.cases import BASE, BUSY, Case, Decoders, cases, rows
from benchmarks.growth.measuring import Figures, measure
from benchmarks.growth.report import record_line, result_line, table
from imagegen.v1.common_pb2 import TIER_DECODER, Receipt


@pytest.fixture
def figures() -> dict[Case, Figures]:
    """As if only the number of evaluations mattered, and workers shared them."""
    seconds = {case: case.side_px**2 * case.steps * case.pictures / case.decoders.workers / 10**6 for case in cases()}
    return {case: Figures(taken, case.pictures / taken) for case, taken in seconds.items()}


def test_each_row_differs_from_the_base_in_one_thing():
    def differences(case: Case, base: Case) -> int:
        return sum(getattr(case, field.name) != getattr(base, field.name) for field in fields(Case))

    for row in rows():
        base = BUSY if row.varied.startswith("workers") else BASE
        assert differences(row.case, base) <= 1


def test_no_case_is_measured_twice_and_the_base_comes_first():
    assert cases()[0] == BASE
    assert len(set(cases())) == len(cases())
    assert {row.case for row in rows()} == set(cases())


def test_the_table_has_a_line_for_each_row_and_shows_the_base_as_one(figures):
    lines = table(rows(), figures).splitlines()
    assert len(lines) == 2 + len(rows())
    assert {line.split(" | ")[3] for line in lines if "(base)" in line} == {"1.00"}


def test_the_record_is_one_line_with_a_result_for_each_row(figures):
    line = record_line(rows(), figures, rounds=3)
    assert "\n" not in line
    assert len(json.loads(line)["results"]) == len(rows())


def test_the_result_compares_most_with_least(figures):
    assert result_line(figures) == (
        "RESULT bench-growth size_256_vs_64=16.000 steps_50_vs_5=10.000 batch_4_vs_1=4.000 "
        "at_once_8_throughput_vs_1=1.000 workers_2_throughput_vs_1=2.000"
    )


class StandIn:
    """A gateway that makes no pictures; its workers take turns, and its receipts say what they are told to."""

    def __init__(self, decoders: Decoders, lost_steps: int = 0) -> None:
        self.seeds: list[int] = []
        self._workers = itertools.cycle(range(decoders.workers))
        self._lost_steps = lost_steps

    async def img2img(self, _image, _prompt, *, seed, num_images, num_inference_steps, **_options):
        self.seeds += range(seed, seed + num_images)
        await asyncio.sleep(0)
        receipt = Receipt(denoising_steps=num_images * num_inference_steps - self._lost_steps, cache_hit=True)
        receipt.workers.add(tier=TIER_DECODER, worker=str(next(self._workers)))
        return SimpleNamespace(receipt=receipt)


async def test_every_case_is_measured_and_no_picture_has_the_seed_of_another():
    clients = {decoders: StandIn(decoders) for decoders in Decoders}
    figures = await measure(cases(), clients, b"picture", rounds=2)
    assert list(figures) == cases()
    assert all(found.seconds > 0 and found.pictures_per_second > 0 for found in figures.values())
    seeds = [seed for client in clients.values() for seed in client.seeds]
    assert len(set(seeds)) == len(seeds)


async def test_a_request_that_cost_something_else_is_no_measurement():
    clients = {decoders: StandIn(decoders, lost_steps=1) for decoders in Decoders}
    with pytest.raises(RuntimeError, match="a request has cost"):
        await measure(cases(), clients, b"picture", rounds=1)


async def test_a_second_worker_that_gets_no_work_is_no_measurement():
    clients = {decoders: StandIn(Decoders.ONE) for decoders in Decoders}
    with pytest.raises(RuntimeError, match="the work was done by"):
        await measure(cases(), clients, b"picture", rounds=1)

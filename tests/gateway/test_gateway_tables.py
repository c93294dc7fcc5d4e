"""What the gateway keeps of each worker: work sent, pace, record; and the budget for retries. All pure."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.liveness import Liveness
from gateway.outliers import Record
from gateway.pace import Pace, decoder_units, prior_units
from gateway.receipts import Attempt, merge
from gateway.retry_budget import RetryBudget
from gateway.sent_work import SentWork
from imagegen.v1.common_pb2 import Bucket, Receipt, WorkerStatus, WorkerUse
from imagegen.v1.decoder_pb2 import (
    DecoderInfo,
    Img2ImgLimits,
    Img2ImgParams,
    Progress,
)
from imagegen.v1.prior_pb2 import PriorInfo, PriorLimits, PriorParams

DECODER = DecoderInfo(
    defaults=Img2ImgParams(
        width=512, height=512, num_inference_steps=100, strength=0.3, guidance_scale=7, num_images=1
    ),
    limits=Img2ImgLimits(
        granularity_px=64, max_num_inference_steps=1000, max_num_images=8, max_pixels=2**20, max_side_px=2048
    ),
)
PRIOR = PriorInfo(
    defaults=PriorParams(num_inference_steps=25, guidance_scale=4),
    limits=PriorLimits(max_num_inference_steps=1000, max_num_embeddings=8, max_items=16),
)


def test_what_was_sent_counts_until_a_report_includes_it() -> None:
    work = SentWork()
    work.report(5.0, 10.0)
    first, second = work.send(2.0), work.send(3.0)
    assert work.queued_seconds(10.0) == 10
    first.arrived = True
    work.report(6.0, 11.0)
    assert work.queued_seconds(11.0) == 9
    work.end(second)
    assert work.queued_seconds(11.0) == 6
    assert len(work) == 1


def test_a_worker_gets_on_between_two_reports_but_not_for_ever() -> None:
    work = SentWork()
    work.report(5.0, 10.0)
    assert work.queued_seconds(10.25) == 4.75
    assert work.queued_seconds(20.0) == 4.5
    work.report(0.1, 20.0)
    assert work.queued_seconds(20.25) == 0


def test_the_pace_is_that_of_the_smallest_bucket() -> None:
    buckets = [
        Bucket(rows=4, width=512, height=512, step_seconds=9),
        Bucket(rows=1, width=64, height=128, step_seconds=2, overhead_seconds=3),
    ]
    assert Pace(buckets).seconds(64 * 128 * 2 * 10) == pytest.approx(3 + 10 * 2)


def test_the_pace_is_learnt_and_is_that_of_an_undisturbed_device() -> None:
    pace = Pace()
    assert pace.seconds(100) == 0
    pace.learn(100, 10.0, 1.0)
    assert pace.seconds(200) == pytest.approx(21)
    pace.learn(100, 100.0, 1.0)  # the device was shared
    assert pace.seconds(200) == pytest.approx(22, rel=0.01)
    pace.learn(100, 5.0, 1.0)
    assert pace.seconds(200) == pytest.approx(11)


@pytest.mark.parametrize(
    ("params", "units"),
    [
        (Img2ImgParams(), 30 * 2 * 512 * 512),
        (Img2ImgParams(num_images=3, guidance_scale=1), 3 * 30 * 512 * 512),
        (Img2ImgParams(width=65, height=64), 30 * 2 * 128 * 64),
        (Img2ImgParams(num_inference_steps=10, strength=1, guidance_scale=0), 10 * 512 * 512),
    ],
)
def test_a_decoders_work_is_counted_with_the_checkpoints_defaults(params: Img2ImgParams, units: float) -> None:
    assert decoder_units(params, DECODER) == units


def test_a_priors_work_is_counted_with_the_checkpoints_defaults() -> None:
    assert prior_units(2, PriorParams(), PRIOR) == 100
    assert prior_units(1, PriorParams(guidance_scale=0, num_inference_steps=5), PRIOR) == 5


@pytest.mark.parametrize(
    "params",
    [
        Img2ImgParams(strength=math.nan),
        Img2ImgParams(strength=math.inf),
        Img2ImgParams(strength=-1),
        Img2ImgParams(num_inference_steps=2**32 - 1),
        Img2ImgParams(num_images=2**32 - 1),
        Img2ImgParams(width=2**32 - 1, height=2**32 - 1),
    ],
    ids=str,
)
def test_what_a_worker_will_refuse_is_no_work(params: Img2ImgParams) -> None:
    assert decoder_units(params, DECODER) == 0
    assert prior_units(1, PriorParams(num_inference_steps=2**32 - 1), PRIOR) == 0
    assert prior_units(2**32 - 1, PriorParams(), PRIOR) == 0


def at_work(actions_done: int, queued_seconds: float = 1.0) -> WorkerStatus:
    return WorkerStatus(actions_done=actions_done, acting=True, queued_work_seconds=queued_seconds)


def test_a_worker_whose_device_moves_may_take_its_time() -> None:
    liveness = Liveness(10)
    liveness.begin(0)
    for seconds in range(0, 100, 9):
        liveness.report(at_work(actions_done=seconds), seconds)
        assert not liveness.stands_still(seconds + 9)
    assert liveness.stands_still(99 + 11)


@pytest.mark.parametrize("queued_seconds", [(5, 4, 3), (3, 4, 5), (5, 5, 5)], ids=["leaves", "comes", "stays"])
def test_what_becomes_of_the_work_that_waits_is_no_sign_of_life(queued_seconds: tuple[float, ...]) -> None:
    liveness = Liveness(10)
    liveness.begin(0)
    liveness.report(at_work(7), 0)
    for seconds, queued in enumerate(queued_seconds, 8):
        liveness.report(at_work(7, queued), seconds)
    assert not liveness.stands_still(10)
    assert liveness.stands_still(10.1)


def test_time_without_work_counts_only_while_the_device_is_at_an_action_that_does_not_end() -> None:
    liveness = Liveness(10)
    liveness.begin(100)
    assert not liveness.stands_still(110)
    liveness.report(at_work(0), 105)
    liveness.begin(112)
    assert not liveness.stands_still(115)
    assert liveness.stands_still(115.1)
    liveness.report(WorkerStatus(actions_done=1), 120)
    liveness.begin(200)
    assert not liveness.stands_still(210)


def test_a_device_that_was_given_up_hangs_until_it_moves_whatever_becomes_of_its_work() -> None:
    liveness = Liveness(10)
    liveness.report(at_work(7), 0)
    liveness.give_up()
    liveness.report(at_work(7, queued_seconds=0), 11)
    assert liveness.hangs
    liveness.report(at_work(8, queued_seconds=0), 12)
    assert not liveness.hangs
    assert not liveness.stands_still(22)


def test_a_worker_whose_calls_never_came_to_its_device_does_not_hang_once_they_are_taken_from_it() -> None:
    liveness = Liveness(10)
    liveness.report(WorkerStatus(actions_done=7), 0)
    liveness.give_up()
    assert not liveness.hangs


def test_an_answer_is_a_sign_of_life() -> None:
    liveness = Liveness(10)
    liveness.report(at_work(7), 0)
    liveness.give_up()
    liveness.progressed(20)
    assert not liveness.hangs
    assert not liveness.stands_still(30)


def test_three_failures_in_a_row_eject_and_each_ejection_is_longer() -> None:
    record = Record().failed(0).failed(0).succeeded(0).failed(0).failed(0)
    assert not record.is_ejected(0)
    record = record.failed(0)
    assert record.is_ejected(4.9)
    assert not record.is_ejected(5.1)
    again = record.failed(6).failed(6).failed(6)
    assert again.is_ejected(15.9)
    assert not again.is_ejected(16.1)


def test_a_worker_is_let_back_in_slowly() -> None:
    record = Record().ejected(0)
    shares = [record.share(seconds) for seconds in (5, 10, 15, 20, 25, 30)]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.1, 1.0)
    assert Record().share(0) == 1.0


def test_only_a_worker_that_is_fully_back_is_forgiven() -> None:
    record = Record().ejected(0)
    assert record.succeeded(6).ejections == 1
    assert record.succeeded(60) == Record()


@given(st.lists(st.sampled_from(["fail", "succeed", "eject"]), max_size=60))
def test_no_ejection_is_longer_than_a_minute(history: list[str]) -> None:
    record = Record()
    for event in history:
        match event:
            case "fail":
                record = record.failed(0)
            case "succeed":
                record = record.succeeded(0)
            case "eject":
                record = record.ejected(0)
        assert record.until_seconds <= 60


def test_retries_stop_when_most_calls_fail_and_go_on_when_they_succeed() -> None:
    budget = RetryBudget()
    failures = 0
    while budget.may_retry:
        budget.failed()
        failures += 1
    assert failures == 100
    budget.succeeded()
    assert budget.may_retry


@given(st.lists(st.booleans(), max_size=2000))
def test_retries_are_bounded_by_half_the_successes_and_a_burst(outcomes: list[bool]) -> None:
    budget = RetryBudget()
    retries = 0
    for ok in outcomes:
        if ok:
            budget.succeeded()
        else:
            budget.failed()
            retries += budget.may_retry
    assert retries <= 100 + sum(outcomes) / 2


def test_receipts_add_up() -> None:
    parts = [
        Receipt(
            queued_seconds=1,
            prior_steps=25,
            steps_by_batch_size={2: 25},  # told of UNet steps only
            cache_hit=True,
            retries=1,
            workers=[WorkerUse(worker="p")],
        ),
        Receipt(queued_seconds=2, denoising_steps=3, steps_by_batch_size={1: 3}, workers=[WorkerUse(worker="d")]),
        Receipt(queued_seconds=4, denoising_steps=5, steps_by_batch_size={1: 1, 2: 4}, total_seconds=9),
    ]
    merged = merge(parts, retries=2, total_seconds=7)
    assert (merged.queued_seconds, merged.total_seconds, merged.retries, merged.cache_hit) == (7, 7, 3, True)
    assert (merged.prior_steps, merged.denoising_steps) == (25, 8)
    assert dict(merged.steps_by_batch_size) == {1: 4, 2: 4}
    assert [use.worker for use in merged.workers] == ["p", "d"]


def test_a_lost_workers_part_is_what_was_seen_of_it() -> None:
    now = [0.0]
    attempt = Attempt(WorkerUse(worker="d"), {1: 4}, lambda: now[0])
    now[0] = 2.0
    attempt.note(Progress(image_index=0, step=1))
    now[0] = 5.0
    attempt.note(Progress(image_index=1, step=6))
    receipt = attempt.receipt()
    assert (receipt.queued_seconds, receipt.denoising_seconds, receipt.denoising_steps) == (2, 3, 3)
    assert math.isclose(receipt.total_seconds, 0)

"""Thousands of random arrivals, cancels, deadlines and failures, on three kinds of device.

After each action the table must be what a plain model says: rows advance when, and only when, they are in the batch.
Every batch must be one that a device can run.
"""

import math

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from serving.batching.curve import Curve
from serving.batching.estimates import ahead_of, queued_work_seconds, unreachable_after_seconds
from serving.batching.planner import plan
from serving.batching.table import Batch, Table
from serving.batching.work import Priority, Row, Shape, Stage
from tests.batching.builders import FLAT, KINKED, LARGE, LIMITS, LINEAR, SIZES, SMALL, rows_of, seconds_of


class Device(RuleBasedStateMachine):
    """A device, its clock, and the model: the actions that each row still needs."""

    curve: Curve

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.now = 0.0
        self.sent = 0
        self.needs: dict[str, list[Stage]] = {}

    @rule(
        steps=st.integers(1, 12),
        images=st.integers(1, 4),
        encoded=st.booleans(),
        shape=st.sampled_from([SMALL, SMALL, LARGE]),
        evaluations=st.sampled_from([1, 2]),
        owner=st.sampled_from([("one", 1.0), ("two", 4.0)]),
        priority=st.sampled_from(Priority),
        deadline_in=st.sampled_from([math.inf, math.inf, 5.0, 30.0, 100.0]),
    )
    def arrive(
        self,
        steps: int,
        images: int,
        encoded: bool,
        shape: Shape,
        evaluations: int,
        owner: tuple[str, float],
        priority: Priority,
        deadline_in: float,
    ) -> None:
        name, (tenant, weight) = f"r{self.sent}", owner
        rows = rows_of(
            name,
            steps,
            arrival=self.now,
            deadline=self.now + deadline_in,
            images=images,
            stage=Stage.STEP if encoded else Stage.ENCODE,
            shape=shape,
            evaluations=evaluations,
            tenant=tenant,
            weight=weight,
            priority=priority,
        )
        self.sent += 1
        candidate = self.table.add(rows)
        if unreachable_after_seconds(candidate, name, self.curve, LIMITS, self.now) is not None:
            return
        self.table = candidate
        actions = [] if encoded else [Stage.ENCODE]
        self.needs |= {row.row_id: [*actions, *[Stage.STEP] * steps, Stage.DECODE] for row in rows}

    @precondition(lambda self: self.table)
    @rule(actions=st.integers(1, 8))
    def work(self, actions: int) -> None:
        for _ in range(actions):
            if self.table:
                self.commit(self.planned())
                self.drop_expired()

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.drop(data.draw(st.sampled_from(sorted(self.table.requests))))

    @precondition(lambda self: self.table)
    @rule()
    def cancel_the_first_during_an_action(self) -> None:
        batch = self.planned()
        self.drop(batch.rows[0].request.request_id)
        self.commit(batch)

    @precondition(lambda self: self.table)
    @rule()
    def fail(self) -> None:
        for row in self.planned().rows:
            self.drop(row.request.request_id)

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        assert {row.row_id: _actions(row) for row in self.table} == self.needs
        assert queued_work_seconds(self.table, self.curve, LIMITS) >= 0.0
        for name in list(self.table.requests)[:1]:
            assert 0 <= ahead_of(self.table, name, self.curve, LIMITS, self.now).requests < len(self.table.requests)

    @invariant()
    def the_plan_is_the_same_however_the_table_came_about(self) -> None:
        reordered = Table(dict(reversed(list(self.table.requests.items()))), self.table.virtual_seconds)
        again = plan(reordered, self.curve, LIMITS, self.now)
        assert again == plan(self.table, self.curve, LIMITS, self.now)
        assert (again is None) == (not self.table)

    def teardown(self) -> None:
        for _ in range(sum(map(len, self.needs.values()))):
            if self.table:
                self.commit(self.planned())
        assert self.needs == {}
        assert self.table == Table()

    def planned(self) -> Batch:
        batch = plan(self.table, self.curve, LIMITS, self.now)
        assert batch is not None
        self.check(batch)
        return batch

    def check(self, batch: Batch) -> None:
        """That a device can run it."""
        rows = {row.row_id: row for row in batch.rows}
        assert {row_id: row for row in self.table if (row_id := row.row_id) in rows} == rows
        assert {row.kind for row in batch.rows} == {batch.kind}
        requests = {row.request.request_id for row in batch.rows}
        units = len(rows)
        if batch.kind.stage is Stage.ENCODE:
            units = len(requests)
            assert rows == {row.row_id: row for request_id in requests for row in self.table.requests[request_id]}
        assert batch.size == min(size for size in SIZES if size >= units)

    def commit(self, batch: Batch) -> None:
        seconds = seconds_of(batch, self.curve)
        self.now += seconds
        self.table = self.table.advance(batch, seconds)
        for row_id in {row.row_id for row in batch.rows} & self.needs.keys():
            assert self.needs[row_id].pop(0) is batch.kind.stage
            if not self.needs[row_id]:
                del self.needs[row_id]

    def drop(self, request_id: str) -> None:
        for row in self.table.requests.get(request_id, ()):
            del self.needs[row.row_id]
        self.table = self.table.remove(request_id)

    def drop_expired(self) -> None:
        for request_id, rows in self.table.requests.items():
            if rows[0].request.deadline_seconds < self.now:
                self.drop(request_id)


def _actions(row: Row) -> list[Stage]:
    """What a row of the table still needs."""
    encode = [Stage.ENCODE] if row.stage is Stage.ENCODE else []
    return [*encode, *[Stage.STEP] * row.steps_remaining, Stage.DECODE]


class LinearDevice(Device):
    curve = LINEAR


class FlatDevice(Device):
    curve = FLAT


class KinkedDevice(Device):
    curve = KINKED


TestLinearDevice = LinearDevice.TestCase
TestFlatDevice = FlatDevice.TestCase
TestKinkedDevice = KinkedDevice.TestCase
TestLinearDevice.settings = TestFlatDevice.settings = TestKinkedDevice.settings = settings(
    max_examples=50,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

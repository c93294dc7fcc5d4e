"""The choice of a worker, as the pure function it is."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import WorkerLoad, choose

TABLES = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=6).map(
    lambda rows: [WorkerLoad(f"w{index}", *row) for index, row in enumerate(rows)]
)


def test_the_fewest_calls_outstanding_win() -> None:
    table = [WorkerLoad("a", True, 2), WorkerLoad("b", True, 1), WorkerLoad("c", True, 3)]
    assert {choose(table, [], turn) for turn in range(6)} == {"b"}


def test_equals_take_turns() -> None:
    table = [WorkerLoad("a", True, 1), WorkerLoad("b", True, 1), WorkerLoad("c", True, 2)]
    assert [choose(table, [], turn) for turn in range(6)] == ["a", "b", "a", "b", "a", "b"]
    same = [WorkerLoad(name, True, 0) for name in "abc"]
    assert [choose(same, [], turn) for turn in range(4)] == ["a", "b", "c", "a"]


def test_an_unreachable_worker_is_the_last_resort() -> None:
    table = [WorkerLoad("a", False, 0), WorkerLoad("b", True, 9)]
    assert choose(table, [], 0) == "b"
    assert choose(table, ["b"], 0) == "a"


@given(TABLES, st.integers(0, 100))
def test_each_worker_is_tried_once_and_then_there_is_none(table: list[WorkerLoad], turn: int) -> None:
    tried: list[str] = []
    while (address := choose(table, tried, turn)) is not None:
        tried.append(address)
    assert sorted(tried) == sorted(worker.address for worker in table)


@given(TABLES, st.integers(0, 100))
def test_no_reachable_worker_with_fewer_calls_is_passed_over(table: list[WorkerLoad], turn: int) -> None:
    chosen = next(worker for worker in table if worker.address == choose(table, [], turn))
    for worker in table:
        assert (chosen.reachable, -chosen.outstanding) >= (worker.reachable, -worker.outstanding)

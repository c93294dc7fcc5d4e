"""The choice of a worker, as the pure function it is."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import Identity, Standing, WorkerView, choose, fewest_calls

TABLES = st.lists(
    st.builds(
        WorkerView,
        identity=st.builds(Identity, st.uuids().map(str), st.integers(0, 3)),
        standing=st.sampled_from(Standing),
        queued_seconds=st.floats(0, 100),
        own_seconds=st.floats(0, 10),
        calls=st.integers(0, 5),
        share=st.floats(0.1, 1),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda worker: worker.identity,
)


def worker(name: str, queued_seconds: float = 0.0, standing: Standing = Standing.READY, **more: Any) -> WorkerView:
    return WorkerView(Identity(name, 1), standing, queued_seconds, **more)


def chosen(table: list[WorkerView], key: bytes | None = None, tried: tuple[str, ...] = ()) -> set[str]:
    """All that may be chosen."""
    choices = (choose(table, [Identity(name, 1) for name in tried], Random(dice), key) for dice in range(200))
    return {choice.identity.address for choice in choices if choice is not None}


def test_of_two_workers_the_one_that_would_be_done_first_gets_the_call() -> None:
    assert chosen([worker("a", 2), worker("b", 1)]) == {"b"}
    assert chosen([worker("a", 1, own_seconds=5), worker("b", 2, own_seconds=1)]) == {"b"}


def test_gateways_that_know_the_same_do_not_all_choose_the_same_worker() -> None:
    table = [worker(str(number), number) for number in range(8)]
    assert chosen(table) == {"0", "1", "2", "3", "4"}


def test_equals_are_chosen_between_by_chance() -> None:
    assert chosen([worker("a"), worker("b"), worker("c")]) == {"a", "b", "c"}


def test_where_no_times_are_known_company_is_avoided() -> None:
    assert chosen([worker("a", calls=1), worker("b", calls=0)]) == {"b"}


def test_a_worker_that_is_let_back_in_seems_busier_than_it_is() -> None:
    assert chosen([worker("a", 1, share=0.1), worker("b", 5)]) == {"b"}
    assert chosen([worker("a", 1, share=0.5), worker("b", 5)]) == {"a"}


def test_those_that_should_get_no_work_are_the_last_resort() -> None:
    away, draining, ready = worker("a", 0, Standing.UNREACHABLE), worker("d", 0, Standing.DRAINING), worker("r", 9)
    assert chosen([away, draining, ready]) == {"r"}
    assert chosen([away, draining, ready], tried=("r",)) == {"d"}
    assert chosen([away, draining, ready], tried=("r", "d")) == {"a"}
    assert chosen([away], tried=("a",)) == set()


def test_an_ejected_worker_gets_nothing_while_half_are_left() -> None:
    assert chosen([worker("e", 0, Standing.EJECTED), worker("r", 9)]) == {"r"}
    both = [worker("e", 0, Standing.EJECTED), worker("f", 0, Standing.EJECTED), worker("r", 9)]
    assert chosen(both) == {"e", "f"}


def test_a_worker_that_is_back_is_another_one() -> None:
    back = WorkerView(Identity("a", 2), Standing.READY, 0.0)
    assert choose([back], {Identity("a", 1)}, Random(0)) == back


def test_calls_with_a_key_go_to_one_worker_unless_it_is_busier_than_the_work_is_long() -> None:
    idle = [worker(name, own_seconds=1.0) for name in "abcd"]
    (favourite,) = chosen(idle, b"key")
    busy = [worker(name, 0.9 if name == favourite else 0.0, own_seconds=1.0) for name in "abcd"]
    assert chosen(busy, b"key") == {favourite}
    busier = [worker(name, 1.1 if name == favourite else 0.0, own_seconds=1.0) for name in "abcd"]
    assert favourite not in chosen(busier, b"key")


def test_a_key_moves_only_when_its_worker_goes() -> None:
    table = [worker(name) for name in "abcdef"]
    for key in (str(number).encode() for number in range(50)):
        (favourite,) = chosen(table, key)
        fewer = [each for each in table if each.identity.address != "c"]
        assert favourite == "c" or chosen(fewer, key) == {favourite}


def test_keys_are_spread_over_the_workers() -> None:
    table = [worker(name) for name in "abcd"]
    assert {choice for number in range(50) for choice in chosen(table, str(number).encode())} == set("abcd")


@given(TABLES, st.randoms(use_true_random=False), st.none() | st.binary(max_size=100))
def test_each_worker_is_tried_once_and_then_there_is_none(
    table: list[WorkerView], dice: Random, key: bytes | None
) -> None:
    tried: list[Identity] = []
    while (choice := choose(table, tried, dice, key)) is not None:
        tried.append(choice.identity)
    assert sorted(tried) == sorted(each.identity for each in table)


@given(TABLES, st.randoms(use_true_random=False))
def test_the_busiest_worker_is_never_chosen_where_another_is_as_good(table: list[WorkerView], dice: Random) -> None:
    choice = choose(table, [], dice)
    ready = [each for each in table if each.standing is Standing.READY]
    if choice in ready and len(ready) > 1 and len(ready) >= sum(e.standing is Standing.EJECTED for e in table):
        assert choice.cost < max(each.cost for each in ready) or len({each.cost for each in ready}) == 1


def test_the_fewest_calls_are_those_of_a_worker_that_gets_work() -> None:
    table = [worker("a", calls=3), worker("b", calls=2), worker("c", standing=Standing.DRAINING, calls=1)]
    assert fewest_calls(table) == 2
    assert fewest_calls([]) == 0

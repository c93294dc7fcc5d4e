"""Compiling and measuring before the server is ready: every kind of step, at every size."""

import itertools
from collections.abc import Sequence
from functools import partial

from prior_server.actions import PriorActions, PriorInput, PriorState
from prior_server.engine import SHAPE, PriorEngine, step_kind
from prior_server.values import Values
from serving.batching.work import Kind, Stage
from serving.device_thread import DeviceThread
from worker.calibration import staying_together

_VALUES = [Values(negative, 2, scale, seed=0) for scale in (0.0, 2.0) for negative in (None, "")]


async def warm_up(engine: PriorEngine, actions: PriorActions, device: DeviceThread, sizes: Sequence[int]) -> None:
    """With and without guidance, with and without a negative prompt; afterwards the engine's curve is measured."""
    # Texts that were never seen, so that they are encoded and not remembered.
    unseen = (PriorInput((f"warm-up {number}",), _VALUES[0], one_generator=False) for number in itertools.count())
    for size in sizes:
        await engine.calibrate(
            Kind(Stage.ENCODE, SHAPE, 1),
            size,
            lambda: actions.encode(list(itertools.islice(unseen, size))),  # noqa: B023 - called before the next size
        )
    for values in _VALUES:
        state = await device.run(_state, actions, values)
        for size in sizes:
            await engine.calibrate(step_kind(values), size, staying_together(actions.step, state, size))
        await device.run(actions.decode, state)  # the first without a negative prompt runs CLIP's vision tower, once
    await engine.calibrate(Kind(Stage.DECODE, SHAPE, 1), 1, partial(actions.decode, state))


def _state(actions: PriorActions, values: Values) -> PriorState:
    (states,) = actions.encode([PriorInput(("",), values, one_generator=False)])
    if isinstance(states, Exception):
        raise states
    return states[0]

"""One step of any schedule, for a batch whose rows each have their own coefficients. Runs inside compiled graphs."""

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky.schedulers.schedule import COLUMNS


def advance(
    coefficients: Tensor, sample: Tensor, output: Tensor, variance: Tensor, previous_x0: Tensor, draw: Tensor
) -> tuple[Tensor, Tensor]:
    """Take every row one step further; `kandinsky.schedulers.schedule` has the formula.

    Args:
        coefficients: (b, 9) float32, a row of each row's schedule.
        sample: (b, …), the current samples.
        output: like sample, the network's prediction, guidance applied.
        variance: like sample, the variance half of the prediction; zeros where there is none.
        previous_x0: like sample, what the step before returned; anything at the first step.
        draw: like sample, standard normal noise; anything where the schedule draws none.

    Returns:
        The next samples and the predicted clean samples, both like sample.
    """
    dtype = sample.dtype
    sample, output, variance = sample.astype(ms.float32), output.astype(ms.float32), variance.astype(ms.float32)
    shape = (coefficients.shape[0],) + (1,) * (sample.ndim - 1)
    c = {name: coefficients[:, column].reshape(shape) for name, column in COLUMNS.items()}
    x0 = c["sample_to_x0"] * sample + c["output_to_x0"] * output
    x0 = ops.minimum(ops.maximum(x0, -c["clip"]), c["clip"])
    following = c["sample"] * sample + c["x0"] * x0 + c["output"] * output + c["previous_x0"] * previous_x0
    following = following + c["noise"] * ops.exp(c["noise_by_variance"] * variance) * draw
    return following.astype(dtype), x0.astype(dtype)

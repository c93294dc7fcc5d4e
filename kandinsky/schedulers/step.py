"""One step of any schedule, for a batch whose rows each have their own coefficients. Runs inside compiled graphs."""

import mindspore as ms
from mindspore import Tensor, ops

from kandinsky.schedulers.schedule import COLUMNS

# Looked up here: in a compiled graph a loop over the names makes five functions of each.
_SAMPLE_TO_X0, _OUTPUT_TO_X0 = COLUMNS["sample_to_x0"], COLUMNS["output_to_x0"]
_SAMPLE, _X0, _OUTPUT = COLUMNS["sample"], COLUMNS["x0"], COLUMNS["output"]
_CLIP, _PREVIOUS_X0 = COLUMNS["clip"], COLUMNS["previous_x0"]
_NOISE, _NOISE_BY_VARIANCE = COLUMNS["noise"], COLUMNS["noise_by_variance"]


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
    # (b, 9) → 9 times (b, 1, …)
    columns = ops.unstack(coefficients.reshape(coefficients.shape + (1,) * (sample.ndim - 1)), 1)
    x0 = columns[_SAMPLE_TO_X0] * sample + columns[_OUTPUT_TO_X0] * output
    x0 = ops.minimum(ops.maximum(x0, -columns[_CLIP]), columns[_CLIP])
    following = columns[_SAMPLE] * sample + columns[_X0] * x0 + columns[_OUTPUT] * output
    following = following + columns[_PREVIOUS_X0] * previous_x0
    following = following + columns[_NOISE] * ops.exp(columns[_NOISE_BY_VARIANCE] * variance) * draw
    return following.astype(dtype), x0.astype(dtype)

"""Networks' parameters: built without values, then given arrays where they lie.

MindSpore would copy each array into a parameter, on memory that the system has yet to hand out page by page: at full
size that takes longer than reading the weights.
"""

from contextlib import AbstractContextManager
from typing import Any

import mindspore as ms
import numpy as np
import numpy.typing as npt
from mindspore import Parameter
from mindspore.common.initializer import initializer
from mindspore.nn.utils import no_init_parameters


def parameter(*shape: int) -> Parameter:
    """A float32 parameter of this shape. Its values come from a checkpoint; until then they are zero."""
    return Parameter(initializer("zeros", shape, ms.float32))


def skeleton() -> AbstractContextManager[None]:
    """A context in which networks are built without computing or allocating their initial weights.

    Its parameters must be `Parameter(initializer(…))`, as those of MindSpore's own layers are.
    """
    context: AbstractContextManager[None] = no_init_parameters()
    return context


def assign(target: Parameter, array: npt.NDArray[Any]) -> None:
    """Let an array be a parameter's values: what `Parameter.set_data` does, less its copy and its cast.

    Args:
        target: of the array's shape.
        array: its memory is the parameter's from now on.
    """
    target.init = None
    target.init_flag = False
    target.init_mode = None
    target.assign_value(ms.Tensor.from_numpy(array))


def holding(array: npt.NDArray[np.float32]) -> Parameter:
    """A parameter whose values are an array, and whose memory is the array's."""
    with skeleton():
        held = parameter(*array.shape)
    assign(held, array)
    return held

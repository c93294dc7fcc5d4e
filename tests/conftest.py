"""What has to be set before the first test module is imported, and before the first operator runs."""

import os
import sys

import pytest

# Without it MindSpore's 3×3 convolutions are a hundred times slower on CPUs with AVX-512; read at its first operator.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


@pytest.fixture(scope="session", autouse=True)
def operators_of_the_main_thread() -> None:
    """Without a launching thread small operators run many times faster on two cores, and errors name their place.

    Here and not beside the tests that need it: once an operator has run in this process, whichever test ran it, the
    same call makes every later operator several times slower instead. Who collects no test of MindSpore's needs none.
    """
    if (mindspore := sys.modules.get("mindspore")) is not None:
        mindspore.runtime.launch_blocking()

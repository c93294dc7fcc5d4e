"""Reference checkpoints as fixtures. Models are loaded, and compiled shape by shape, once a session."""

from functools import cache

import pytest

from kandinsky.decoder_model import load_decoder
from kandinsky.loading import Runtime
from kandinsky.ops import Kernels, use_device, with_fast_paths
from kandinsky.prior_model import load_prior
from tests.kandinsky.models import CHECKPOINTS, Load, Models, Reference


@pytest.fixture(scope="session")
def load() -> Load:
    """Loads a reference checkpoint to run compiled, with the CPU's fast paths, or by plain operators one by one."""
    return cache(lambda name, compiled: _load(name, Runtime(_kernels(compiled), compiled=compiled)))


@pytest.fixture(scope="session")
def load_float16() -> Load:
    """As `load`, in float16."""
    return cache(lambda name, compiled: _load(name, Runtime(use_device("CPU"), "float16", compiled)))


def _kernels(fast: bool) -> Kernels:
    plain = use_device("CPU")
    return with_fast_paths(plain) if fast else plain


def _load(name: str, runtime: Runtime) -> Models:
    reference = Reference(name)
    prior = load_prior(reference.folder / "prior", runtime)
    return Models(reference, runtime, prior, load_decoder(reference.folder / "decoder", runtime))


@pytest.fixture(params=CHECKPOINTS)
def reference(request: pytest.FixtureRequest) -> Reference:
    """Each reference checkpoint in turn."""
    return Reference(request.param)


@pytest.fixture
def tiny(load: Load) -> Models:
    """The tiny checkpoint, run operator by operator: no compilation, any shape at once."""
    return load("tiny", False)

"""Decoders to put into an engine."""

from functools import cache
from pathlib import Path

import pytest

from kandinsky.decoder_model import DecoderModel, load_decoder
from kandinsky.loading import Runtime
from kandinsky.ops import use_device

_ROOT = Path(__file__).parents[2]
_CHECKPOINTS = {"demo": _ROOT / "demo" / "checkpoint", "reference": _ROOT / "tests" / "reference" / "tiny"}


@cache
def _decoder(name: str) -> DecoderModel:
    # Operator by operator: any shape at once.
    return load_decoder(_CHECKPOINTS[name] / "decoder", Runtime(use_device("CPU"), compiled=False))


@pytest.fixture(params=list(_CHECKPOINTS))
def decoder(request: pytest.FixtureRequest) -> DecoderModel:
    """Each checkpoint's decoder in turn."""
    return _decoder(request.param)

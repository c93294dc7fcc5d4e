"""Small networks and checkpoints to load into them."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mindspore import nn
from safetensors.numpy import save_file
from stand_in_hub import StandInHub
from two_layers import TwoLayers

from kandinsky.checkpoint import Component
from kandinsky.errors import KandinskyError

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    server = StandInHub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def network() -> Callable[[], nn.Cell]:
    return TwoLayers


@pytest.fixture
def arrays() -> Arrays:
    """Tensors that fit the network; every value is exact in float16 and in bfloat16."""
    rng = np.random.default_rng(0)
    shapes = {
        "layers.0.weight": (1000, 1100),
        "layers.0.bias": (1000,),
        "layers.1.weight": (3, 1000),
        "layers.1.bias": (3,),
    }
    return {name: (rng.integers(-127, 128, shape) / 1024).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Component]:
    """Writes tensors, one file for each mapping, as an opened component."""

    def save_component(*shards: Mapping[str, npt.NDArray[Any]], config: Mapping[str, Any] | None = None) -> Component:
        folder = tmp_path / "unet"
        folder.mkdir(exist_ok=True)
        files = tuple(folder / f"{number}.safetensors" for number in range(len(shards)))
        for path, shard in zip(files, shards, strict=True):
            save_file(dict(shard), path)
        return Component("unet", folder, "UNet2DConditionModel", {} if config is None else config, files)

    return save_component


@pytest.fixture
def refused() -> Callable[..., str]:
    """Runs an action that must raise exactly this kind of error, in one line that holds these words."""

    def check(kind: type[KandinskyError], action: Callable[[], object], *words: str) -> str:
        with pytest.raises(kind) as caught:
            action()
        message = str(caught.value)
        assert type(caught.value) is kind
        assert "\n" not in message
        for word in words:
            assert word in message
        return message

    return check


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A checkpoint folder with one network, without its weights, and a scheduler."""
    root = tmp_path / "checkpoint"
    index = {
        "_class_name": "KandinskyImg2ImgPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["kandinsky", "MultilingualCLIP"],
    }
    write_json(root / "model_index.json", index)
    write_json(root / "unet/config.json", {"_class_name": "UNet2DConditionModel", "in_channels": 4})
    write_json(root / "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler", "beta_start": 0.00085})
    write_json(root / "text_encoder/config.json", {"architectures": ["MultilingualCLIP"], "numDims": 32})
    return root

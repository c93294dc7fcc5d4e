"""Graphs from an earlier start give the very picture that compiled ones give, of their own model and no other's."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from processes import TINY, server
from safetensors.numpy import load_file, save_file

from imagegen.v1.gateway_pb2 import Img2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from kandinsky.cpu_kernels.library import Library

MOVQ = "movq/diffusion_pytorch_model.safetensors"
# Of one size and the CPU's batches.
PRIOR_GRAPHS, DECODER_GRAPHS = 8, 7


@dataclass(frozen=True)
class Start:
    """What came of a start.

    Attributes:
        pictures: that the servers drew.
        found: how many graphs the workers did not compile.
    """

    pictures: list[bytes]
    found: int


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, library: Library) -> Path:
    """A user's cache folder, of which the operators are there."""
    folder = tmp_path_factory.mktemp("user")
    (folder / "kandinsky-serving").mkdir()
    shutil.copy(library.path, folder / "kandinsky-serving")
    return folder


@pytest.fixture(scope="module")
def first(cache: Path) -> Start:
    """The first start with this folder."""
    return start(cache)


def start(cache: Path, decoder: Path = TINY / "decoder", **environment: str) -> Start:
    command = ["kandinsky_client.cli", "serve", "--port", "0", "--log-level", "info"]
    models = ["--prior-model", str(TINY / "prior"), "--decoder-model", str(decoder)]
    log: list[str] = []
    with (
        server([*command, *models], {"XDG_CACHE_HOME": str(cache), **environment}, log) as address,
        grpc.insecure_channel(address) as channel,
    ):
        params = {"num_inference_steps": 6, "num_images": 2, "guidance_scale": 3.0, "seed": 0}
        request = Img2ImgRequest(prompt="a red circle", image=(TINY / "sketch.png").read_bytes(), params=params)
        images = ImageServiceStub(channel).Img2Img(request).result.images
    lines = [json.loads(line) for line in log if line.startswith("{")]
    return Start([image.data for image in images], sum(line.get("graphs_found", 0) for line in lines))


def test_the_second_start_finds_every_graph_and_draws_the_same_bytes(cache: Path, first: Start) -> None:
    assert first.found == 0
    assert start(cache) == Start(first.pictures, PRIOR_GRAPHS + DECODER_GRAPHS)


def test_a_start_that_is_told_to_keep_no_graphs_finds_none(cache: Path, first: Start, tmp_path: Path) -> None:
    """Nor does MindSpore by itself, whatever the user has told it: it would give wrong ones."""
    told = {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": str(tmp_path)}
    assert start(cache, KANDINSKY_KEEP_GRAPHS="false", **told) == Start(first.pictures, 0)
    assert list(tmp_path.iterdir()) == []


def test_another_model_on_the_same_machine_draws_its_own_pictures(cache: Path, first: Start, tmp_path: Path) -> None:
    another = shutil.copytree(TINY / "decoder", tmp_path / "another")
    weights = load_file(another / MOVQ)
    weights["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + np.float32(0.5)
    save_file(weights, another / MOVQ)
    new = start(cache, another)
    assert new.pictures != first.pictures
    assert new.found == PRIOR_GRAPHS
    assert start(cache, another) == Start(new.pictures, PRIOR_GRAPHS + DECODER_GRAPHS)


def test_sizes_in_another_order_are_other_graphs(cache: Path, first: Start) -> None:
    assert start(cache, KANDINSKY_SIZES="64x64,128x128") == Start(first.pictures, PRIOR_GRAPHS)

"""What serving costs: one request in process, through a decoder alone, and through all three tiers, in one run.

The ways take turns, so that a slow minute of the machine hits all alike; medians are compared. A 512 × 512 PNG goes in,
and a PNG of the model's own size comes out, of the checkpoint's default number of steps.

The gateway's own part is far below the noise of whole requests, so it is read off differently: what a client waits
beyond the time that the decoder's receipt accounts for, through the gateway less without it.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before MindSpore is imported, as the servers do

import grpc
from PIL import Image

from benchmarks.record import record
from imagegen.v1.common_pb2 import ImageEmbeddings, Receipt
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest, Img2ImgParams
from imagegen.v1.decoder_pb2_grpc import DecoderServiceStub
from imagegen.v1.gateway_pb2 import EncodePromptRequest, Img2ImgRequest
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from imagegen.v1.prior_pb2 import PriorParams
from kandinsky.decoder_model import DecoderModel, load_decoder
from kandinsky.images import OutputFormat, read_image, write_image
from kandinsky.loading import Runtime
from kandinsky.ops import use_device, with_fast_paths
from kandinsky.pipeline import img2img, prior
from kandinsky.prior_model import PriorModel, load_prior

_ROOT = Path(__file__).resolve().parent.parent
_PROMPT = "a red circle on a blue background"
_FIRST_SEED = 7
# Every way encodes its prompt: in process nothing is remembered.
_NO_CACHE = ("--text-cache-bytes", "0")


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    models = Path(arguments.models)
    picture = _picture()
    with ExitStack() as servers:
        prior_at = servers.enter_context(_server("prior_server", "--model", str(models / "prior"), *_NO_CACHE))
        decoder_at = servers.enter_context(_server("decoder_server", "--model", str(models / "decoder"), *_NO_CACHE))
        gateway_at = servers.enter_context(_server("gateway", "--prior", prior_at, "--decoder", decoder_at))
        ways = _Ways(models, picture, decoder_at, gateway_at)
        measured = _take_turns(ways.all(), arguments.rounds)
    _report(measured, arguments)


class _Ways:
    """The ways a request can go. Each call makes one picture and returns its receipt, if there is one."""

    def __init__(self, models: Path, picture: bytes, decoder_at: str, gateway_at: str) -> None:
        runtime = Runtime(with_fast_paths(use_device("CPU")))  # as the servers do
        self._prior: PriorModel = load_prior(models / "prior", runtime)
        self._decoder: DecoderModel = load_decoder(models / "decoder", runtime)
        self._picture = picture
        options = [("grpc.max_receive_message_length", -1)]
        self._decoder_stub = DecoderServiceStub(grpc.insecure_channel(decoder_at, options))
        self._gateway_stub = ImageServiceStub(grpc.insecure_channel(gateway_at, options))
        # One for each call, so that the gateway finds no embedding that it has made before.
        self._seeds = itertools.count(_FIRST_SEED)
        encode = EncodePromptRequest(prompt=_PROMPT, params=PriorParams(seed=next(self._seeds)))
        self._embeddings: ImageEmbeddings = self._gateway_stub.EncodePrompt(encode).embeddings

    def all(self) -> dict[str, Callable[[], Receipt | None]]:
        """By name, in the order they are run."""
        return {
            "in process": self._in_process,
            "decoder alone": self._decoder_alone,
            "gateway, own embeddings": self._own_embeddings,
            "gateway, prior and decoder": self._whole_path,
        }

    def _in_process(self) -> None:
        image = read_image(self._picture, 10**7)
        seed = next(self._seeds)
        embeddings = prior(self._prior, _PROMPT, seed=seed)
        (result,) = img2img(self._decoder, image, embeddings, _PROMPT, seed=seed)
        write_image(result, OutputFormat.PNG)

    def _decoder_alone(self) -> Receipt:
        request = DecoderServiceImg2ImgRequest(
            prompt=_PROMPT,
            image=self._picture,
            embeddings=self._embeddings,
            params=Img2ImgParams(seed=next(self._seeds)),
        )
        receipt: Receipt = self._decoder_stub.Img2Img(request).result.receipt
        return receipt

    def _own_embeddings(self) -> Receipt:
        return self._through_gateway(embeddings=self._embeddings)

    def _whole_path(self) -> Receipt:
        return self._through_gateway()

    def _through_gateway(self, **more: Any) -> Receipt:
        request = Img2ImgRequest(
            prompt=_PROMPT, image=self._picture, params=Img2ImgParams(seed=next(self._seeds)), **more
        )
        receipt: Receipt = self._gateway_stub.Img2Img(request).result.receipt
        return receipt


def _take_turns(ways: dict[str, Callable[[], Receipt | None]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """For each way and round: seconds in all, and seconds that no receipt accounts for."""
    for way in ways.values():
        way()  # compiles, and is not counted
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            receipt = way()
            seconds = time.perf_counter() - started
            measured[name].append((seconds, seconds - _accounted_seconds(receipt)))
    return measured


def _accounted_seconds(receipt: Receipt | None) -> float:
    if receipt is None:
        return 0.0
    waiting = receipt.queued_seconds + receipt.encoding_seconds
    return waiting + receipt.denoising_seconds + receipt.decoding_seconds


def _report(measured: dict[str, list[tuple[float, float]]], arguments: argparse.Namespace) -> None:
    seconds = {name: statistics.median(row[0] for row in rows) for name, rows in measured.items()}
    beyond = {name: statistics.median(row[1] for row in rows) for name, rows in measured.items()}
    print(f"{'way':28} {'median s':>9} {'× in process':>13}")
    for name, median in seconds.items():
        print(f"{name:28} {median:9.3f} {median / seconds['in process']:13.3f}")
    gateway_ms = 1000 * (beyond["gateway, own embeddings"] - beyond["decoder alone"])
    path_ratio = seconds["gateway, prior and decoder"] / seconds["in process"]
    print(record(vars(arguments), {"median_seconds": seconds, "gateway_ms": gateway_ms}))
    print(f"RESULT bench-overhead path_ratio={path_ratio:.3f} gateway_ms={gateway_ms:.2f}")


@contextmanager
def _server(module: str, *flags: str) -> Iterator[str]:
    """A server on loopback for the length of the body; yields its address."""
    command = [sys.executable, "-m", module, *flags, "--port", "0", "--log-level", "warning"]
    # All cores, as the pipeline beside them has: importing MindSpore has set one thread for every process from here on.
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if " ready on " not in line:
            raise SystemExit(f"{module} did not start")
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait()


def _picture() -> bytes:
    with Image.open(_ROOT / "tests" / "reference" / "tiny" / "sketch.png") as sketch:
        return write_image(sketch.convert("RGB").resize((512, 512)), OutputFormat.PNG)


def _arguments() -> argparse.Namespace:
    demo = _ROOT / "demo" / "checkpoint"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bundled = demo if demo.exists() else _ROOT / "tests" / "reference" / "tiny"
    parser.add_argument("--models", default=str(bundled.relative_to(_ROOT)), help="folder with prior/ and decoder/")
    parser.add_argument("--rounds", type=int, default=15, help="how often each way is measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()

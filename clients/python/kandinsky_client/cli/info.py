"""`kandinsky info`: what a server has loaded, what it allows and how busy it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from kandinsky_client import enums
from kandinsky_client.cli.connection import ConnectionFlags
from kandinsky_client.client import Client
from serving import flags
from serving.flags import flag

DESCRIPTION = "Show what a server has loaded, its defaults and limits, and how busy it is."

Row = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class InfoFlags(ConnectionFlags):
    """The command's flags."""

    timeout_seconds: float | None = flag("How long the server may take to answer.", default=10.0)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(InfoFlags, "kandinsky info", DESCRIPTION, argv)
    with Client(given.server) as client:
        server = client.info(timeout_seconds=given.timeout_seconds)
    rows = list(table(server))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:{width}}  {text}")
    return 0


def table(server: gateway_pb2.GetServerInfoResponse) -> Iterator[Row]:
    """What there is to say, line by line."""
    yield "server", f"version {server.version}, a new request waits about {server.estimated_wait_seconds:.1f} s"
    if server.HasField("prior"):
        yield from _prior(server.prior)
    if server.HasField("decoder"):
        yield from _decoder(server.decoder)
    for worker in server.workers:
        yield "worker", _worker(worker)
    for cache in server.caches:
        yield "cache", f"{cache.name}: {cache.entries} entries, {cache.hits} hits, {cache.misses} misses"


def _prior(prior: prior_pb2.PriorInfo) -> Iterator[Row]:
    yield "prior", _model(prior.model)
    yield "  defaults", f"{prior.defaults.num_inference_steps} steps, guidance scale {prior.defaults.guidance_scale:g}"
    limits = prior.limits
    yield (
        "  limits",
        f"{limits.max_num_inference_steps} steps, {limits.max_num_embeddings} embeddings, "
        f"{limits.max_items} items to mix, {limits.max_prompt_tokens} tokens of a prompt are seen",
    )


def _decoder(decoder: decoder_pb2.DecoderInfo) -> Iterator[Row]:
    yield "decoder", _model(decoder.model)
    defaults = decoder.defaults
    yield (
        "  defaults",
        f"{defaults.width}×{defaults.height}, {defaults.num_inference_steps} steps, strength {defaults.strength:g}, "
        f"guidance scale {defaults.guidance_scale:g}",
    )
    limits = decoder.limits
    yield (
        "  limits",
        f"{limits.min_side_px} to {limits.max_side_px} px a side, {limits.max_pixels} px in all, "
        f"{limits.max_num_inference_steps} steps, {limits.max_num_images} images, "
        f"{limits.max_prompt_tokens} tokens of a prompt are seen",
    )
    yield "  input", f"at most {limits.max_image_bytes} bytes and {limits.max_image_pixels} px"


def _model(model: common_pb2.ModelInfo) -> str:
    revision = f"@{model.revision}" if model.revision else ""
    dtype = enums.name(common_pb2.DataType.DESCRIPTOR, model.dtype)
    return f"{model.id}{revision}, {dtype} on {model.device}, digest {model.digest[:12]}"


def _worker(worker: gateway_pb2.WorkerInfo) -> str:
    tier = enums.name(common_pb2.Tier.DESCRIPTOR, worker.tier)
    state = enums.name(gateway_pb2.WorkerState.DESCRIPTOR, worker.state)
    text = f"{tier} at {worker.address}: {state}"
    if not worker.HasField("status"):
        return text
    status = worker.status
    return (
        f"{text}, {status.running_rows} rows running, {status.queued_rows} queued, "
        f"{status.queued_work_seconds:.1f} s of work"
    )

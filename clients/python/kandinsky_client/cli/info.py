"""`kandinsky info`: what a server has loaded, what it allows and how busy it is."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from kandinsky_client import enums
from kandinsky_client.cli.busy import busy_lines, watch
from kandinsky_client.cli.connection import ConnectionFlags
from serving import flags
from serving.flags import flag

DESCRIPTION = "Show what a server has loaded, its defaults and limits, and how busy it is."

Row = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class InfoFlags(ConnectionFlags):
    """The command's flags."""

    timeout_seconds: float | None = flag("How long the server may take to answer.", default=10.0)
    watch: bool = flag("Show workers, queues and caches, every second until Ctrl-C.", default=False)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(InfoFlags, "kandinsky info", DESCRIPTION, argv)
    with given.connect() as client:
        if given.watch:
            watch(client, given.timeout_seconds, sys.stdout)
        else:
            print("\n".join(lines(client.info(timeout_seconds=given.timeout_seconds))))
    return 0


def lines(server: gateway_pb2.GetServerInfoResponse) -> Iterator[str]:
    """All there is to say, under each other."""
    rows = list(_table(server))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        yield f"{name:{width}}  {text}"
    yield from busy_lines(server)


def _table(server: gateway_pb2.GetServerInfoResponse) -> Iterator[Row]:
    yield "server", f"version {server.version}, a new request waits about {server.estimated_wait_seconds:.1f} s"
    if server.HasField("prior"):
        yield from _prior(server.prior)
    if server.HasField("decoder"):
        yield from _decoder(server.decoder)


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

"""`kandinsky encode-prompt`: a prompt's embeddings, in a file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kandinsky_client.cli import outputs
from kandinsky_client.cli.connection import RequestFlags
from kandinsky_client.cli.report import receipt_lines
from kandinsky_client.results import EncodeResult
from serving import flags
from serving.flags import flag

DESCRIPTION = (
    "Turn a prompt into embeddings and keep them in a file, for any number of kandinsky img2img --embeddings FILE."
)


@dataclass(frozen=True, kw_only=True)
class PriorFlags(RequestFlags):
    """What encode-prompt and interpolate share."""

    out: Path = flag("Where the embeddings go.", metavar="FILE")
    prior_steps: int | None = flag("Steps of the prior.", default=None)
    prior_guidance_scale: float | None = flag("How closely the prior follows the prompt.", default=None)
    seed: int | None = flag("Seed of the noise. Left out: the server draws one.", default=None)


@dataclass(frozen=True, kw_only=True)
class EncodePromptFlags(PriorFlags):
    """The command's flags."""

    prompt: str = flag("What the picture shall show.")
    negative_prompt: str | None = flag("What it shall not show.", default=None)
    num_embeddings: int | None = flag("How many to make; embedding i uses seed + i.", default=None)


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(EncodePromptFlags, "kandinsky encode-prompt", DESCRIPTION, argv)
    outputs.check_folder("--out", given.out)
    with given.connect() as client:
        result = client.encode_prompt(
            given.prompt,
            request_id=given.request_id,
            timeout_seconds=given.timeout_seconds,
            negative_prompt=given.negative_prompt,
            num_inference_steps=given.prior_steps,
            guidance_scale=given.prior_guidance_scale,
            seed=given.seed,
            num_embeddings=given.num_embeddings,
        )
    write(result, given.out)
    return 0


def write(result: EncodeResult, out: Path) -> None:
    """Write the embeddings and say what they cost."""
    result.embeddings.save(out)
    print(f"{out}  seed {result.seed}")
    for line in receipt_lines(result.receipt):
        print(line, file=sys.stderr)

"""What is said about a finished request: warnings and costs, on stderr."""

import textwrap
from collections.abc import Iterator

from imagegen.v1 import common_pb2

_SHOWN_CHARACTERS = 100


def receipt_lines(receipt: common_pb2.Receipt) -> Iterator[str]:
    """What the text encoders did not see, and what the request cost."""
    for cut in receipt.truncations:
        flag = "--" + cut.field.replace("_", "-") if cut.field.replace("_", "").isalpha() else cut.field
        tier = common_pb2.Tier.Name(cut.tier).removeprefix("TIER_").lower()
        unseen = textwrap.shorten(cut.removed_text, _SHOWN_CHARACTERS, placeholder=" …")
        yield f"warning: {flag} is too long for the {tier}'s text encoder, which did not see: {unseen!r}"
    yield f"{receipt.total_seconds:.1f} s: {', '.join(_parts(receipt))}"


def _parts(receipt: common_pb2.Receipt) -> Iterator[str]:
    yield f"{receipt.queued_seconds:.1f} queued"
    yield f"{receipt.encoding_seconds:.1f} encoding" + (" (embeddings cached)" if receipt.cache_hit else "")
    if receipt.denoising_steps:
        yield f"{receipt.denoising_seconds:.1f} denoising ({receipt.denoising_steps} steps)"
        yield f"{receipt.decoding_seconds:.1f} decoding"
    elif receipt.prior_steps:
        yield f"{receipt.prior_steps} prior steps"
    if receipt.retries:
        yield f"moved to another worker {receipt.retries} times"

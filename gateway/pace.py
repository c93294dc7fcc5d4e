"""How long work takes on a worker, from what the worker measured at start and from the receipts of what it did.

Work is counted in units: network evaluations × pixels for decoders, evaluations for priors. Estimates count only until
the worker's own report includes a call, so they may be rough.
"""

from collections.abc import Sequence

from imagegen.v1.common_pb2 import Bucket
from imagegen.v1.decoder_pb2 import DecoderInfo, Img2ImgParams
from imagegen.v1.prior_pb2 import PriorInfo, PriorParams

# A receipt that says slower counts for little: the device may have been shared.
_CREEP = 1.05


class Pace:
    """Seconds of a unit and of a request's fixed part, each as fast as lately seen."""

    def __init__(self, buckets: Sequence[Bucket] = ()) -> None:
        self._unit_seconds: float | None = None
        self._fixed_seconds: float | None = None
        if buckets:
            smallest = min(buckets, key=lambda bucket: (bucket.rows, bucket.width * bucket.height))
            pixels = max(smallest.width * smallest.height, 1)
            self._unit_seconds = smallest.step_seconds / (2 * smallest.rows * pixels)  # measured under guidance
            self._fixed_seconds = smallest.overhead_seconds

    def __repr__(self) -> str:
        return f"Pace({self._unit_seconds} s a unit, {self._fixed_seconds} s a request)"

    def seconds(self, units: float) -> float:
        """Device seconds of a request; 0 where nothing has been measured."""
        unit_seconds = 0.0 if self._unit_seconds is None else self._unit_seconds
        fixed_seconds = 0.0 if self._fixed_seconds is None else self._fixed_seconds
        return fixed_seconds + units * unit_seconds

    def learn(self, units: float, stepping_seconds: float, fixed_seconds: float) -> None:
        """Take in what a request took."""
        if units > 0:
            self._unit_seconds = _faster(self._unit_seconds, stepping_seconds / units)
            self._fixed_seconds = _faster(self._fixed_seconds, fixed_seconds)


def decoder_units(request: Img2ImgParams, info: DecoderInfo) -> float:
    """The work of a decoder's request: rows × steps × evaluations × pixels; 0 where a decoder will refuse it."""
    params, limits = Img2ImgParams(), info.limits
    params.CopyFrom(info.defaults)
    params.MergeFrom(request)
    is_allowed = (
        0 < params.strength <= 1
        and params.num_inference_steps <= limits.max_num_inference_steps
        and params.num_images <= limits.max_num_images
        and params.width * params.height <= limits.max_pixels
    )
    if not is_allowed:
        return 0.0
    evaluations = 2 if params.guidance_scale > 1 else 1
    return params.num_images * int(params.num_inference_steps * params.strength) * evaluations * _pixels(params, info)


def prior_units(count: int, request: PriorParams, info: PriorInfo) -> float:
    """The work of a prior's request that makes so many embeddings: embeddings × steps × evaluations; 0 likewise."""
    params, limits = PriorParams(), info.limits
    params.CopyFrom(info.defaults)
    params.MergeFrom(request)
    most = max(limits.max_num_embeddings, limits.max_items + 1)  # an interpolation encodes one text more
    if params.num_inference_steps > limits.max_num_inference_steps or count > most:
        return 0.0
    return count * params.num_inference_steps * (2 if params.guidance_scale > 1 else 1)


def _pixels(params: Img2ImgParams, info: DecoderInfo) -> int:
    """Pixels of the size that the model works at: sides are rounded up to its granularity."""
    grain = max(info.limits.granularity_px, 1)
    return -(-params.width // grain) * grain * (-(-params.height // grain) * grain)


def _faster(known: float | None, seen: float) -> float:
    return seen if known is None else min(seen, known * _CREEP)

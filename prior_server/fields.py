"""From the model library's names of arguments to the fields of the prior's requests."""

from collections.abc import Mapping

FIELDS: Mapping[str, str] = {
    "prior_steps": "params.num_inference_steps",
    "prior_guidance_scale": "params.guidance_scale",
    "seed": "params.seed",
}

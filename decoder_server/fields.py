"""From the model library's names of arguments to the fields of an Img2Img request."""

from collections.abc import Mapping

_PARAMS = (
    "width",
    "height",
    "num_inference_steps",
    "strength",
    "guidance_scale",
    "seed",
    "num_images",
)
FIELDS: Mapping[str, str] = {
    **{name: f"params.{name}" for name in _PARAMS},
    "image_embeds": "embeddings.image_embeds",
    "negative_image_embeds": "embeddings.negative_image_embeds",
}

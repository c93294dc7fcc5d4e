"""A weighted sum of texts' and pictures' embeddings, as KandinskyPriorPipeline.interpolate makes it."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from kandinsky.noise import generators
from prior_server.runner import Runner
from prior_server.values import Values

_Floats = npt.NDArray[np.float32]


class Mix:
    """Adds items up. All texts draw from one generator, in the order they come.

    Attributes:
        embeds: (1, dim), the sum so far.
        cut: the end of each text that the text encoder did not see, by the request's field.
    """

    def __init__(self, runner: Runner, values: Values) -> None:
        self.embeds: _Floats = np.zeros((1, runner.model.embedding_dim), np.float32)
        self.cut: dict[str, str] = {}
        self._runner = runner
        self._values = values
        (self._generator,) = generators(values.seed, 1)

    async def add(self, index: int, content: str | Image.Image, weight: float) -> None:
        """Add the item of this index, a text or an RGB picture."""
        if isinstance(content, str):
            embeds, _ = await self._encode(content, f"items[{index}].text")
        else:
            embeds = await self._runner.encode_image(content)
        self.embeds = self.embeds + embeds * np.float32(weight)

    async def negative(self, prompt: str) -> _Floats:
        """The negative embedding, (1, dim): the text's image embedding, or the empty text's negative one. Call last."""
        embeds, negative = await self._encode(prompt, "negative_prompt")
        return negative if prompt == "" else embeds

    async def _encode(self, text: str, field: str) -> tuple[_Floats, _Floats]:
        embeddings, job = await self._runner.encode(text, self._values, self._generator)
        if "prompt" in job.truncated:
            self.cut[field] = job.truncated["prompt"]
        return embeddings

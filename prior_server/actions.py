"""What the prior does on its device, for the engine: encode texts and pictures, step jobs, give embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from imagegen.v1.common_pb2 import CacheStatus, Phase
from kandinsky.noise import generators
from kandinsky.prior_model import PriorModel, PriorTexts
from kandinsky.prior_sampling import PriorConditioning, PriorJob, finish_prior, start_prior, step_priors, texts_of
from prior_server.fields import FIELDS
from prior_server.values import Values
from worker.errors import told_to_client
from worker.jobs import tried
from worker.texts import TextCache

Floats = npt.NDArray[np.float32]
Embeddings = tuple[Floats, Floats]


@dataclass(frozen=True)
class PriorInput:
    """A request as the device needs it.

    Attributes:
        contents: for each embedding a text, or a picture from `PriorModel.image_pixels`: what waits holds no picture of
            the client's size.
        values: how texts are turned into embeddings.
        one_generator: all texts draw from one generator, in their order; else text i draws from one of seed + i.
        truncated: filled by encoding: what the text encoder did not see of each text, by the place of its content, by
            "prompt" and "negative_prompt".
    """

    contents: tuple[str | Floats, ...]
    values: Values
    one_generator: bool
    truncated: dict[int, dict[str, str]] = field(default_factory=dict)


# A text's job, or a picture's embedding, (1, dim).
PriorState = PriorJob | Floats


class PriorActions:
    """The engine's actions on one loaded prior.

    Args:
        model: the prior.
        sizes: how many texts the text encoder is compiled for at a time.
        text_cache_bytes: memory for encoded texts.
    """

    def __init__(self, model: PriorModel, sizes: Sequence[int], text_cache_bytes: int) -> None:
        self._model = model
        self._texts = TextCache[PriorTexts](model.encode_texts, sizes, text_cache_bytes)

    @property
    def compilations(self) -> int:
        """How many graphs have been compiled."""
        return self._model.compilations

    @property
    def compile_seconds(self) -> float:
        """What compiling them took."""
        return self._model.compile_seconds

    def caches(self) -> list[CacheStatus]:
        """How the encoded texts are doing."""
        return [self._texts.status()]

    def encode(self, requests: Sequence[PriorInput]) -> list[list[PriorState] | Exception]:
        """All requests' texts together, then each request's pictures."""
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            texts = self._texts.encode(text for request in requests for text in _texts_of(request))
        return [tried(self._start, request, texts) for request in requests]

    def step(self, states: Sequence[PriorState], size: int) -> list[PriorState]:
        """One more step of texts' jobs of one kind."""
        jobs = step_priors(self._model, [state for state in states if isinstance(state, PriorJob)], size)
        jobs[0].latents.asnumpy()  # MindSpore only queues operators; an action ends when the device has
        return list(jobs)

    def decode(self, state: PriorState) -> Embeddings:
        """The embedding and the negative embedding of what is done, each (1, dim). A picture has but the one."""
        if not isinstance(state, PriorJob):
            return state, state
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            return finish_prior(self._model, state)

    def _start(self, request: PriorInput, texts: dict[str, PriorTexts]) -> list[PriorState]:
        values = request.values
        own = iter(generators(values.seed, 1 if request.one_generator else len(request.contents)))
        generator = next(own)
        states: list[PriorState] = []
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            for place, content in enumerate(request.contents):
                if not isinstance(content, str):
                    states.append(self._model.encode_image(content))
                    continue
                conditioning = _conditioning(content, values, texts)
                request.truncated[place] = conditioning.truncated
                states.append(start_prior(self._model, conditioning, values.steps, generator))
                generator = next(own, generator)
        return states


def _texts_of(request: PriorInput) -> list[str]:
    """All texts to encode, repeats included."""
    values = request.values
    return [
        text
        for content in request.contents
        if isinstance(content, str)
        for text in texts_of(content, values.negative_prompt, values.guidance_scale)
    ]


def _conditioning(content: str, values: Values, texts: dict[str, PriorTexts]) -> PriorConditioning:
    rows = texts_of(content, values.negative_prompt, values.guidance_scale)
    return PriorConditioning(tuple(texts[text] for text in rows), values.rows, values.guidance_scale)

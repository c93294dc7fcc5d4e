"""What the decoder does on its device, for the engine: encode a request, step rows, decode a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from decoder_server.fields import FIELDS
from imagegen.v1.common_pb2 import CacheStatus, Phase
from kandinsky.decoder_model import DecoderModel, DecoderTexts
from kandinsky.img2img import Img2ImgRequest, finish, start, texts_of
from kandinsky.rows import Row, resume_row, step_rows
from worker.errors import told_to_client
from worker.jobs import tried
from worker.texts import TextCache

_Latents = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Resumption:
    """Where to go on with an image.

    Attributes:
        steps_done: of its schedule.
        latents: (1, c, h, w), after them.
        previous_x0: (1, c, h, w), the last prediction; None where the scheduler needs none.
    """

    steps_done: int
    latents: _Latents
    previous_x0: _Latents | None


@dataclass(frozen=True)
class DecoderInput:
    """A request as the device needs it.

    Attributes:
        request: the values.
        image: from `kandinsky.img2img.working_image`: what waits holds no picture of the client's size.
        resume_from: for some images, where to go on.
        snapshot_every_steps: copy a row's latents after every so many steps, for each of these numbers.
        truncated: filled by encoding: the end of each text that the text encoder did not see.
    """

    request: Img2ImgRequest
    image: Image.Image
    resume_from: Mapping[int, Resumption] = field(default_factory=dict)
    snapshot_every_steps: tuple[int, ...] = ()
    truncated: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """A row's latents off the device, each (1, c, h, w)."""

    latents: _Latents
    x0: _Latents


@dataclass(frozen=True)
class DecoderState:
    """A row, the request it belongs to, and, after the steps for which it was asked, a snapshot."""

    origin: DecoderInput
    row: Row
    snapshot: Snapshot | None = None


class DecoderActions:
    """The engine's actions on one loaded decoder.

    Args:
        model: the decoder.
        text_cache_bytes: memory for encoded texts.
    """

    def __init__(self, model: DecoderModel, text_cache_bytes: int) -> None:
        self._model = model
        # One at a time: a text's encoding, to its last bit, does not depend on what else came.
        self._texts = TextCache[DecoderTexts](model.encode_texts, (1,), text_cache_bytes)

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

    def encode(self, requests: Sequence[DecoderInput]) -> list[list[DecoderState] | Exception]:
        """Texts and pictures into rows, some of them taken up where another worker stopped."""
        return [tried(self._start, origin) for origin in requests]

    def step(self, states: Sequence[DecoderState], size: int) -> list[DecoderState]:
        """One more step of rows of one shape."""
        rows = step_rows(self._model, [state.row for state in states], size)
        rows[0].latents.asnumpy()  # MindSpore only queues operators; an action ends when the device has
        return [
            replace(state, row=row, snapshot=_snapshot(state.origin, row))
            for state, row in zip(states, rows, strict=True)
        ]

    def decode(self, state: DecoderState) -> Image.Image:
        """The picture of a row that is done."""
        with told_to_client(FIELDS, Phase.PHASE_DECODING):
            return finish(self._model, state.origin.request, state.row)

    def _start(self, origin: DecoderInput) -> list[DecoderState]:
        with told_to_client(FIELDS, Phase.PHASE_ENCODING):
            wanted = texts_of(origin.request).values()
            encoded = self._texts.encode(wanted)
            texts = [encoded[text] for text in wanted]
            started = start(self._model, origin.request, origin.image, texts)
            rows = [_resumed(row, origin.resume_from.get(index)) for index, row in enumerate(started.rows)]
        origin.truncated.update(started.truncated)
        return [DecoderState(origin, row) for row in rows]


def _resumed(row: Row, resumption: Resumption | None) -> Row:
    if resumption is None:
        return row
    return resume_row(row, resumption.steps_done, resumption.latents, resumption.previous_x0)


def snapshot_of(state: DecoderState) -> Snapshot:
    """A copy of a row's latents off the device. Runs on the device thread."""
    return _copied(state.row)


def _snapshot(origin: DecoderInput, row: Row) -> Snapshot | None:
    return _copied(row) if any(row.steps_done % steps == 0 for steps in origin.snapshot_every_steps) else None


def _copied(row: Row) -> Snapshot:
    return Snapshot(row.latents.asnumpy(), row.previous_x0.asnumpy())

"""What a decoder's client is told while its pictures are made: progress, previews, latent checkpoints."""

import io
from dataclasses import dataclass

from decoder_server.actions import DecoderState, Snapshot
from imagegen.v1.common_pb2 import Phase
from imagegen.v1.decoder_pb2 import (
    DecoderServiceStreamImg2ImgResponse,
    EncodedImage,
    ImageFormat,
    LatentCheckpoint,
    Progress,
)
from kandinsky.preview import PreviewProjection
from serving.batching.work import Stage
from serving.requests import RunningRequest
from serving.tensors import from_array
from worker.mailbox import Mailbox

_PHASES = {Stage.ENCODE: Phase.PHASE_ENCODING, Stage.STEP: Phase.PHASE_DENOISING, Stage.DECODE: Phase.PHASE_DECODING}


@dataclass(frozen=True)
class Asked:
    """What news a request wants: each every so many steps, 0 for none."""

    preview_every_steps: int = 0
    checkpoint_every_steps: int = 0

    @property
    def snapshot_every_steps(self) -> tuple[int, ...]:
        """After which steps the row's latents are needed off the device."""
        return tuple(steps for steps in (self.preview_every_steps, self.checkpoint_every_steps) if steps)


class Reporter:
    """Turns what the engine tells of a request into its client's events. A slow client gets the newest of each kind."""

    def __init__(self, running: RunningRequest, asked: Asked, projection: PreviewProjection, model_digest: str) -> None:
        self.mailbox: Mailbox[DecoderServiceStreamImg2ImgResponse] = Mailbox()
        self._running = running
        self._asked = asked
        self._projection = projection
        self._model_digest = model_digest

    def begun(self, stage: Stage) -> None:
        """The request takes part in an action."""
        self._running.phase = _PHASES[stage]

    def stepped(self, index: int, state: DecoderState) -> None:
        """A row has been stepped."""
        steps, snapshot = state.row.steps_done, state.snapshot
        progress = Progress(image_index=index, step=steps, total_steps=len(state.row.schedule))
        if snapshot is not None and _due(self._asked.preview_every_steps, steps):
            progress.preview.CopyFrom(_preview(self._projection, snapshot))
        self.mailbox.put(("progress", index), DecoderServiceStreamImg2ImgResponse(progress=progress))
        if snapshot is not None and _due(self._asked.checkpoint_every_steps, steps):
            self.mailbox.put(("checkpoint", index), self.checkpoint(index, state, snapshot))

    def checkpoint(self, index: int, state: DecoderState, snapshot: Snapshot) -> DecoderServiceStreamImg2ImgResponse:
        """Where another worker can go on with a row."""
        checkpoint = _checkpoint(index, state, snapshot, self._model_digest)
        return DecoderServiceStreamImg2ImgResponse(checkpoint=checkpoint)


def _due(every_steps: int, steps: int) -> bool:
    return every_steps > 0 and steps % every_steps == 0


def _preview(projection: PreviewProjection, snapshot: Snapshot) -> EncodedImage:
    picture = projection.picture(snapshot.x0[0])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return EncodedImage(
        data=buffer.getvalue(), format=ImageFormat.IMAGE_FORMAT_PNG, width=picture.width, height=picture.height
    )


def _checkpoint(index: int, state: DecoderState, snapshot: Snapshot, model_digest: str) -> LatentCheckpoint:
    row = state.row
    return LatentCheckpoint(
        image_index=index,
        steps_done=row.steps_done,
        latents=from_array(snapshot.latents[0]),
        previous_prediction=from_array(snapshot.x0[0]),
        # One for add_noise, and one for each step that drew.
        noise_draws=1 + int(row.schedule.draws[: row.steps_done].sum()),
        model_digest=model_digest,
    )

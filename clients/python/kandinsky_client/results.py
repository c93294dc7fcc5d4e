"""What calls give, and how it is read from the contract's messages.

Receipts and truncations stay the contract's own messages: they are records to look at, and documented there.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2
from kandinsky_client import enums
from kandinsky_client.embeddings import Embeddings

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A picture as the file that the server made.

    Attributes:
        data: the file's bytes.
        format: "png", "jpeg" or "webp".
        width: in pixels.
        height: in pixels.
    """

    data: bytes = field(repr=False)
    format: str
    width: int
    height: int

    def to_pillow(self) -> "Image.Image":
        """The decoded picture."""
        from PIL import Image

        image = Image.open(io.BytesIO(self.data))
        image.load()
        return image

    def save(self, path: str | PathLike[str]) -> None:
        """Write the file as it is, whatever the path's suffix says."""
        Path(path).write_bytes(self.data)

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture."""
        source = f"data:image/{self.format};base64,{base64.b64encode(self.data).decode()}"
        return f'<img src="{source}" width="{self.width}" height="{self.height}">'


@dataclass(frozen=True)
class Queued:
    """The request waits for a device. Comes first, and again whenever a worker has been given it.

    Attributes:
        request_id: what `cancel` takes.
        tier: "prior" or "decoder".
        position: how many requests are ahead of it.
        estimated_wait_seconds: until work on it begins.
    """

    request_id: str
    tier: str
    position: int
    estimated_wait_seconds: float


@dataclass(frozen=True)
class PromptEncoded:
    """The prompt has become embeddings.

    Attributes:
        cache_hit: whether they were known already.
        truncations: what the prior's text encoder did not see.
    """

    cache_hit: bool
    truncations: tuple[common_pb2.Truncation, ...]


@dataclass(frozen=True)
class Progress:
    """A step of one image is done.

    Attributes:
        image_index: which image, from 0.
        step: steps done for it. Falls back when a worker was lost.
        total_steps: steps it takes.
        preview: what it looks like so far, where previews were asked for and one was made with this step.
    """

    image_index: int
    step: int
    total_steps: int
    preview: Picture | None

    def _repr_html_(self) -> str:
        """What a notebook shows: how far it is, and the preview where there is one."""
        return f"{self.step}/{self.total_steps}" + ("" if self.preview is None else self.preview._repr_html_())


@dataclass(frozen=True)
class Img2ImgResult:
    """The pictures, and the last event of a stream.

    Attributes:
        request_id: the request's id.
        pictures: as files, in the order of their seeds.
        seed: seed of the first picture; picture i was made with seed + i.
        receipt: what it cost: times, steps, workers, what was cut off the prompts.
    """

    request_id: str
    pictures: tuple[Picture, ...]
    seed: int
    receipt: common_pb2.Receipt = field(repr=False)

    @property
    def images(self) -> "list[Image.Image]":
        """The pictures, decoded anew at each use."""
        return [picture.to_pillow() for picture in self.pictures]

    @property
    def image(self) -> "Image.Image":
        """The first picture, decoded."""
        return self.pictures[0].to_pillow()

    def _repr_html_(self) -> str:
        """What a notebook shows: the pictures, each with the seed that makes it again, and what they cost."""
        figures = "".join(
            f"<figure>{picture._repr_html_()}<figcaption>seed {self.seed + index}</figcaption></figure>"
            for index, picture in enumerate(self.pictures)
        )
        steps, seconds = self.receipt.denoising_steps, self.receipt.total_seconds
        return f'<div style="display: flex">{figures}</div>{steps} steps, {seconds:.1f} s'


@dataclass(frozen=True)
class EncodeResult:
    """What `encode_prompt` and `interpolate` give.

    Attributes:
        request_id: the request's id.
        embeddings: to be sent with `img2img`.
        seed: seed of the first embedding; embedding i was made with seed + i.
        receipt: what it cost.
    """

    request_id: str
    embeddings: Embeddings
    seed: int
    receipt: common_pb2.Receipt = field(repr=False)


@dataclass(frozen=True)
class CancelResult:
    """What `cancel` found.

    Attributes:
        found: whether a request of this id, and one's own, was waiting or running.
        phase: where it was stopped: "queued", "encoding", "denoising" or "decoding"; "unspecified" if there was none.
    """

    found: bool
    phase: str


Event: TypeAlias = Queued | PromptEncoded | Progress | Img2ImgResult


def img2img_result(message: decoder_pb2.Img2ImgResult) -> Img2ImgResult:
    """Read the pictures of a request."""
    return Img2ImgResult(message.request_id, _pictures(message.images), message.seed, message.receipt)


def encode_result(message: gateway_pb2.EncodePromptResponse | gateway_pb2.InterpolateResponse) -> EncodeResult:
    """Read embeddings."""
    return EncodeResult(message.request_id, Embeddings(message.embeddings), message.seed, message.receipt)


def cancel_result(message: gateway_pb2.CancelResponse) -> CancelResult:
    """Read what was stopped."""
    return CancelResult(message.found, enums.name(common_pb2.Phase.DESCRIPTOR, message.phase))


def event(message: gateway_pb2.StreamImg2ImgResponse) -> Event | None:
    """Read one piece of news; None for a kind that a newer server has and this client does not know."""
    match message.WhichOneof("event"):
        case "queued":
            queued = message.queued
            tier = enums.name(common_pb2.Tier.DESCRIPTOR, queued.tier)
            return Queued(queued.request_id, tier, queued.position, queued.estimated_wait_seconds)
        case "prompt_encoded":
            return PromptEncoded(message.prompt_encoded.cache_hit, tuple(message.prompt_encoded.truncations))
        case "progress":
            progress = message.progress
            preview = _picture(progress.preview) if progress.HasField("preview") else None
            return Progress(progress.image_index, progress.step, progress.total_steps, preview)
        case "result":
            return img2img_result(message.result)
    return None


def _picture(message: decoder_pb2.EncodedImage) -> Picture:
    kind = enums.name(decoder_pb2.ImageFormat.DESCRIPTOR, message.format)
    return Picture(message.data, kind, message.width, message.height)


def _pictures(messages: Sequence[decoder_pb2.EncodedImage]) -> tuple[Picture, ...]:
    return tuple(_picture(message) for message in messages)

"""Requests of every method, and what becomes of them when some of their fields hold what no client should send."""

import math
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from imagegen.v1 import decoder_pb2, gateway_pb2, prior_pb2
from imagegen.v1.common_pb2 import DataType, ImageEmbeddings, Tensor
from imagegen.v1.decoder_pb2 import DecoderServiceImg2ImgRequest, Img2ImgParams, LatentCheckpoint
from imagegen.v1.prior_pb2 import InterpolationItem, PriorParams
from scripts.fuzz.pictures import corrupted, picture

_PROMPTS = ("", "a red circle", "круг", "圆" * 300, "\0", "a" * 100_000, "\U0001f600" * 50, "%s\n{}")
_IDS = ("", "r", "x" * 128, "x" * 129, "a b", "é", "\n", "../r")
_FLOATS = (0.0, -0.0, -1.0, 1.0, 0.5, 1e-300, 1e308, math.nan, math.inf, -math.inf, 0.001, 7.0)
_INTEGERS = (0, 1, 2, 3, 63, 64, 65, 100, 1000, 1001, 2**16, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True)
class Method:
    """One method of one service.

    Attributes:
        name: "/imagegen.v1.Service/Method".
        tier: which server has it.
        streams: whether it answers with a stream.
        sample: a request that is answered.
    """

    name: str
    tier: str
    streams: bool
    sample: Callable[[], Message]


def small_request(sketch: bytes) -> gateway_pb2.Img2ImgRequest:
    """64 × 64 pixels, two steps, always the same picture."""
    params = Img2ImgParams(width=64, height=64, num_inference_steps=4, strength=0.5, seed=1)
    prior = PriorParams(num_inference_steps=2, seed=1)
    return gateway_pb2.Img2ImgRequest(prompt="p", image=sketch, params=params, prior=prior)


def methods(sketch: bytes, embeddings: ImageEmbeddings, checkpoint: LatentCheckpoint) -> list[Method]:
    """All methods of the three services.

    Args:
        sketch: a picture.
        embeddings: what the prior made of the small request.
        checkpoint: after the first of its steps.
    """
    images = small_request(sketch)
    prior = images.prior
    decode = DecoderServiceImg2ImgRequest(prompt="p", image=sketch, params=images.params, embeddings=embeddings)
    items = [InterpolationItem(text="p", weight=0.5), InterpolationItem(image=sketch)]
    samples: Mapping[str, Message] = {
        "ImageService/Img2Img": images,
        "ImageService/StreamImg2Img": gateway_pb2.StreamImg2ImgRequest(request=images, preview_every_steps=1),
        "ImageService/EncodePrompt": gateway_pb2.EncodePromptRequest(prompt="p", params=prior),
        "ImageService/Interpolate": gateway_pb2.InterpolateRequest(items=items, params=prior),
        "ImageService/Cancel": gateway_pb2.CancelRequest(request_id="r"),
        "ImageService/GetServerInfo": gateway_pb2.GetServerInfoRequest(),
        "PriorService/EncodePrompt": prior_pb2.PriorServiceEncodePromptRequest(prompt="p", params=prior),
        "PriorService/Interpolate": prior_pb2.PriorServiceInterpolateRequest(items=items, params=prior),
        "PriorService/Cancel": prior_pb2.PriorServiceCancelRequest(request_id="r"),
        "PriorService/GetModel": prior_pb2.PriorServiceGetModelRequest(),
        "PriorService/WatchStatus": prior_pb2.PriorServiceWatchStatusRequest(),
        "DecoderService/Img2Img": decode,
        "DecoderService/StreamImg2Img": decoder_pb2.DecoderServiceStreamImg2ImgRequest(
            request=decode, checkpoint_every_steps=1, resume_from=[checkpoint]
        ),
        "DecoderService/Cancel": decoder_pb2.DecoderServiceCancelRequest(request_id="r"),
        "DecoderService/GetModel": decoder_pb2.DecoderServiceGetModelRequest(),
        "DecoderService/WatchStatus": decoder_pb2.DecoderServiceWatchStatusRequest(),
    }
    return [_method(name, sample) for name, sample in samples.items()]


def wire(dice: random.Random, method: Method) -> bytes:
    """What goes over the wire: a sample, mutated in its fields, in its bytes, or nothing but random bytes."""
    kind = dice.random()
    if kind < 0.05:
        return dice.randbytes(dice.choice((0, 1, 10, 1000)))
    message = method.sample()
    for _ in range(dice.choice((0, 1, 1, 2, 3, 8))):
        mutate(dice, message)
    data = message.SerializeToString()
    return corrupted(dice, data) if kind < 0.3 else data


def mutate(dice: random.Random, message: Message) -> None:
    """Changes one field, at any depth."""
    fields: Sequence[Any] = message.DESCRIPTOR.fields  # of one type or another, as protobuf was built
    if not fields:
        return
    if isinstance(message, Tensor):
        _mutate_tensor(dice, message)
        return
    field: FieldDescriptor = dice.choice(fields)
    if dice.random() < 0.1:
        message.ClearField(field.name)
    elif field.is_repeated:
        _mutate_list(dice, message, field)
    elif field.message_type is None:
        setattr(message, field.name, _value(dice, field))
    else:
        mutate(dice, getattr(message, field.name))


def _mutate_list(dice: random.Random, message: Message, field: FieldDescriptor) -> None:
    values = getattr(message, field.name)
    if field.message_type is not None and values and dice.random() < 0.7:
        mutate(dice, dice.choice(values))
    elif field.message_type is None:
        values.extend(_value(dice, field) for _ in range(dice.choice((1, 3))))
    else:
        for _ in range(dice.choice((1, 3, 20))):
            mutate(dice, values.add())


def _mutate_tensor(dice: random.Random, tensor: Tensor) -> None:
    match dice.randrange(5):
        case 0:
            tensor.dtype = dice.choice(tuple(DataType.values()))
        case 1:
            del tensor.shape[:]
            tensor.shape.extend(dice.choice((-(2**63), -1, 0, 1, 4, 768, 2**62)) for _ in range(dice.randrange(5)))
        case 2:
            tensor.data = corrupted(dice, tensor.data)
        case 3:
            tensor.data = dice.randbytes(len(tensor.data))
        case _:
            number = struct.pack("<f", dice.choice((math.nan, math.inf, 3e38, -3e38, 1e-40, 0.0)))
            tensor.data = number * (len(tensor.data) // 4)


def _value(dice: random.Random, field: FieldDescriptor) -> object:
    match field.type:
        case FieldDescriptor.TYPE_BYTES:
            return picture(dice) if dice.random() < 0.8 else dice.randbytes(dice.choice((0, 1, 5000)))
        case FieldDescriptor.TYPE_STRING:
            return dice.choice(_IDS if field.name == "request_id" else _PROMPTS)
        case FieldDescriptor.TYPE_DOUBLE | FieldDescriptor.TYPE_FLOAT:
            return dice.choice(_FLOATS)
        case FieldDescriptor.TYPE_ENUM:
            return dice.choice((0, 1, 2, 3, 4, 99, -1))
        case FieldDescriptor.TYPE_BOOL:
            return dice.random() < 0.5
    return dice.choice(_INTEGERS)


def _method(name: str, sample: Message) -> Method:
    service = name.partition("/")[0]
    tier = {"ImageService": "gateway", "PriorService": "prior", "DecoderService": "decoder"}[service]
    streams = name.partition("/")[2] in ("StreamImg2Img", "WatchStatus")
    kind, data = type(sample), sample.SerializeToString()
    return Method(f"/imagegen.v1.{name}", tier, streams, lambda: kind.FromString(data))

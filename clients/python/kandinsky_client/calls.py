"""A call as data: the method, the message to send and how to read the answer. The clients only carry it out.

Each number or name goes into the message only when the caller gave one, so that the server's defaults hold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from imagegen.v1 import common_pb2, decoder_pb2, gateway_pb2, prior_pb2
from kandinsky_client import checks, enums, results
from kandinsky_client.errors import invalid_field
from kandinsky_client.images import ImageInput, image_bytes
from kandinsky_client.options import EncodePromptOptions, Img2ImgOptions, InterpolateOptions, PriorOptions
from kandinsky_client.results import CancelResult, EncodeResult, Event, Img2ImgResult

_Result = TypeVar("_Result")
_PARAMS = ("width", "height", "num_inference_steps", "strength", "guidance_scale", "seed", "num_images")
_LARGEST = {FieldDescriptor.TYPE_UINT32: 2**32 - 1, FieldDescriptor.TYPE_UINT64: 2**64 - 1}
_PRIOR_PARAMS = ("num_inference_steps", "guidance_scale", "seed")


@dataclass(frozen=True)
class Call(Generic[_Result]):
    """One call of ImageService.

    Attributes:
        method: its name in the service.
        request: what to send.
        read: the answer, or each event of it → what the caller gets.
        timeout_seconds: for the whole call; None: the client's own.
    """

    method: str
    request: Message
    read: Callable[[Any], _Result]
    timeout_seconds: float | None


def img2img(image: ImageInput, prompt: str, **options: Unpack[Img2ImgOptions]) -> Call[Img2ImgResult]:
    """Pictures, when they are done."""
    request = _img2img_request(image, prompt, options)
    return Call("Img2Img", request, lambda answer: results.img2img_result(answer.result), _timeout(options))


def stream_img2img(
    image: ImageInput, prompt: str, preview_every_steps: int, **options: Unpack[Img2ImgOptions]
) -> Call[Event | None]:
    """Pictures, and news while they are made."""
    request = gateway_pb2.StreamImg2ImgRequest(request=_img2img_request(image, prompt, options))
    _set(request, "preview_every_steps", preview_every_steps)
    return Call("StreamImg2Img", request, results.event, _timeout(options))


def encode_prompt(prompt: str, **options: Unpack[EncodePromptOptions]) -> Call[EncodeResult]:
    """Embeddings of a prompt."""
    _refuse_unknown(options, EncodePromptOptions)
    request = gateway_pb2.EncodePromptRequest()
    _set(request, "prompt", prompt)
    for name in ("request_id", "negative_prompt", "num_embeddings"):
        _set(request, name, options.get(name))
    _set_prior(request, options)
    checks.check_encode_prompt(request)
    return Call("EncodePrompt", request, results.encode_result, _timeout(options))


def interpolate(items: Sequence[ImageInput], **options: Unpack[InterpolateOptions]) -> Call[EncodeResult]:
    """Embeddings of a mix."""
    _refuse_unknown(options, InterpolateOptions)
    request = gateway_pb2.InterpolateRequest(items=[_item(item, index) for index, item in enumerate(items)])
    weights = options.get("weights")
    if weights is not None and len(weights) != len(items):
        raise invalid_field("items", f"needs as many weights as items; given {len(weights)} for {len(items)}")
    for index, weight in enumerate(() if weights is None else weights):
        _set(request.items[index], "weight", weight, f"items[{index}].")
    for name in ("request_id", "negative_prompt", "negative_prior_prompt"):
        _set(request, name, options.get(name))
    _set_prior(request, options)
    checks.check_interpolate(request)
    return Call("Interpolate", request, results.encode_result, _timeout(options))


def cancel(request_id: str, timeout_seconds: float | None = None) -> Call[CancelResult]:
    """The end of a request."""
    request = gateway_pb2.CancelRequest()
    _set(request, "request_id", request_id)
    return Call("Cancel", request, results.cancel_result, timeout_seconds)


def info(timeout_seconds: float | None = None) -> Call[gateway_pb2.GetServerInfoResponse]:
    """What the server says of itself."""
    return Call("GetServerInfo", gateway_pb2.GetServerInfoRequest(), lambda answer: answer, timeout_seconds)


def _img2img_request(image: ImageInput, prompt: str, options: Img2ImgOptions) -> gateway_pb2.Img2ImgRequest:
    _refuse_unknown(options, Img2ImgOptions)
    request = gateway_pb2.Img2ImgRequest(image=image_bytes(image))
    _set(request, "prompt", prompt)
    for name in ("request_id", "negative_prompt"):
        _set(request, name, options.get(name))
    for name in _PARAMS:
        _set(request.params, name, options.get(name), "params.")
    for name in _PRIOR_PARAMS:
        _set(request.prior, name, options.get(f"prior_{name}"), "prior.")
    _set_enum(request.params, "scheduler", decoder_pb2.SchedulerType.DESCRIPTOR, options)
    _set_enum(request.params, "resize_mode", decoder_pb2.ResizeMode.DESCRIPTOR, options)
    _set_enum(request.params, "output_format", decoder_pb2.ImageFormat.DESCRIPTOR, options)
    _set_enum(request, "priority", common_pb2.Priority.DESCRIPTOR, options)
    embeddings = options.get("embeddings")
    if embeddings is not None:
        request.embeddings.CopyFrom(embeddings.message)
    checks.check_img2img(request)
    return request


def _set_prior(
    request: gateway_pb2.EncodePromptRequest | gateway_pb2.InterpolateRequest, options: PriorOptions
) -> None:
    for name in _PRIOR_PARAMS:
        _set(request.params, name, options.get(name), "params.")
    _set_enum(request, "priority", common_pb2.Priority.DESCRIPTOR, options)


def _item(item: ImageInput, index: int) -> prior_pb2.InterpolationItem:
    """A text if it is a string; a picture in a file is named by a pathlib.Path."""
    message = prior_pb2.InterpolationItem()
    if isinstance(item, str):
        _set(message, "text", item, f"items[{index}].")
    else:
        message.image = image_bytes(item, f"items[{index}].image")
    return message


def _set(message: Message, name: str, value: object, prefix: str = "") -> None:
    if value is None:
        return
    largest = _LARGEST.get(message.DESCRIPTOR.fields_by_name[name].type)
    if largest is not None and isinstance(value, int) and not 0 <= value <= largest:
        raise invalid_field(prefix + name, f"{value} is outside 0 … {largest}")
    try:
        setattr(message, name, value)
    except (TypeError, ValueError) as error:  # protobuf refuses a text for a number, or a lone surrogate
        raise invalid_field(prefix + name, f"{value!r} is not allowed: {error}") from None


def _set_enum(message: Message, name: str, enum: EnumDescriptor, options: Mapping[str, Any]) -> None:
    given = options.get(name)
    if given is not None:
        path = f"params.{name}" if isinstance(message, decoder_pb2.Img2ImgParams) else name
        setattr(message, name, enums.number(enum, given, path))


def _timeout(options: Mapping[str, Any]) -> float | None:
    return options.get("timeout_seconds")


def _refuse_unknown(options: Mapping[str, Any], known: type) -> None:
    for name in options:
        if name not in known.__annotations__:
            raise TypeError(f"unexpected keyword argument {name!r}; known are {', '.join(known.__annotations__)}")

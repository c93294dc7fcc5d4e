"""A contract's request as a caller of the Python client would write it: method, arguments, options."""

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from imagegen.v1 import gateway_pb2
from kandinsky_client import Embeddings, enums

Call = tuple[str, tuple[Any, ...], dict[str, Any]]


def call_of(message: Message) -> Call:
    """What to call with what."""
    match message:
        case gateway_pb2.Img2ImgRequest():
            return "img2img", (message.image, message.prompt), img2img_options(message)
        case gateway_pb2.StreamImg2ImgRequest():
            options = img2img_options(message.request) | {"preview_every_steps": message.preview_every_steps}
            return "stream_img2img", (message.request.image, message.request.prompt), options
        case gateway_pb2.EncodePromptRequest():
            return "encode_prompt", (message.prompt,), set_fields(message, "params") | set_fields(message.params)
        case gateway_pb2.InterpolateRequest():
            items = [item.text if item.WhichOneof("content") == "text" else item.image for item in message.items]
            options = set_fields(message, "params", "items") | set_fields(message.params)
            return "interpolate", (items,), options | weights(message)
        case gateway_pb2.CancelRequest():
            return "cancel", (message.request_id,), {}
        case gateway_pb2.GetServerInfoRequest():
            return "info", (), {}
    raise TypeError(f"no call for {type(message).__name__}")


def img2img_options(message: gateway_pb2.Img2ImgRequest) -> dict[str, Any]:
    options = set_fields(message, "params", "prior", "embeddings") | set_fields(message.params)
    options |= {f"prior_{name}": value for name, value in set_fields(message.prior).items()}
    if message.HasField("embeddings"):
        options["embeddings"] = Embeddings(message.embeddings)
    return options


def weights(message: gateway_pb2.InterpolateRequest) -> dict[str, Any]:
    """The client takes a list of them; None stands for one that is not set."""
    given = [item.weight if item.HasField("weight") else None for item in message.items]
    return {"weights": given} if any(weight is not None for weight in given) else {}


def set_fields(message: Message, *but: str) -> dict[str, Any]:
    """The fields that hold something, by the name of their option; positional ones are left out."""
    fields = message.ListFields()
    return {field.name: own(field, value) for field, value in fields if field.name not in {*but, "image", "prompt"}}


def own(field: FieldDescriptor, value: Any) -> Any:
    return value if field.enum_type is None else enums.name(field.enum_type, value)

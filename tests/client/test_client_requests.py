"""What the arguments of a call become in the message that is sent."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from imagegen.v1 import common_pb2, gateway_pb2
from kandinsky_client import Embeddings, InvalidArgumentError, calls
from tests.client.fake_service import picture_file

EMBEDDINGS = Embeddings(common_pb2.ImageEmbeddings(prior_digest="abc"))

PICTURE = picture_file()

IMG2IMG_FIELDS: list[tuple[str, Any, str, Any]] = [
    ("negative_prompt", "", "negative_prompt", ""),
    ("request_id", "mine", "request_id", "mine"),
    ("priority", "low", "priority", common_pb2.PRIORITY_LOW),
    ("width", 96, "params.width", 96),
    ("height", 64, "params.height", 64),
    ("num_inference_steps", 10, "params.num_inference_steps", 10),
    ("strength", 0.29, "params.strength", 0.29),
    ("guidance_scale", 0.0, "params.guidance_scale", 0.0),
    ("seed", 0, "params.seed", 0),
    ("num_images", 3, "params.num_images", 3),
    ("scheduler", "dpm_solver_pp_2m", "params.scheduler", 3),
    ("resize_mode", "fit", "params.resize_mode", 2),
    ("output_format", "webp", "params.output_format", 3),
    ("prior_num_inference_steps", 5, "prior.num_inference_steps", 5),
    ("prior_guidance_scale", 0.0, "prior.guidance_scale", 0.0),
    ("prior_seed", 0, "prior.seed", 0),
    ("embeddings", EMBEDDINGS, "embeddings", EMBEDDINGS.message),
]


def img2img_request(**options: Any) -> gateway_pb2.Img2ImgRequest:
    request = calls.img2img(PICTURE, "a red circle", **options).request
    assert isinstance(request, gateway_pb2.Img2ImgRequest)
    return request


def set_fields(message: Any, prefix: str = "") -> dict[str, Any]:
    """The fields that a message holds, by their path."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if prefix + field.name in ("params", "prior"):
            found |= set_fields(value, f"{field.name}.")
        else:
            found[prefix + field.name] = value
    return found


def field_paths(message: Descriptor) -> set[str]:
    nested = {"params", "prior"}
    plain = {field.name for field in message.fields if field.name not in nested}
    inner = {f"{name}.{field.name}" for name in nested for field in message.fields_by_name[name].message_type.fields}
    return plain | inner


def test_a_request_without_options_holds_only_picture_and_prompt() -> None:
    assert set_fields(img2img_request()) == {"image": PICTURE, "prompt": "a red circle"}


@pytest.mark.parametrize(("option", "value", "field", "sent"), IMG2IMG_FIELDS, ids=lambda value: str(value)[:20])
def test_an_option_fills_its_field_and_no_other_even_when_it_is_zero(
    option: str, value: Any, field: str, sent: Any
) -> None:
    fields = set_fields(img2img_request(**{option: value}))
    assert fields == {"image": PICTURE, "prompt": "a red circle", field: sent}


def test_an_option_of_none_is_as_if_it_were_left_out() -> None:
    nothing = {option: None for option, *_ in IMG2IMG_FIELDS}
    assert img2img_request(**nothing) == img2img_request()


def test_every_field_of_the_contract_can_be_filled() -> None:
    reached = {"image", "prompt"} | {field for _, _, field, _ in IMG2IMG_FIELDS}
    assert reached == field_paths(gateway_pb2.Img2ImgRequest.DESCRIPTOR)


def test_a_stream_asks_for_the_same_and_for_previews() -> None:
    request = calls.stream_img2img(PICTURE, "a red circle", 5, seed=0).request
    assert request == gateway_pb2.StreamImg2ImgRequest(request=img2img_request(seed=0), preview_every_steps=5)


def test_an_unknown_option_is_refused_like_any_wrong_argument() -> None:
    with pytest.raises(TypeError, match="'stepz'"):
        img2img_request(stepz=1)


def test_a_wrong_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidArgumentError, match="ddim, ddpm, dpm_solver_pp_2m; given 'euler'") as caught:
        img2img_request(scheduler="euler")
    assert caught.value.violations[0].field == "params.scheduler"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"width": -1}, "params.width"),
        ({"seed": 2**64}, "params.seed"),
        ({"num_images": 2**32}, "params.num_images"),
        ({"seed": 1.5}, "params.seed"),
        ({"prior_seed": "x"}, "prior.seed"),
        ({"negative_prompt": "\ud800"}, "negative_prompt"),
    ],
)
def test_what_no_message_can_hold_is_refused_by_the_name_of_its_field(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        img2img_request(**options)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_encode_prompt_sends_all_its_options() -> None:
    request = calls.encode_prompt(
        "p", request_id="r", negative_prompt="", num_embeddings=2, num_inference_steps=5, guidance_scale=0.0, seed=0
    ).request
    assert request == gateway_pb2.EncodePromptRequest(
        request_id="r",
        prompt="p",
        negative_prompt="",
        num_embeddings=2,
        params={"num_inference_steps": 5, "guidance_scale": 0.0, "seed": 0},
    )


def test_interpolate_sends_strings_as_texts_and_everything_else_as_pictures(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    path.write_bytes(picture_file())
    request = calls.interpolate(["a text", path, PICTURE], weights=[0.5, 0.0, -1.0], negative_prior_prompt="").request
    items = [
        {"text": "a text", "weight": 0.5},
        {"image": picture_file(), "weight": 0.0},
        {"image": PICTURE, "weight": -1.0},
    ]
    assert request == gateway_pb2.InterpolateRequest(items=items, negative_prior_prompt="")


def test_interpolate_without_weights_sends_none() -> None:
    request = calls.interpolate(["a", "b"]).request
    assert isinstance(request, gateway_pb2.InterpolateRequest)
    assert [item.HasField("weight") for item in request.items] == [False, False]


def test_interpolate_refuses_another_number_of_weights_than_items() -> None:
    with pytest.raises(InvalidArgumentError, match="given 1 for 2"):
        calls.interpolate(["a", "b"], weights=[1.0])

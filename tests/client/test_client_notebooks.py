"""What a notebook shows of results."""

import base64
import re

from kandinsky_client import Picture, Progress
from tests.client.conftest import Caller
from tests.client.fake_service import FakeImageService, picture_file

PICTURE = Picture(picture_file(), "png", 64, 48)


def pictures_in(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


def test_a_picture_is_shown_as_the_file_it_is() -> None:
    assert pictures_in(PICTURE._repr_html_()) == [PICTURE.data]
    assert 'width="64" height="48"' in PICTURE._repr_html_()


def test_a_result_is_shown_as_its_pictures_with_their_seeds_and_cost(call: Caller, service: FakeImageService) -> None:
    service.num_results = 2
    result = call("img2img", picture_file(), "p", seed=7)
    html = result._repr_html_()
    assert pictures_in(html) == [picture.data for picture in result.pictures]
    assert re.findall(r"seed \d+", html) == ["seed 7", "seed 8"]
    assert html.endswith("4 steps, 3.5 s")


def test_progress_is_shown_with_its_preview() -> None:
    assert Progress(0, 3, 9, None)._repr_html_() == "3/9"
    assert pictures_in(Progress(0, 3, 9, PICTURE)._repr_html_()) == [PICTURE.data]


def test_the_plain_repr_is_a_line_without_the_files_bytes(call: Caller) -> None:
    result = call("img2img", picture_file(), "p", seed=7)
    assert repr(result) == (
        "Img2ImgResult(request_id='r1', pictures=(Picture(format='png', width=64, height=48),), seed=7)"
    )

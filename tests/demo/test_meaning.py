"""The demo checkpoint does what it is asked: these tests look at colours, not at numbers."""

import numpy as np
import pytest
from PIL import Image

from demo.drawing.cases import held_out_cases
from demo.measure import Demo
from demo.quality import colour_share, score, summary
from kandinsky.pipeline import img2img, interpolate, prior

SEED = 7


@pytest.mark.parametrize(
    ("prompt", "inside", "outside"),
    [
        ("a red circle on a blue background", "red", "blue"),
        ("a yellow circle on a green background", "yellow", "green"),
        ("красный круг на синем фоне", "red", "blue"),
    ],
)
def test_the_prompt_chooses_the_colours(
    prompt: str, inside: str, outside: str, demo: Demo, circle: Image.Image
) -> None:
    picture = demo.picture(prompt, circle, SEED)
    assert colour_share(picture, inside) > 0.1
    assert colour_share(picture, outside) > 0.5


def test_held_out_cases_follow_colours_and_keep_shapes(demo: Demo) -> None:
    measured = summary(demo.measure(held_out_cases(12, seed=5), demo.decoder.defaults.strength))
    assert measured.foreground >= 0.9
    assert measured.background >= 0.9
    assert measured.iou >= 0.7


def test_the_same_seed_gives_the_same_bytes_and_another_another(demo: Demo, circle: Image.Image) -> None:
    first, again, other = (
        demo.picture("a red circle on a blue background", circle, seed).tobytes() for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_mix_of_red_and_blue_lies_between(demo: Demo) -> None:
    texts = ("a red circle on a white background", "a blue circle on a white background")
    red, blue = (prior(demo.prior, text, seed=SEED).image_embeds[0] for text in texts)
    mix = interpolate(demo.prior, [(text, 0.5) for text in texts], seed=SEED).image_embeds[0]

    def near(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert near(mix, red) > near(red, blue)
    assert near(mix, blue) > near(red, blue)


def test_the_negative_prompt_pushes_away(demo: Demo, circle: Image.Image) -> None:
    prompt, avoided = "a circle on a blue background", "red"
    shares = []
    for negative in (None, "a red circle on a blue background"):
        embeddings = prior(demo.prior, prompt, seed=SEED, negative_prompt=negative)
        decoder_negative = "" if negative is None else negative
        (picture,) = img2img(demo.decoder, circle, embeddings, prompt, seed=SEED, negative_prompt=decoder_negative)
        shares.append(colour_share(picture, avoided))
    assert shares[1] <= shares[0]


def test_sizes_other_than_square_work(demo: Demo, circle: Image.Image) -> None:
    embeddings = prior(demo.prior, "a red circle on a blue background", seed=SEED)
    (picture,) = img2img(demo.decoder, circle, embeddings, "a red circle on a blue background", seed=SEED, width=192)
    assert picture.size == (192, 128)
    assert colour_share(picture, "blue") > 0.4
    assert colour_share(picture, "red") > 0.08


def test_the_score_of_a_drawn_case_is_perfect() -> None:
    """The measure itself: a picture painted as asked scores full marks, one in other colours none."""
    (case,) = held_out_cases(1, seed=3)
    painted = np.where(case.mask[..., None], (220, 30, 30), (40, 70, 220)).astype(np.uint8)
    right = score(Image.fromarray(painted), case.mask, "red", "blue")
    wrong = score(Image.fromarray(painted), case.mask, "green", "yellow")
    assert (right.foreground, right.background) == (True, True)
    assert right.iou > 0.99
    assert (wrong.foreground, wrong.background) == (False, False)

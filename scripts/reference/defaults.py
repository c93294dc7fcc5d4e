"""Cases for a checkpoint that brings none."""

from scripts.reference.pipelines import Case, Pipelines


def default_cases(pipelines: Pipelines) -> list[Case]:
    """A wide picture; the two pictures of one request for two (seeds 30 and 31); a tall one without guidance.

    All sizes are multiples of the model's granularity, as diffusers needs.
    """
    unit = pipelines.decoder.movq_scale_factor * 2 ** (len(pipelines.decoder.unet.config.block_out_channels) - 1)
    short, middle, long = (unit * -(-side // unit) for side in (64, 72, 96))
    pair = _case("красный круг на синем фоне", None, middle, short, 30) | {"steps": 9, "strength": 0.45}
    plain = {"prior_steps": 6, "prior_guidance": 1.0, "guidance": 1.0}
    return [
        _case("A fantasy landscape, cinematic lighting", "low quality, blurry", short, long, 0),
        pair,
        pair | {"seed": 31},
        _case("绿色方块 und ein roter Kreis", "blurry", long, short, 8) | plain,
    ]


def _case(prompt: str, negative_prompt: str | None, height: int, width: int, seed: int) -> Case:
    return {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "image": "sketch.png",
        "height": height,
        "width": width,
        "prior_steps": 5,
        "prior_guidance": 4.0,
        "steps": 8,
        "strength": 0.7,
        "guidance": 4.0,
        "seed": seed,
    }


def default_interpolations() -> list[Case]:
    """Two texts and a picture; and with both negative prompts, which draws rows of two."""
    text, other = {"text": "A fantasy landscape", "weight": 0.5}, {"text": "красный круг", "weight": 0.2}
    common = {"prior_steps": 5, "prior_guidance": 4.0, "negative_prior_prompt": None, "negative_prompt": ""}
    return [
        {"conditions": [text, {"image": "sketch.png", "weight": 0.3}, other], **common, "seed": 3},
        {
            "conditions": [{"image": "sketch.png", "weight": 0.6}, text],
            **common,
            "negative_prior_prompt": "low quality",
            "negative_prompt": "blurry",
            "seed": 4,
        },
    ]

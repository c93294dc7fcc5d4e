"""What a prior tells of texts that were too long for its encoder."""

from types import SimpleNamespace
from typing import Any

from prior_server.receipt import receipt_of


def cut_off(*, mix: bool, **truncated: dict[str, str]) -> dict[str, str]:
    """What the receipt tells, by field; of three contents each by its place, as p0, p1 and p2."""
    job: Any = SimpleNamespace(
        request=SimpleNamespace(arrival_seconds=0.0),
        started_seconds=0.0,
        steps_by_batch_size={},
        input=SimpleNamespace(
            contents=("a", "b", "c"),
            one_generator=mix,
            truncated={int(place.removeprefix("p")): texts for place, texts in truncated.items()},
        ),
    )
    receipt = receipt_of(job, "worker", "digest", 1.0, joined=False)
    return {truncation.field: truncation.removed_text for truncation in receipt.truncations}


def test_each_text_of_a_mix_is_told_by_its_own_name() -> None:
    told = cut_off(
        mix=True, p0={"prompt": "x"}, p1={"negative_prompt": "n"}, p2={"prompt": "y", "negative_prompt": "n"}
    )
    assert told == {"items[0].text": "x", "negative_prior_prompt": "n", "negative_prompt": "y"}


def test_a_prompt_for_several_embeddings_is_told_once() -> None:
    cut = {"prompt": "x", "negative_prompt": "n"}
    assert cut_off(mix=False, p0=cut, p1=cut, p2=cut) == cut

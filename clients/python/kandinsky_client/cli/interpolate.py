"""`kandinsky interpolate`: the embeddings of a mix of texts and pictures, in a file."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kandinsky_client.cli import outputs
from kandinsky_client.cli.encode_prompt import PriorFlags, write
from kandinsky_client.cli.failures import UsageError
from kandinsky_client.cli.sources import load_image
from serving import flags
from serving.flags import flag

DESCRIPTION = (
    "Mix texts and pictures into embeddings and keep them in a file, for kandinsky img2img --embeddings FILE. "
    "Ingredients are --text TEXT and --image FILE_OR_URL, any number of each, in any order, and each may be followed "
    "by its --weight W: interpolate --text 'a red circle' --weight 0.7 --image sketch.png --weight 0.3 --out mix.bin. "
    "Without weights all count the same."
)


@dataclass(frozen=True, kw_only=True)
class InterpolateFlags(PriorFlags):
    """The command's flags besides the ingredients."""

    negative_prompt: str | None = flag("What the picture shall not show.", default=None)
    negative_prior_prompt: str | None = flag("What the prior is guided away from for each text.", default=None)


@dataclass(frozen=True)
class Ingredient:
    """A text, or where a picture is, and its share."""

    flag: str
    value: str
    weight: float | None = None


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    ingredients, rest = parse_ingredients(argv)
    given = flags.parse(InterpolateFlags, "kandinsky interpolate", DESCRIPTION, rest)
    outputs.check_folder("--out", given.out)
    weights = weights_of(ingredients)
    items = [each.value if each.flag == "--text" else load_image(each.value) for each in ingredients]
    with given.connect() as client:
        result = client.interpolate(
            items,
            weights=weights,
            request_id=given.request_id,
            timeout_seconds=given.timeout_seconds,
            negative_prompt=given.negative_prompt,
            negative_prior_prompt=given.negative_prior_prompt,
            num_inference_steps=given.prior_steps,
            guidance_scale=given.prior_guidance_scale,
            seed=given.seed,
        )
    write(result, given.out)
    return 0


def parse_ingredients(argv: Sequence[str]) -> tuple[list[Ingredient], list[str]]:
    """The ingredients in their order, and the arguments that are something else.

    Raises:
        UsageError: a weight without an ingredient before it, or that is no number.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--text", "--image", "--weight"):
        parser.add_argument(option, action=_Collect, dest="ingredients", default=[])
    try:
        parsed, rest = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error.argument_name}: {error.message}") from error
    return parsed.ingredients, rest


def weights_of(ingredients: Sequence[Ingredient]) -> list[float] | None:
    """The weights, None if nothing has one.

    Raises:
        UsageError: there are no ingredients, or only some have a weight.
    """
    if not ingredients:
        raise UsageError("--text or --image: give at least one")
    weights = [each.weight for each in ingredients if each.weight is not None]
    if weights and len(weights) < len(ingredients):
        raise UsageError("--weight: give one after each --text and --image, or none at all")
    return weights if weights else None


class _Collect(argparse.Action):
    """Appends an ingredient, or gives the last one its weight."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the signature is argparse's
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        ingredients: list[Ingredient] = list(namespace.ingredients)
        if option != "--weight":
            ingredients.append(Ingredient(str(option), values))
        elif not ingredients or ingredients[-1].weight is not None:
            raise argparse.ArgumentError(self, "must follow the --text or --image that it belongs to")
        else:
            ingredients[-1] = replace(ingredients[-1], weight=self._number(values))
        namespace.ingredients = ingredients

    def _number(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise argparse.ArgumentError(self, f"{text!r} is not a number") from None

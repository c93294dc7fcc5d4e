"""Which of a folder's files hold its weights. Works on names alone, so it serves local folders and hub listings alike.

diffusers names its weights `diffusion_pytorch_model`, transformers `model`. Either may be one file or several shards
with an index, and either may come in variants such as fp16, whose name both libraries put before the last suffix:

    model.safetensors           model.safetensors.index.json         model-00001-of-00002.safetensors
    model.fp16.safetensors      model.safetensors.index.fp16.json    model.fp16-00001-of-00002.safetensors
"""

import re
from collections.abc import Collection
from pathlib import PurePosixPath

from kandinsky.errors import MissingFileError, PickleRefusedError

_STEM = r"(?:diffusion_pytorch_model|model)"
_VARIANT = r"[A-Za-z0-9_]+"
_SINGLE = re.compile(rf"{_STEM}(?:\.(?P<variant>{_VARIANT}))?\.safetensors")
_INDEX = re.compile(rf"{_STEM}\.safetensors\.index(?:\.(?P<variant>{_VARIANT}))?\.json")
_SHARD = re.compile(
    rf"{_STEM}(?:\.(?P<variant>{_VARIANT}))?-\d{{5}}-of-\d{{5}}(?:\.(?P<late_variant>{_VARIANT}))?\.safetensors"
)
_PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})


def choose_weights(names: Collection[str], variant: str | None, place: str) -> str:
    """The name of the weights file, or of the shards' index, to use.

    Args:
        names: names of the files of one component's folder.
        variant: the variant asked for; None takes the plain weights, or the only variant where there are no plain ones.
        place: what to call the folder in errors.

    Raises:
        PickleRefusedError: the weights are there, but only as pickle files.
        MissingFileError: there are no weights, or not of this variant.
    """
    found = _entry_points(names)
    if not found:
        raise _no_weights(names, place)
    if variant is None and None not in found and len(found) == 1:
        return next(iter(found.values()))
    if variant not in found:
        offered = ", ".join(sorted(name or "the plain one" for name in found))
        asked = "plain weights" if variant is None else f"weights of the variant {variant!r}"
        raise MissingFileError(f"{place} has no {asked}; choose a variant that it has: {offered}")
    return found[variant]


def variant_to_use(names: Collection[str], others: Collection[str], variant: str | None) -> str | None:
    """The variant to choose in one folder: the asked one, or None where only other components have it, as in diffusers.

    Args:
        names: names of the files of the component's folder.
        others: names of the files of all components' folders.
        variant: the variant asked for.
    """
    return None if variant not in _entry_points(names) and variant in _entry_points(others) else variant


def shards_of(names: Collection[str], index: str) -> tuple[str, ...]:
    """The names that look like shards of this index; for listings, where the index cannot be opened yet."""
    match = _INDEX.fullmatch(index)
    if match is None:
        return ()
    shards = ((name, _SHARD.fullmatch(name)) for name in sorted(names))
    return tuple(
        name
        for name, shard in shards
        if shard is not None and (shard["variant"] or shard["late_variant"]) == match["variant"]
    )


def _entry_points(names: Collection[str]) -> dict[str | None, str]:
    """The single file or index of each variant; a single file wins over an index, as in the libraries."""
    found: dict[str | None, str] = {}
    for pattern in (_SINGLE, _INDEX):
        for name in sorted(names):
            match = pattern.fullmatch(name)
            if match is not None:
                found.setdefault(match["variant"], name)
    return found


def _no_weights(names: Collection[str], place: str) -> MissingFileError | PickleRefusedError:
    pickles = sorted(name for name in names if PurePosixPath(name).suffix in _PICKLE_SUFFIXES)
    if not pickles:
        return MissingFileError(f"{place} holds no safetensors weights; download the checkpoint again")
    return PickleRefusedError(
        f"{place} holds its weights only as pickle ({', '.join(pickles)}), which can run code when read; convert them "
        "where you trust the file: load the component with diffusers or transformers and "
        "save_pretrained(folder, safe_serialization=True)"
    )

"""Finds a checkpoint: a local folder, or a Hugging Face repository on the hub or in the cache."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from kandinsky.checkpoint.weight_names import choose_weights, shards_of, variant_to_use
from kandinsky.errors import ModelNotFoundError

_REPOSITORY = re.compile(r"(?P<id>[A-Za-z0-9_][\w.-]*/[\w.-]+)(?:@(?P<revision>\S+))?", re.ASCII)
_SETTINGS_SUFFIXES = frozenset({".json", ".model", ".txt"})


def locate(model: str, components: Sequence[str], variant: str | None = None) -> Path:
    """The folder of a checkpoint, downloaded if need be.

    Only the asked components' settings, tokenizer files and safetensors weights are downloaded, and of the weights
    only the asked variant. The cache and its environment variables (HF_HOME, HF_HUB_OFFLINE, HF_ENDPOINT, HF_TOKEN)
    are huggingface_hub's own; when the hub cannot be reached, what is cached is used.

    Args:
        model: a local folder, or a repository as OWNER/NAME or OWNER/NAME@REVISION.
        components: the folders that are needed.
        variant: weights of this variant, such as "fp16", of the components that have it; an error if none does.
            None for the plain ones, or the only ones there are.

    Raises:
        ModelNotFoundError: there is no such folder, and no such repository on the hub or in the cache.
        MissingFileError: the repository has no weights of this variant.
        PickleRefusedError: the repository has its weights as pickle only.
    """
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return folder
    repository, revision = parse_repository(model)
    # Only now: a local folder does not need it, and it takes a sixth of a second to import.
    from kandinsky.checkpoint.hub import fetch

    return fetch(repository, revision, components, variant)


def parse_repository(model: str) -> tuple[str, str | None]:
    """Repository and revision of OWNER/NAME[@REVISION].

    Raises:
        ModelNotFoundError: it is of another form.
    """
    repository = _REPOSITORY.fullmatch(model)
    if repository is None:
        raise ModelNotFoundError(
            f"{model!r} is no folder here; give a folder that exists, or a repository as OWNER/NAME[@REVISION]"
        )
    return repository["id"], repository["revision"]


def wanted_files(names: Collection[str], components: Sequence[str], variant: str | None, place: str) -> list[str]:
    """Which of a repository's files the components need.

    Args:
        names: paths of all files in the repository.
        components: the folders that are needed.
        variant: as for `locate`.
        place: what to call the repository in errors.

    Raises:
        MissingFileError, PickleRefusedError: as for `locate`.
    """
    wanted = [name for name in names if "/" not in name and name.endswith(".json")]
    paths = [PurePosixPath(name) for name in names]
    everywhere = [path.name for path in paths if str(path.parent) in components]
    for component in components:
        inside = [path.name for path in paths if str(path.parent) == component]
        usable = variant_to_use(inside, everywhere, variant)
        wanted += (f"{component}/{name}" for name in _needed(inside, usable, f"{place}/{component}"))
    return wanted


def _needed(names: Collection[str], variant: str | None, place: str) -> Iterator[str]:
    """Of one component's files. One with a config.json is a network and needs weights."""
    yield from (name for name in sorted(names) if PurePosixPath(name).suffix in _SETTINGS_SUFFIXES)
    if "config.json" in names:
        chosen = choose_weights(names, variant, place)
        yield from shards_of(names, chosen) if chosen.endswith(".json") else (chosen,)

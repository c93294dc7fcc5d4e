"""Fetches a repository from the hub into huggingface_hub's cache, or finds it there."""

import logging
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from kandinsky.checkpoint.location import wanted_files
from kandinsky.errors import ModelNotFoundError

_logger = logging.getLogger(__name__)

_LISTING_TIMEOUT_SECONDS = 10.0


def fetch(repository: str, revision: str | None, components: Sequence[str], variant: str | None) -> Path:
    """The folder of a repository, downloaded if need be; when the hub cannot be reached, what is cached.

    Args:
        repository: OWNER/NAME.
        revision: branch, tag or commit; None for the default branch.
        components: the folders that are needed.
        variant: of the weights, as for `locate`.

    Raises:
        ModelNotFoundError, MissingFileError, PickleRefusedError: as for `locate`.
    """
    try:
        info = HfApi().model_info(repository, revision=revision, timeout=_LISTING_TIMEOUT_SECONDS)
    except Exception as error:  # the hub's own errors and those of whichever HTTP library it uses
        return _cached(repository, revision, error)
    names = [file.rfilename for file in info.siblings or ()]
    if "model_index.json" not in names:
        raise ModelNotFoundError(f"{repository} has no model_index.json, so it is no diffusers pipeline; name another")
    wanted = wanted_files(names, components, variant, repository)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except Exception as error:
        raise ModelNotFoundError(
            f"the download of {repository} stopped ({summary(error)}); check network and disk, and start again: "
            "it goes on where it stopped"
        ) from None


def _cached(repository: str, revision: str | None, reason: Exception) -> Path:
    try:
        folder = snapshot_download(
            repository, revision=revision, local_files_only=True, allow_patterns=["model_index.json"]
        )
    except LocalEntryNotFoundError:
        raise ModelNotFoundError(advice(repository, revision, reason)) from None
    if not isinstance(reason, OfflineModeIsEnabled):
        _logger.warning("using the cached %s: the hub gave no listing (%s)", repository, summary(reason))
    return Path(folder)


def advice(repository: str, revision: str | None, reason: Exception) -> str:
    """What to do about a hub that gave no listing."""
    cache = f"is not in the cache {constants.HF_HUB_CACHE}"
    match reason:
        case OfflineModeIsEnabled():
            return f"{repository} {cache}, and HF_HUB_OFFLINE forbids to download it; unset it, or name a local folder"
        case GatedRepoError():
            return f"{repository} needs permission: ask for it on {constants.ENDPOINT}/{repository} and set HF_TOKEN"
        case RevisionNotFoundError():
            return f"{repository} has no revision {revision!r}; name a branch, tag or commit that it has"
        case RepositoryNotFoundError():
            return (
                f"there is no folder {repository!r} here and no such repository on {constants.ENDPOINT}; "
                "check the name, or set HF_TOKEN if it is private"
            )
    return (
        f"{repository} {cache}, and {constants.ENDPOINT} cannot be reached ({summary(reason)}); "
        "check the network, or name a local folder"
    )


def summary(error: Exception) -> str:
    """An error's class and its message's first line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]

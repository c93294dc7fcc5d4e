"""Downloads a pinned revision to a folder of its own, which is there only when all of it is there and right.

Unlike `locate`, which shares huggingface_hub's cache, this is for volumes that many machines read: nobody sees half a
checkpoint.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.hf_api import RepoSibling

from kandinsky.checkpoint.hub import advice, summary
from kandinsky.checkpoint.location import parse_repository, wanted_files
from kandinsky.errors import CorruptFileError, MissingFileError, ModelNotFoundError

MANIFEST_NAME = "SHA256SUMS"

_logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_LISTING_TIMEOUT_SECONDS = 30.0
_HASH_CHUNK_BYTES = 2**22

Manifest = Mapping[str, str]


def read_manifest(text: str) -> dict[str, str]:
    """Path → SHA-256 of lines as `sha256sum` prints them.

    Raises:
        ValueError: a line is of another form, or names a path outside the folder.
    """
    digests = {}
    for line in filter(None, text.splitlines()):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)
        if match is None or match[2].startswith("/") or ".." in match[2].split("/"):
            raise ValueError(f"{line!r} is no line of a sha256 manifest; it must be SHA256, two spaces, PATH")
        digests[match[2]] = match[1]
    return digests


def download(
    model: str, components: Sequence[str], variant: str | None, manifest: Manifest | None, folder: Path
) -> bool:
    """Has a revision in a folder; False when it was there already.

    Files go to a hidden folder beside it, where a download that was cut off is continued; are checked; and appear by
    one rename, with what they are in SHA256SUMS. Several processes of a machine may call it at once: one downloads.

    Args:
        model: OWNER/NAME@COMMIT; a branch would be another model tomorrow.
        components: the folders that are needed.
        variant: of the weights, as for `locate`.
        manifest: what every file must be; None for what the hub itself says.
        folder: where they shall be.

    Raises:
        ModelNotFoundError: the revision isn't pinned, isn't there, or cannot be reached.
        MissingFileError: the repository lacks a file of the manifest, or has one more.
        CorruptFileError: a file is another than it should be; it is removed, so that the next try fetches it again.
    """
    repository, revision = _pinned(model)
    if _is_there(folder, manifest):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f".{folder.name}.lock")):
        if _is_there(folder, manifest):
            return False
        staging = folder.with_name(f".{folder.name}.partial")
        digests = _fetch(repository, revision, components, variant, manifest, staging)
        lines = (f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        (staging / MANIFEST_NAME).write_text("".join(lines))
        shutil.rmtree(staging / ".cache", ignore_errors=True)  # huggingface_hub's notes on unfinished files
        staging.rename(folder)
        _sync(folder.parent)
        return True


def _pinned(model: str) -> tuple[str, str]:
    repository, revision = parse_repository(model)
    if revision is None or not _COMMIT.fullmatch(revision):
        raise ModelNotFoundError(
            f"{model!r} is not pinned; name OWNER/NAME@COMMIT with the commit's 40 hexadecimal digits"
        )
    return repository, revision


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process of this machine at a time."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            _logger.warning("%s: this volume has no locks (%s); let only one process download", lock, error)
        yield


def _is_there(folder: Path, manifest: Manifest | None) -> bool:
    """Whether the files are there, which were checked before the folder got its name.

    Raises:
        CorruptFileError: others than the manifest says are.
    """
    if not folder.is_dir():
        return False
    path = folder / MANIFEST_NAME
    there = read_manifest(path.read_text()) if path.exists() else {}
    if manifest is not None and there != manifest:
        raise CorruptFileError(f"{folder} holds other files than the manifest says; remove the folder, or name another")
    return True


def _fetch(
    repository: str,
    revision: str,
    components: Sequence[str],
    variant: str | None,
    manifest: Manifest | None,
    staging: Path,
) -> Manifest:
    """The files, checked; their digests."""
    listed = _listing(repository, revision)
    wanted = wanted_files(list(listed), components, variant, repository)
    if manifest is not None and set(wanted) != set(manifest):
        differing = ", ".join(sorted(set(wanted) ^ set(manifest)))
        raise MissingFileError(f"{repository}@{revision} and the manifest don't name the same files; see {differing}")
    try:
        snapshot_download(repository, revision=revision, allow_patterns=wanted, local_dir=staging)
    except Exception as error:  # the hub's own errors and those of whichever HTTP library it uses
        raise ModelNotFoundError(
            f"the download of {repository} stopped ({summary(error)}); start again: it goes on where it stopped"
        ) from None
    expected = {} if manifest is None else manifest
    return {name: _checked(staging / name, listed[name], expected.get(name)) for name in wanted}


def _listing(repository: str, revision: str) -> dict[str, RepoSibling]:
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=_LISTING_TIMEOUT_SECONDS)
    except Exception as error:  # likewise
        raise ModelNotFoundError(advice(repository, revision, error)) from None
    listed = {file.rfilename: file for file in info.siblings or ()}
    if "model_index.json" not in listed:
        raise ModelNotFoundError(f"{repository} has no model_index.json, so it is no diffusers pipeline; name another")
    return listed


def _checked(path: Path, listed: RepoSibling, expected: str | None) -> str:
    """The file's SHA-256.

    Raises:
        CorruptFileError: it is not the expected one, or not what the hub says of the file.
    """
    digest = _digest(path, hashlib.sha256())
    if expected is None and listed.lfs is not None:
        expected = listed.lfs.sha256
    right = digest == expected if expected is not None else _git_digest(path) == listed.blob_id
    if not right:
        path.unlink()
        raise CorruptFileError(f"{path.name} has not the bytes that it should have (sha256 {digest}); start again")
    _logger.info("checked %s", listed.rfilename)
    return digest


def _git_digest(path: Path) -> str:
    """What git calls the file; all that the hub says of small ones."""
    start = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    return _digest(path, start)


def _digest(path: Path, state: "hashlib._Hash") -> str:
    with path.open("rb") as file:
        read: Callable[[], bytes] = lambda: file.read(_HASH_CHUNK_BYTES)  # noqa: E731 - only for iter
        for chunk in iter(read, b""):
            state.update(chunk)
        os.fsync(file.fileno())
    return state.hexdigest()


def _sync(folder: Path) -> None:
    """The rename reaches the disk before anybody is told of it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

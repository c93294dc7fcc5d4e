"""Where a picture comes from: a file, or an address that this command fetches, because the server never does."""

import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from kandinsky_client.cli.failures import UsageError

MAX_IMAGE_BYTES = 32 * 2**20
FETCH_SECONDS = 30.0
_CHUNK_BYTES = 2**16


def load_image(
    source: str, max_bytes: int = MAX_IMAGE_BYTES, fetch_seconds: float = FETCH_SECONDS, flag: str = "--image"
) -> bytes:
    """The bytes of the picture file at a path or an http(s) address.

    Raises:
        UsageError: it cannot be had, or is larger than `max_bytes`.
    """
    try:
        if source.startswith(("http://", "https://")):
            return _fetch(source, max_bytes, fetch_seconds)
        with Path(source).open("rb") as file:
            return _read(file, max_bytes, deadline=None)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise UsageError(f"{flag}: {source}: {reason}") from error


def _fetch(url: str, max_bytes: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    request = urllib.request.Request(url, headers={"User-Agent": "kandinsky-serving"})  # noqa: S310 - http(s) only
    try:
        with _opener().open(request, timeout=seconds) as answer:
            return _read(answer, max_bytes, deadline)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise ValueError(f"HTTP status {error.code}, {error.reason}") from None


def _opener() -> urllib.request.OpenerDirector:
    """An opener without urllib's file: and ftp:, to which a redirect could lead."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _read(file: IO[bytes], max_bytes: int, deadline: float | None) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise ValueError(f"larger than {max_bytes} bytes")
        if deadline is not None and time.monotonic() > deadline:
            raise ValueError("took too long to arrive")
    return b"".join(chunks)

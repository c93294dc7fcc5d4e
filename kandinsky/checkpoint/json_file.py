"""Reads a checkpoint's JSON files, with errors in one line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kandinsky.errors import CorruptFileError, MissingFileError


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object that the file holds.

    Raises:
        MissingFileError: there is no such file.
        CorruptFileError: it is not UTF-8, not JSON, or JSON but not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{path} is missing; download the checkpoint again") from None
    except OSError as error:
        raise CorruptFileError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CorruptFileError(f"{path} is not valid JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise CorruptFileError(f"{path} holds a JSON {type(value).__name__} where an object is needed")
    return value

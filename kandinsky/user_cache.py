"""Where this machine keeps what is made once and used at every start."""

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """The user's cache folder for this project; made where it is not there.

    Raises:
        OSError, RuntimeError: there is none to write to, or no home.
    """
    told = os.environ.get("XDG_CACHE_HOME", "")
    folder = (Path.home() / ".cache" if told == "" else Path(told)) / "kandinsky-serving"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

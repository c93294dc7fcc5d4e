"""`kandinsky-weights`: brings a model to a volume, and waits for one that somebody else brings.

    kandinsky-weights download --tier prior --model OWNER/NAME@COMMIT --folder /weights/NAME
    kandinsky-weights wait --folder /weights/NAME

For the jobs and init containers of a cluster; `wait` is small and imports next to nothing.
"""

import logging
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from serving import flags, logs
from serving.flags import flag

_POLL_SECONDS = 1.0
_USAGE = (
    "kandinsky-weights download|wait [flags]: bring a model to a folder, or wait until it is there (--help of each)"
)

_log = logging.getLogger("worker.weights")


@dataclass(frozen=True, kw_only=True)
class DownloadFlags:
    """The flags of `kandinsky-weights download`."""

    tier: Literal["prior", "decoder"] = flag("Whose model it is; says which files are needed.")
    model: str = flag("Repository and commit, OWNER/NAME@COMMIT.", metavar="ID@COMMIT")
    folder: Path = flag("Folder that shall hold the files; appears when they are all there and right.")
    variant: str | None = flag("Variant of the weight files, for example fp16.", default=None, metavar="NAME")
    manifest: Path | None = flag(
        "What each file's SHA-256 must be, as sha256sum prints it; none: what the hub says.",
        default=None,
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class WaitFlags:
    """The flags of `kandinsky-weights wait`."""

    folder: Path = flag("Folder that is waited for.")
    seconds: float = flag("How long.", default=3600.0, minimum=0)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a subcommand and exit: 0 done, 1 it could not be, with one line that says why, 2 wrong flags."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The first process of a container is not ended by signals that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logs.configure("info")
    match arguments:
        case ["download", *rest]:
            problem = _download(flags.parse(DownloadFlags, "kandinsky-weights download", "Brings a model.", rest))
        case ["wait", *rest]:
            problem = _wait(flags.parse(WaitFlags, "kandinsky-weights wait", "Waits for a model.", rest))
        case ["--help" | "-h"]:
            sys.stdout.write(f"{_USAGE}\n")
            sys.exit(0)
        case _:
            sys.stderr.write(f"{_USAGE}\n")
            sys.exit(2)
    if problem is not None:
        sys.stderr.write(f"kandinsky-weights: {problem}\n")
    sys.exit(0 if problem is None else 1)


def _download(given: DownloadFlags) -> str | None:
    """What went wrong; None for nothing."""
    from kandinsky.checkpoint.download import download, read_manifest
    from kandinsky.decoder_model import DECODER_COMPONENTS
    from kandinsky.errors import KandinskyError
    from kandinsky.prior_model import PRIOR_COMPONENTS

    components = {"prior": PRIOR_COMPONENTS, "decoder": DECODER_COMPONENTS}[given.tier]
    started = time.monotonic()
    try:
        manifest = None if given.manifest is None else read_manifest(given.manifest.read_text())
        fetched = download(given.model, components, given.variant, manifest, given.folder)
    except (KandinskyError, OSError, ValueError) as error:
        return str(error)
    _log.info(
        "downloaded" if fetched else "was there already",
        extra={"folder": str(given.folder), "seconds": round(time.monotonic() - started, 1)},
    )
    return None


def _wait(given: WaitFlags) -> str | None:
    """What went wrong; None for nothing."""
    last = time.monotonic() + given.seconds
    _log.info("waiting", extra={"folder": str(given.folder)})
    while not given.folder.is_dir():
        left_seconds = last - time.monotonic()
        if left_seconds <= 0:
            return f"{given.folder} did not appear within {given.seconds:g} s; see the download's log"
        time.sleep(min(_POLL_SECONDS, left_seconds))
    return None


if __name__ == "__main__":
    main()

"""The three servers as processes of their own, and what they hold of memory."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

CHECKPOINT = Path(__file__).resolve().parents[2] / "demo" / "checkpoint"

# Small enough that no request, however mutated, keeps the device for long, and that caches are soon full: from then on
# memory has no reason to grow. All sizes that can be asked for are compiled before the first call.
_WORKER = ("--max-image-pixels", "1000000", "--text-cache-bytes", "1MiB")
_DECODER = ("--max-side-px", "128", "--max-num-images", "2", "--sizes", "64x64,128x64,64x128,128x128")
_GATEWAY = ("--cache-bytes", "1MiB")


class Process:
    """A server that is ready, and where it is."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "--port", "0"], stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        self.address = line.rpartition(" ready on ")[2].strip()
        if not self.address:
            raise RuntimeError(f"{command[0]} did not start: {log.read_text()}")

    @property
    def has_crashed(self) -> bool:
        """Whether it has ended though nobody has stopped it."""
        return self._process.poll() is not None

    def resident_bytes(self) -> int:
        """Memory that it has in RAM."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(60)


@contextmanager
def servers(logs: Path) -> Iterator[Mapping[str, Process]]:
    """All three, by tier; their logs go into the folder."""
    with ExitStack() as stack:

        def start(tier: str, *command: str) -> Process:
            process = Process(command, logs / f"{tier}.log")
            stack.callback(process.stop)
            return process

        prior = start("prior", "prior_server", "--model", str(CHECKPOINT / "prior"), *_WORKER)
        model = str(CHECKPOINT / "decoder")
        decoder = start("decoder", "decoder_server", "--model", model, *_WORKER, *_DECODER)
        gateway = start("gateway", "gateway", "--prior", prior.address, "--decoder", decoder.address, *_GATEWAY)
        yield {"gateway": gateway, "prior": prior, "decoder": decoder}

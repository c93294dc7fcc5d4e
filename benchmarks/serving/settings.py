"""What every server under test is told, handed on in one environment variable: not all of them pass arguments on."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
SKETCH = ROOT / "demo" / "sketch.png"

_VARIABLE = "KANDINSKY_BENCH_SERVING"


@dataclass(frozen=True)
class Settings:
    """The networks, and what is compiled before requests come.

    Attributes:
        models: folder with prior/ and decoder/.
        sides_px: width and height of the pictures.
        batch_sizes: ascending; the last is the largest batch that a dynamic batcher hands over.
        workers: of a peer, each a process with the whole pipeline.
    """

    models: str
    sides_px: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    workers: int = 1

    @property
    def prior(self) -> Path:
        """The prior's folder."""
        return Path(self.models) / "prior"

    @property
    def decoder(self) -> Path:
        """The decoder's folder."""
        return Path(self.models) / "decoder"

    @property
    def largest_batch(self) -> int:
        """How many requests a batch may have."""
        return self.batch_sizes[-1]

    def environment(self) -> dict[str, str]:
        """The variable by which a process of its own knows them."""
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> Self:
        """What this process was told."""
        fields = json.loads(os.environ[_VARIABLE])
        return cls(fields["models"], tuple(fields["sides_px"]), tuple(fields["batch_sizes"]), fields["workers"])

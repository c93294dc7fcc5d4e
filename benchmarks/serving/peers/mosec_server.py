"""mosec: worker processes behind its server in Rust. Batch window: that of its examples."""

from mosec import Server, Worker

from benchmarks.serving.job import Job
from benchmarks.serving.settings import Settings

_WINDOW_MS = 10


class Kandinsky(Worker):
    """The pipeline."""

    resp_mime_type = "image/png"

    def __init__(self) -> None:
        from benchmarks.serving.predictor import Predictor  # only here: no other process needs MindSpore

        self._predictor = Predictor(Settings.from_environment())

    def forward(self, data: list[dict[str, object]]) -> list[bytes]:
        """A batch."""
        return self._predictor.pictures([Job.from_json(fields) for fields in data])

    def serialize(self, data: bytes) -> bytes:
        """An answer."""
        return data


def main() -> None:
    """Serves; mosec reads --address, --port and --timeout itself."""
    settings = Settings.from_environment()
    server = Server()
    server.append_worker(
        Kandinsky,
        num=settings.workers,
        max_batch_size=settings.largest_batch,
        max_wait_time=_WINDOW_MS,
    )
    server.run()


if __name__ == "__main__":
    main()

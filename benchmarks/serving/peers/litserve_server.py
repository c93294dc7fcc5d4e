"""LitServe: worker processes behind FastAPI. Batch window: that of its documentation."""

import sys

import litserve
from fastapi import Response

from benchmarks.serving.job import Job
from benchmarks.serving.settings import Settings

_WINDOW_SECONDS = 0.1
_REQUEST_SECONDS = 600


class Kandinsky(litserve.LitAPI):
    """The pipeline."""

    def setup(self, device: str) -> None:
        """In the worker process."""
        from benchmarks.serving.predictor import Predictor  # only here: no other process needs MindSpore

        del device
        self._predictor = Predictor(Settings.from_environment())

    def decode_request(self, request: dict[str, object]) -> Job:
        """What was sent."""
        return Job.from_json(request)

    def batch(self, inputs: list[Job]) -> list[Job]:
        """Requests that came together."""
        return inputs

    def predict(self, x: list[Job]) -> list[bytes]:
        """A batch."""
        return self._predictor.pictures(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Each request's picture."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """An answer."""
        return Response(content=output, media_type="image/png")


def main() -> None:
    """Serves at the port that is the first argument."""
    settings = Settings.from_environment()
    api = Kandinsky(max_batch_size=settings.largest_batch, batch_timeout=_WINDOW_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=settings.workers, timeout=_REQUEST_SECONDS)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()

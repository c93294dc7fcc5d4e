"""Ray Serve: replicas behind its proxy. Batch window: the decorator's default."""

import asyncio
import signal
import sys
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.serving.job import Job
from benchmarks.serving.settings import Settings

_WINDOW_SECONDS = 0.01
_MOST_AT_ONCE = 1000
_SETTINGS = Settings.from_environment()
_REQUEST_SECONDS = 600


@serve.deployment(num_replicas=_SETTINGS.workers, max_ongoing_requests=_MOST_AT_ONCE)
class Kandinsky:
    """The pipeline."""

    def __init__(self) -> None:
        from benchmarks.serving.predictor import Predictor  # only here: no other process needs MindSpore

        self._predictor = Predictor(_SETTINGS)

    async def __call__(self, request: Request) -> Response:
        """A request."""
        job = Job.from_json(await request.json())
        return Response(await self._picture(job), media_type="image/png")

    @serve.batch(max_batch_size=_SETTINGS.largest_batch, batch_wait_timeout_s=_WINDOW_SECONDS)
    async def _picture(self, jobs: list[Job]) -> list[bytes]:
        return await asyncio.to_thread(self._predictor.pictures, jobs)


def main() -> None:
    """Serves at the port that is the first argument, until told to stop."""
    stop = threading.Event()
    ray.init("local", include_dashboard=False)
    options = {"host": "127.0.0.1", "port": int(sys.argv[1]), "request_timeout_s": _REQUEST_SECONDS}
    serve.start(http_options=options)
    serve.run(Kandinsky.bind())  # type: ignore[attr-defined]  # the decorator's
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()

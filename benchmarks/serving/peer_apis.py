"""How each peer is started and asked."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.serving.job import Job

_SERVERS = "benchmarks.serving.peers"
_REQUEST_SECONDS = 600


def _as_json(job: Job) -> Any:
    return job.to_json()


def _as_list(job: Job) -> Any:
    """BentoML's batchable endpoints take a list: a batch of one, which the server merges with others."""
    return {"jobs": [job.to_json()]}


def _as_is(answer: bytes) -> bytes:
    return answer


def _first_base64(answer: bytes) -> bytes:
    (picture,) = json.loads(answer)
    return base64.b64decode(picture)


@dataclass(frozen=True)
class PeerApi:
    """How a peer is started and asked.

    Attributes:
        package: what is measured, for its version.
        command: arguments of Python, from the port.
        path: of its endpoint.
        body: what is sent for a job, as JSON.
        picture: the file in its answer.
    """

    package: str
    command: Callable[[int], list[str]]
    path: str
    body: Callable[[Job], Any] = _as_json
    picture: Callable[[bytes], bytes] = _as_is


PEERS: Mapping[str, PeerApi] = {
    "mosec": PeerApi(
        "mosec",
        lambda port: [
            *["-m", f"{_SERVERS}.mosec_server", "--address", "127.0.0.1", "--port", str(port)],
            *["--timeout", str(1000 * _REQUEST_SECONDS)],  # in milliseconds; 3000 by default
        ],
        "/inference",
    ),
    "LitServe": PeerApi("litserve", lambda port: ["-m", f"{_SERVERS}.litserve_server", str(port)], "/predict"),
    "BentoML": PeerApi(
        "bentoml",
        lambda port: [
            *["-m", "bentoml", "serve", f"{_SERVERS}.bentoml_service:Kandinsky"],
            *["--host", "127.0.0.1", "--port", str(port)],
        ],
        "/pictures",
        _as_list,
        _first_base64,
    ),
    "Ray Serve": PeerApi("ray", lambda port: ["-m", f"{_SERVERS}.ray_server", str(port)], "/"),
}

"""`kandinsky serve`: a whole server on this machine, as three child processes on loopback."""

import importlib.util
import os
import socket
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kandinsky_client.cli import supervisor
from kandinsky_client.cli.failures import OTHER, UsageError
from serving import flags
from serving.flags import flag

DESCRIPTION = (
    "Run prior, decoder and gateway on this machine until Ctrl-C. Without a model: the demo checkpoint that comes with "
    "this package. Prints one line when it is ready. Any other setting of the three servers is taken from its "
    "environment variable."
)

# Where a checkpoint may be that needs no download: in the installed package, in the repository, and there the small
# one with random weights that the tests use.
_PACKAGE = Path(__file__).resolve().parent.parent
_REPOSITORY = _PACKAGE.parents[2]
_BUNDLED = (_PACKAGE / "checkpoint", _REPOSITORY / "demo/checkpoint", _REPOSITORY / "tests/reference/tiny")

# Between the three there is nothing but loopback: TLS is for the gateway's clients, and a port can only be had once.
_OF_A_PUBLIC_SERVER = ("TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TLS_CLIENT_NAMES", "HEALTH_PORT", "METRICS_PORT")
_OF_REMOTE_WORKERS = ("WORKER_CA", "WORKER_CERT", "WORKER_KEY")

# For handing over what is left, and for ending.
_AFTER_DRAINING_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ServeFlags:
    """The command's flags."""

    prior_model: str | None = flag("The prior: repository id, or folder.", default=None, metavar="ID_OR_DIR")
    decoder_model: str | None = flag("The decoder: repository id, or folder.", default=None, metavar="ID_OR_DIR")
    host: str = flag("Address to listen on; 0.0.0.0: all of the machine's.", default="127.0.0.1", metavar="ADDRESS")
    port: int = flag("Port to listen on; 0: one that the system chooses.", default=50050, minimum=0, maximum=65535)
    device: Literal["CPU", "Ascend"] | None = flag("What the workers run on; left out: they choose.", default=None)
    dtype: Literal["float32", "float16"] | None = flag(
        "What the workers compute in; left out: they choose.", default=None
    )
    drain_seconds: float = flag("How long running requests may take after Ctrl-C.", default=30.0, minimum=0)
    log_level: Literal["debug", "info", "warning", "error"] = flag("Least level that is logged.", default="warning")


def run(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    given = flags.parse(ServeFlags, "kandinsky serve", DESCRIPTION, argv)
    models = models_of(given)
    problem = _problem(given)
    if problem is not None:
        print(f"kandinsky serve: {problem}", file=sys.stderr)
        return OTHER
    return supervisor.run(plan_of(given, *models))


def models_of(given: ServeFlags) -> tuple[str, str]:
    """Prior and decoder: those that were asked for, or the bundled ones.

    Raises:
        UsageError: only one was asked for, or there are no bundled ones.
    """
    if given.prior_model is not None and given.decoder_model is not None:
        return given.prior_model, given.decoder_model
    if given.prior_model is not None or given.decoder_model is not None:
        raise UsageError("--prior-model and --decoder-model: give both, or none for the demo checkpoint")
    for folder in _BUNDLED:
        if folder.is_dir():
            return str(folder / "prior"), str(folder / "decoder")
    raise UsageError("--prior-model and --decoder-model: this installation has no demo checkpoint; give both")


def plan_of(given: ServeFlags, prior_model: str, decoder_model: str) -> supervisor.Plan:
    """The three command lines. The workers' ports are the system's choice."""
    everywhere = ["--log-level", given.log_level, "--drain-seconds", str(given.drain_seconds)]
    worker = ["--host", "127.0.0.1", "--port", "0", *everywhere]
    if given.device is not None:
        worker += ["--device", given.device]
    if given.dtype is not None:
        worker += ["--dtype", given.dtype]
    public = ["--host", given.host, "--port", str(given.port), *everywhere]
    return supervisor.Plan(
        prior=[*_module("prior_server"), "--model", prior_model, *worker],
        decoder=[*_module("decoder_server"), "--model", decoder_model, *worker],
        gateway=lambda prior, decoder: [*_module("gateway"), "--prior", prior, "--decoder", decoder, *public],
        announcement=lambda address: (
            f"kandinsky serving on {address} (prior {prior_model}, decoder {decoder_model}); Ctrl-C stops it"
        ),
        stop_seconds=given.drain_seconds + _AFTER_DRAINING_SECONDS,
        worker_environment=_without(_OF_A_PUBLIC_SERVER),
        gateway_environment=_without(_OF_REMOTE_WORKERS),
    )


def _without(settings: Collection[str]) -> dict[str, str]:
    """The environment of this process, without some settings."""
    names = {flags.ENVIRONMENT_PREFIX + setting for setting in settings}
    return {name: value for name, value in os.environ.items() if name not in names}


def _module(name: str) -> list[str]:
    """One of our packages, run by this Python, and not a folder of its name in the current directory (-P)."""
    return [sys.executable, "-P", "-m", name]


def _problem(given: ServeFlags) -> str | None:
    """What the servers would stumble over only after models have been loaded."""
    if importlib.util.find_spec("mindspore") is None:
        return 'running models needs MindSpore: pip install "kandinsky-serving[worker]"'
    family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the gateway does
            probe.bind((given.host, given.port))
    except OSError as error:
        return f"cannot listen on {given.host}:{given.port}: {error.strerror}; choose another --port"
    return None

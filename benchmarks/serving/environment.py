"""The environment of every process under test, ours and the peers', so that all have the same machine."""

import os

from benchmarks.serving.settings import ROOT, Settings


def environment(settings: Settings, threads: int, folder: str) -> dict[str, str]:
    """Variables of a process.

    Args:
        settings: the networks, and what is compiled before requests come.
        threads: of numerical libraries.
        folder: for the servers' own files; short, for the names of sockets in it may not be long.
    """
    return {
        **os.environ,
        **settings.environment(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")]),
        "OMP_NUM_THREADS": str(threads),
        "ONEDNN_MAX_CPU_ISA": "AVX2",  # read at MindSpore's first operator
        "GLOG_v": "3",
        "TMPDIR": folder,
        "RAY_TMPDIR": folder,
        "BENTOML_HOME": folder,
        # They tell nobody that they are used.
        "RAY_USAGE_STATS_ENABLED": "0",
        "BENTOML_DO_NOT_TRACK": "True",
    }

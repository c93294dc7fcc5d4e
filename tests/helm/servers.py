"""A release's three servers as real processes, started in the order and with the patience of a kubelet."""

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anatomy import containers_of, pod_of, server_of
from cluster import Cluster, Kubelet, ended, eventually
from rendering import Object, of_kind, render, the

TIERS = ("prior", "decoder", "gateway")


@dataclass
class Running:
    """The three servers of a release.

    Attributes:
        objects: what was rendered.
        kubelets: by tier, likewise the processes.
        alive_before_ready: the tiers that were seen alive and not yet started.
    """

    objects: list[Object]
    kubelets: dict[str, Kubelet]
    processes: dict[str, "subprocess.Popen[str]"]
    alive_before_ready: set[str]

    def port(self, tier: str, name: str) -> int:
        ports = self.kubelets[tier].container["ports"]
        return next(int(port["containerPort"]) for port in ports if port["name"] == name)

    def metrics(self, tier: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port(tier, 'metrics')}/metrics", timeout=10) as answer:
            return str(answer.read().decode())


@contextmanager
def release(values: dict[str, Any], folder: Path, secrets: dict[str, dict[str, bytes]]) -> Iterator[Running]:
    """Starts all containers in a pod's order, waits until the startup probes pass, and ends what is left at the end."""
    objects = render(values)
    cluster = Cluster(objects, folder, secrets)
    deployments = {tier: the(objects, "Deployment", tier) for tier in TIERS}
    with ExitStack() as stack:
        jobs = [(job, cluster.start(job, *containers_of(job))) for job in of_kind(objects, "Job")]
        stack.enter_context(ended([process for _, process in jobs]))
        for deployment in deployments.values():
            for container in pod_of(deployment).get("initContainers", ()):
                process = cluster.start(deployment, container)
                stack.enter_context(ended([process]))
                assert process.wait(120) == 0, cluster.log(container)
        processes = {tier: cluster.start(item, server_of(item)) for tier, item in deployments.items()}
        stack.enter_context(ended(list(processes.values())))
        running = Running(
            objects, {tier: Kubelet(server_of(item)) for tier, item in deployments.items()}, processes, set()
        )
        for tier, kubelet in running.kubelets.items():
            assert _started(running, tier, kubelet), cluster.log(kubelet.container)
        yield running


def _started(running: Running, tier: str, kubelet: Kubelet) -> bool:
    def is_started() -> bool:
        if kubelet.passes("startupProbe"):
            return True
        if kubelet.passes("livenessProbe"):
            running.alive_before_ready.add(tier)
        return False

    patience = kubelet.patience_seconds()
    return eventually(is_started, patience, lambda: _still_runs(running.processes[tier]))


def _still_runs(process: "subprocess.Popen[str]") -> None:
    """A pause that ends with the process."""
    try:
        code = process.wait(0.05)
    except subprocess.TimeoutExpired:
        return
    pytest.fail(f"the server ended with {code}")

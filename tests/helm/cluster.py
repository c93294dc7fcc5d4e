"""Plays the parts of a cluster that a server sees: kubelet, volumes, DNS. Processes, flags and ports are real.

What is rendered is used as it is: command, arguments, environment, working directory, ports, probes, grace. Only paths
are translated, from the container's to this machine's.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from anatomy import name_of, pod_of
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from rendering import ROOT, Object, of_kind

_ENTRY_POINTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# The image's own files, inside and here.
IMAGE = {"/opt/kandinsky/demo": ROOT / "demo" / "checkpoint"}
# Every process finds the Services' names at 127.0.0.1, as pods find them at their cluster's DNS.
_DNS = """
import os, socket
ask = socket.getaddrinfo
names = frozenset(os.environ["CLUSTER_SERVICES"].split(","))
socket.getaddrinfo = lambda host, *more, **options: ask("127.0.0.1" if host in names else host, *more, **options)
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def own_ports() -> dict[str, Any]:
    """Values by which the tiers' ports don't meet: pods have addresses of their own, processes here don't."""
    ports = iter(free_ports(9))
    tiers = ("gateway", "prior", "decoder")
    return {tier: {"ports": {name: next(ports) for name in ("grpc", "health", "metrics")}} for tier in tiers}


class Cluster:
    """Runs containers of rendered objects.

    Args:
        objects: what was rendered.
        folder: for volumes and scratch space.
        secrets: what the Secrets hold that somebody else makes: name → file → content.
    """

    def __init__(self, objects: list[Object], folder: Path, secrets: Mapping[str, Mapping[str, bytes]]) -> None:
        self._folder = folder
        self._files = {("secret", name): files for name, files in secrets.items()}
        for item in of_kind(objects, "ConfigMap"):
            name = item["metadata"]["name"]
            self._files["configMap", name] = {key: value.encode() for key, value in item["data"].items()}
        (folder / "sitecustomize.py").write_text(_DNS)
        self._services = ",".join(item["metadata"]["name"] for item in of_kind(objects, "Service"))

    def start(self, workload: Object, container: Any) -> "subprocess.Popen[str]":
        """Starts a container of a workload's pods."""
        paths = self._paths(workload, container)
        (entry,) = container["command"]
        module, _, function = _ENTRY_POINTS[entry].partition(":")
        program = [sys.executable, "-P", "-c", f"from {module} import {function}; {function}()"]
        arguments = [_translated(argument, paths) for argument in container["args"]]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join([str(self._folder), str(ROOT), str(ROOT / "clients" / "python")]),
            "CLUSTER_SERVICES": self._services,
            **{variable["name"]: _value(variable, container, paths) for variable in container.get("env", ())},
        }
        directory = _translated(container.get("workingDir", "/tmp"), paths)  # noqa: S108 - the container's
        with (self._folder / f"{container['name']}.log").open("w") as log:
            return subprocess.Popen(
                [*program, *arguments], cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True
            )

    def log(self, container: Any) -> str:
        """What a container has written."""
        return (self._folder / f"{container['name']}.log").read_text()

    def _paths(self, workload: Object, container: Any) -> dict[str, Path]:
        volumes = {volume["name"]: volume for volume in pod_of(workload)["volumes"]}
        mounts = container.get("volumeMounts", ())
        mounted = {mount["mountPath"]: self._volume(workload, volumes[mount["name"]]) for mount in mounts}
        return {**IMAGE, **mounted}

    def _volume(self, workload: Object, volume: Any) -> Path:
        if "persistentVolumeClaim" in volume:
            place = self._folder / volume["persistentVolumeClaim"]["claimName"]
        else:
            place = self._folder / name_of(workload).replace("/", "-") / volume["name"]
        place.mkdir(parents=True, exist_ok=True)
        for kind, key in (("secret", "secretName"), ("configMap", "name")):
            if kind in volume:
                for file, content in self._files[kind, volume[kind][key]].items():
                    (place / file).write_bytes(content)
        return place


class Kubelet:
    """One container's probes, asked as a kubelet asks them."""

    def __init__(self, container: Any) -> None:
        self.container = container

    def passes(self, probe: str) -> bool:
        """Whether a probe succeeds now: startupProbe, readinessProbe or livenessProbe."""
        asked = self.container[probe]
        with grpc.insecure_channel(f"127.0.0.1:{asked['grpc']['port']}") as channel:
            request = HealthCheckRequest(service=asked["grpc"].get("service", ""))
            try:
                answer = HealthStub(channel).Check(request, timeout=asked["timeoutSeconds"])
            except grpc.RpcError:
                return False
        return bool(answer.status == HealthCheckResponse.SERVING)

    def patience_seconds(self) -> float:
        """How long the container may take to start."""
        probe = self.container["startupProbe"]
        return float(probe["failureThreshold"] * probe["periodSeconds"])


@contextmanager
def ended(processes: list["subprocess.Popen[str]"]) -> Iterator[None]:
    """None of the processes outlives the body."""
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


def _translated(text: str, paths: Mapping[str, Path]) -> str:
    """An argument or path with the container's folders replaced by this machine's."""
    start, _, path = text.rpartition("=") if text.startswith("--") else ("", "", text)
    for inside, outside in paths.items():
        if path == inside or path.startswith(f"{inside}/"):
            path = f"{outside}{path.removeprefix(inside)}"
            break
    return f"{start}={path}" if start else path


def _value(variable: Any, container: Any, paths: Mapping[str, Path]) -> str:
    if "value" in variable:
        return _translated(variable["value"], paths)
    asked = variable["valueFrom"]["resourceFieldRef"]
    if (asked["containerName"], asked["resource"]) != (container["name"], "limits.cpu"):
        raise LookupError(f"{variable['name']} asks for {asked}")
    return str(_whole_cpus(str(container["resources"]["limits"]["cpu"])))


def _whole_cpus(quantity: str) -> int:
    """CPUs rounded up, as a kubelet tells them."""
    return -(-int(quantity.removesuffix("m")) // 1000) if quantity.endswith("m") else int(quantity)


def eventually(holds: Callable[[], bool], within_seconds: float, pause: Callable[[], object]) -> bool:
    """Whether something comes to hold in time; `pause` waits between two looks."""
    last = time.monotonic() + within_seconds
    while not holds():
        if time.monotonic() > last:
            return False
        pause()
    return True

"""The nodes that a control plane lacks: objects, and what kubelets would say of the pods on them."""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from control_plane import Api


def add_volume(api: Api, name: str) -> None:
    """A volume that a claim without a class can have."""
    spec = {
        "capacity": {"storage": "1Ti"},
        "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": "/nowhere"},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    api.call("POST", "/api/v1/persistentvolumes", {"metadata": {"name": name}, "spec": spec})


def add_node(api: Api, name: str, resources: Mapping[str, str], taints: list[Mapping[str, str]]) -> None:
    """A node with these resources, besides plenty of everything else."""
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", **resources}
    labels = {"kubernetes.io/hostname": name, "accelerator": "huawei-Ascend910"}
    node = {"metadata": {"name": name, "labels": labels}, "spec": {"taints": taints}}
    api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", **node})
    status = {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
    api.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, "application/merge-patch+json")


class FakeKubelet:
    """Says of every scheduled pod that it runs and is ready, of a job's that it is done, and lets deleted ones go.

    Attributes:
        gets_ready: whether pods become ready; those that are stay so.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.gets_ready = True

    def __enter__(self) -> "FakeKubelet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            with suppress(OSError):  # a busy machine; the next look will see
                for pod in self._api.items("/api/v1/pods"):
                    self._tend(pod)

    def _tend(self, pod: Any) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        if "deletionTimestamp" in pod["metadata"]:
            self._api.call("DELETE", path, {"gracePeriodSeconds": 0})
        elif pod["spec"].get("nodeName") and pod["status"]["phase"] == "Pending" and self.gets_ready:
            done = pod["spec"]["restartPolicy"] != "Always"
            ready = {"type": "Ready", "status": "False" if done else "True"}
            status = {"phase": "Succeeded" if done else "Running", "conditions": [ready], "podIP": "10.1.0.1"}
            self._api.call("PATCH", f"{path}/status", {"status": status}, "application/strategic-merge-patch+json")

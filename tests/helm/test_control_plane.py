"""The chart on a real control plane with NPU nodes that are only objects; see control_plane.py.

Runs where KUBEBUILDER_ASSETS is a folder with etcd, kube-apiserver and kubectl; most of it only where
kube-controller-manager and kube-scheduler are there too.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster import eventually, own_ports
from control_plane import ControlPlane, acts, control_plane
from fake_nodes import FakeKubelet, add_node, add_volume
from metrics_adapter import metrics_adapter
from prometheus_client.parser import text_string_to_metric_families
from rendering import CHART, COMBINATIONS, NAMESPACE, RELEASE, ROOT, TOOLS, render, values_of
from schemas import is_custom
from servers import Running, release

from kandinsky_client import Client, KandinskyClientError

ASSETS = Path(os.environ["KUBEBUILDER_ASSETS"])
NPU = "huawei.com/Ascend910"
TAINT = {"key": NPU, "effect": "NoSchedule"}
PATIENCE_SECONDS = 60

needs_controllers = pytest.mark.skipif(not acts(ASSETS), reason="KUBEBUILDER_ASSETS has no controllers and scheduler")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(ASSETS, tmp_path_factory.mktemp("control-plane")) as running:
        for name in ("cpu-0", "cpu-1"):
            add_node(running.api, name, {}, [])
        add_node(running.api, "npu-0", {NPU: "3"}, [TAINT])
        strictest = {"pod-security.kubernetes.io/warn": "restricted"}
        running.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": strictest}})
        yield running


@pytest.fixture
def kubelet(plane: ControlPlane) -> Iterator[FakeKubelet]:
    with FakeKubelet(plane.api) as running:
        yield running


Helm = Callable[..., str]


@pytest.fixture
def helm(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Helm]:
    """Real helm in a namespace of the test's own; whatever it installs is gone afterwards."""
    namespace = _namespace(request)
    add_volume(plane.api, namespace)

    def run(*arguments: str) -> str:
        options = ["--kubeconfig", str(plane.kubeconfig), "--namespace", namespace]
        done = subprocess.run([str(TOOLS / "helm"), *arguments, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    plane.api.call("DELETE", f"/api/v1/namespaces/{namespace}")
    if not acts(ASSETS):
        return
    path = f"/api/v1/namespaces/{namespace}"
    assert _soon(lambda: plane.api.call("GET", path)[0] == 404), "the namespace does not go"


@pytest.fixture
def path(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """A kind's path in the API, in the test's namespace."""
    groups = {
        "deployments": "/apis/apps/v1",
        "horizontalpodautoscalers": "/apis/autoscaling/v2",
        "jobs": "/apis/batch/v1",
        "poddisruptionbudgets": "/apis/policy/v1",
    }
    return lambda kind: f"{groups.get(kind, '/api/v1')}/namespaces/{_namespace(request)}/{kind}"


InNamespace = Callable[[str], str]


def _namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.originalname).removeprefix("test_").replace("_", "-")[:60].rstrip("-")


def _soon(holds: Callable[[], bool]) -> bool:
    return eventually(holds, PATIENCE_SECONDS, lambda: threading.Event().wait(0.1))


def _values(tmp_path: Path, values: Mapping[str, Any]) -> str:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    return str(file)


def _deployment(plane: ControlPlane, path: InNamespace, tier: str) -> Any:
    return plane.api.get(f"{path('deployments')}/{RELEASE}-kandinsky-serving-{tier}")


def _pods(plane: ControlPlane, path: InNamespace, tier: str) -> list[Any]:
    return plane.api.items(
        f"{path('pods')}?labelSelector=app.kubernetes.io/name=kandinsky-serving,app.kubernetes.io/component={tier}"
    )


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_api_server_accepts(plane: ControlPlane, combination: str) -> None:
    items = [item for item in render(values_of(combination)) if not is_custom(item)]
    command = [
        str(ASSETS / "kubectl"),
        "--kubeconfig",
        str(plane.kubeconfig),
        "create",
        "--dry-run=server",
        "--namespace",
        NAMESPACE,
    ]
    done = subprocess.run(
        [*command, "--validate=strict", "--filename=-"],
        input=yaml.safe_dump_all(items),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(server dry run)") == len(items)
    # Only who mounts the node's folders is less than restricted.
    assert ("restricted volume types" in done.stderr) == (combination in ("ascend-volcano", "host-path"))
    assert all("hostPath" in line for line in done.stderr.splitlines() if "Warning" in line)


def test_a_release_goes_through_its_life(
    plane: ControlPlane, kubelet: FakeKubelet, helm: Helm, path: InNamespace, tmp_path: Path
) -> None:
    values = values_of("ascend")
    helm("install", RELEASE, str(CHART), "--create-namespace", "--values", _values(tmp_path, values))
    assert _deployment(plane, path, "decoder")["spec"]["replicas"] == 4
    values["decoder"]["replicas"] = 2
    helm("upgrade", RELEASE, str(CHART), "--values", _values(tmp_path, values))
    assert _deployment(plane, path, "decoder")["spec"]["replicas"] == 2
    helm("rollback", RELEASE, "1")
    assert _deployment(plane, path, "decoder")["spec"]["replicas"] == 4
    helm("uninstall", RELEASE)
    assert plane.api.items(path("deployments")) == []


@needs_controllers
def test_pods_come_up_are_replaced_and_go(
    plane: ControlPlane, kubelet: FakeKubelet, helm: Helm, path: InNamespace, tmp_path: Path
) -> None:
    values = values_of("ascend")
    values["decoder"]["replicas"] = 2
    helm("install", RELEASE, str(CHART), "--create-namespace", "--values", _values(tmp_path, values), "--wait")
    assert _soon(lambda: [job["status"].get("succeeded") for job in plane.api.items(path("jobs"))] == [1, 1])
    assert _deployment(plane, path, "decoder")["status"]["readyReplicas"] == 2
    first = {pod["metadata"]["uid"] for pod in _pods(plane, path, "decoder")}
    # All three NPUs are in use: the rollout has to take one away before it can start the next.
    values["logLevel"] = "debug"
    helm("upgrade", RELEASE, str(CHART), "--values", _values(tmp_path, values), "--wait")
    pods = _pods(plane, path, "decoder")
    assert not first & {pod["metadata"]["uid"] for pod in pods}
    assert all("--log-level=debug" in pod["spec"]["containers"][0]["args"] for pod in pods)
    helm("rollback", RELEASE, "1", "--wait")
    assert all("--log-level=info" in pod["spec"]["containers"][0]["args"] for pod in _pods(plane, path, "decoder"))
    helm("uninstall", RELEASE, "--wait")
    for kind in ("deployments", "services", "poddisruptionbudgets"):
        assert plane.api.items(path(kind)) == []
    assert len(plane.api.items(path("persistentvolumeclaims"))) == 1, "the weights are kept"
    helm("install", RELEASE, str(CHART), "--values", _values(tmp_path, values), "--wait")
    assert _deployment(plane, path, "decoder")["status"]["readyReplicas"] == 2, "with the weights that were kept"


@needs_controllers
def test_a_pod_beyond_the_npus_stays_pending(
    plane: ControlPlane, kubelet: FakeKubelet, helm: Helm, path: InNamespace, tmp_path: Path
) -> None:
    values = values_of("ascend")
    values["decoder"]["replicas"] = 4
    helm("install", RELEASE, str(CHART), "--create-namespace", "--values", _values(tmp_path, values))
    assert _soon(lambda: _deployment(plane, path, "decoder")["status"].get("readyReplicas") == 2)
    assert _soon(lambda: all(_reason(pod) for pod in _pods(plane, path, "decoder") if not _is_placed(pod)))
    waiting = [pod for pod in _pods(plane, path, "decoder") if not _is_placed(pod)]
    assert len(waiting) == 2
    assert all(f"Insufficient {NPU}" in _reason(pod) for pod in waiting)
    assert all(pod["spec"]["nodeName"] == "npu-0" for pod in _pods(plane, path, "decoder") if _is_placed(pod))


def _is_placed(pod: Any) -> bool:
    return "nodeName" in pod["spec"]


def _reason(pod: Any) -> str:
    """Why a pod is not placed."""
    conditions = pod["status"].get("conditions", ())
    return next((each["message"] for each in conditions if each["type"] == "PodScheduled"), "")


@needs_controllers
def test_a_drain_respects_the_budget(
    plane: ControlPlane, kubelet: FakeKubelet, helm: Helm, path: InNamespace, tmp_path: Path
) -> None:
    values = {"global": {"demo": True}, "gateway": {"autoscaling": {"kind": "hpa", "minReplicas": 2}}}
    helm("install", RELEASE, str(CHART), "--create-namespace", "--values", _values(tmp_path, values), "--wait")
    budget = f"{path('poddisruptionbudgets')}/{RELEASE}-kandinsky-serving-gateway"
    assert _soon(lambda: _ready(plane, path, "gateway") == 2)
    assert _soon(lambda: plane.api.get(budget)["status"]["disruptionsAllowed"] == 1)
    kubelet.gets_ready = False
    first, second = (pod["metadata"]["name"] for pod in _pods(plane, path, "gateway"))
    assert _evict(plane, path, first) == 201
    assert _evict(plane, path, second) == 429, "the replacement is not ready"
    kubelet.gets_ready = True
    assert _soon(lambda: plane.api.get(budget)["status"]["disruptionsAllowed"] == 1)
    node = next(pod["spec"]["nodeName"] for pod in _pods(plane, path, "gateway"))
    drain = ["drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"]
    subprocess.run(
        [str(ASSETS / "kubectl"), "--kubeconfig", str(plane.kubeconfig), *drain], check=True, capture_output=True
    )
    assert all(pod["spec"].get("nodeName") != node for pod in _pods(plane, path, "gateway"))
    subprocess.run([str(ASSETS / "kubectl"), "--kubeconfig", str(plane.kubeconfig), "uncordon", node], check=True)


def _ready(plane: ControlPlane, path: InNamespace, tier: str) -> int:
    return int(_deployment(plane, path, tier)["status"].get("readyReplicas", 0))


def _evict(plane: ControlPlane, path: InNamespace, pod: str) -> int:
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    status, _ = plane.api.call("POST", f"{path('pods')}/{pod}/eviction", eviction)
    return status


@needs_controllers
def test_the_hpa_follows_the_work_that_the_gateway_reports(
    plane: ControlPlane, kubelet: FakeKubelet, helm: Helm, path: InNamespace, tmp_path: Path
) -> None:
    values = values_of("hpa")
    del values["monitoring"]  # there is no Prometheus operator
    values["prior"]["autoscaling"] = {"kind": "none"}
    values["decoder"]["autoscaling"] |= {
        "minReplicas": 1,
        "maxReplicas": 2,
        "targetQueuedSeconds": 4,
        "scaleDownSeconds": 0,
    }
    helm("install", RELEASE, str(CHART), "--create-namespace", "--values", _values(tmp_path, values))
    hpa = f"{path('horizontalpodautoscalers')}/{RELEASE}-kandinsky-serving-decoder"
    with release({"global": {"demo": True}, **own_ports()}, tmp_path, {}) as running:

        def read(name: str, labels: Mapping[str, str]) -> float:
            assert name == "kandinsky_tier_queued_work_seconds"
            assert labels["app_kubernetes_io_instance"] == RELEASE
            return _queued_work(running, labels["tier"])

        def replicas(tier: str) -> int:
            return int(_deployment(plane, path, tier)["spec"]["replicas"])

        with metrics_adapter(plane, read):
            assert _soon(lambda: "currentMetrics" in plane.api.get(hpa)["status"])
            assert replicas("decoder") == 1
            with Work(running):
                assert _soon(lambda: replicas("decoder") == 2)
            assert _soon(lambda: replicas("decoder") == 1)
            assert replicas("prior") == 1, "the tiers scale on their own"


def _queued_work(running: Running, tier: str) -> float:
    """What the rule in docs/kubernetes.md computes: sum(max by (worker) (kandinsky_worker_queued_work_seconds))."""
    most: dict[str, float] = {}
    for family in text_string_to_metric_families(running.metrics("gateway")):
        for sample in family.samples:
            if sample.name == "kandinsky_worker_queued_work_seconds" and sample.labels["tier"] == tier:
                worker = sample.labels["worker"]
                most[worker] = max(most.get(worker, 0.0), sample.value)
    return sum(most.values())


class Work:
    """Pictures in the making, more than one decoder can do in the target time; given up at the end."""

    def __init__(self, running: Running) -> None:
        self._client = Client(f"127.0.0.1:{running.port('gateway', 'grpc')}")
        self._threads = ThreadPoolExecutor(8)
        self._ids = [f"work-{number}" for number in range(8)]

    def __enter__(self) -> None:
        for name in self._ids:
            self._threads.submit(self._make, name)

    def __exit__(self, *_: object) -> None:
        for name in self._ids:
            self._client.cancel(name)
        self._threads.shutdown()
        self._client.close()

    def _make(self, name: str) -> None:
        sketch = ROOT / "demo" / "sketch.png"
        with suppress(KandinskyClientError):  # it is cancelled
            self._client.img2img(sketch, "a red circle", request_id=name, num_inference_steps=900, strength=0.9)

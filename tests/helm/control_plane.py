"""A real control plane on loopback, from the programs in KUBEBUILDER_ASSETS, and the nodes that it lacks.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are real; nodes are objects, and `FakeKubelet` says of
the pods on them what kubelets would: they run, they are ready, they have ended.
"""

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme
from cluster import ended, eventually, free_ports
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ReadMetric = Callable[[str, Mapping[str, str]], float]

_METRICS_API = "v1beta1.external.metrics.k8s.io"

_START_SECONDS = 60
_CONTROLLER_FLAGS = (
    # Nobody sends heartbeats for the nodes.
    "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-node-ipam-controller",
    "--service-account-private-key-file=accounts.key",
    "--root-ca-file=ca.pem",
    "--horizontal-pod-autoscaler-sync-period=1s",
)


class Api:
    """The API server, as its administrator."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._port = port
        self._context = context

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """Status and answer of one request."""
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._context, timeout=10)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": kind, "Accept": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content.decode()

    def get(self, path: str) -> Any:
        """What is at a path; a KeyError if nothing is."""
        status, answer = self.call("GET", path)
        if status != 200:
            raise KeyError(answer)
        return answer

    def items(self, path: str) -> list[Any]:
        """A list's items."""
        return list(self.get(path)["items"])


@dataclass
class ControlPlane:
    """What is needed to use it.

    Attributes:
        api: its API.
        kubeconfig: for kubectl and helm.
        authority: signs whom it trusts.
    """

    api: Api
    kubeconfig: Path
    authority: trustme.CA


def acts(assets: Path) -> bool:
    """Whether the programs are there that make pods of Deployments, and place them."""
    return all((assets / name).exists() for name in ("kube-controller-manager", "kube-scheduler"))


@contextmanager
def control_plane(assets: Path, folder: Path) -> Iterator[ControlPlane]:
    """Starts the programs, and ends them after the body; without the two that act on objects, if they are not there."""
    authority = trustme.CA()
    plane = _prepare(folder, authority)
    etcd, peer, port = (plane.ports[name] for name in ("etcd", "peer", "api"))
    with ExitStack() as stack:

        def start(name: str, *flags: str) -> None:
            with (folder / f"{name}.log").open("w") as log:
                process = subprocess.Popen(
                    [str(assets / name), *flags], stdout=log, stderr=subprocess.STDOUT, cwd=folder
                )
            stack.enter_context(ended([process]))

        start(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        start("kube-apiserver", *_api_server_flags(folder, etcd, port))
        api = Api(port, plane.context)
        assert eventually(lambda: _is_ready(api), _START_SECONDS, _pause), (folder / "kube-apiserver.log").read_text()
        common = (f"--kubeconfig={plane.kubeconfig}", "--leader-elect=false", "--secure-port=0")
        if acts(assets):
            start("kube-controller-manager", *common, *_CONTROLLER_FLAGS)
            start("kube-scheduler", *common)
        yield ControlPlane(api, plane.kubeconfig, authority)


@dataclass
class _Prepared:
    ports: Mapping[str, int]
    context: ssl.SSLContext
    kubeconfig: Path


def _prepare(folder: Path, authority: trustme.CA) -> _Prepared:
    """Keys, certificates and the kubeconfig."""
    ports = dict(zip(("etcd", "peer", "api"), free_ports(3), strict=True))
    authority.cert_pem.write_to_path(folder / "ca.pem")
    serving = authority.issue_cert("127.0.0.1", "localhost")
    # Certificates of this organisation are the administrator's.
    admin = authority.issue_cert("admin.example.org", common_name="admin", organization_name="system:masters")
    proxy = authority.issue_cert("proxy.example.org", common_name="aggregator")
    for name, own in (("serving", serving), ("admin", admin), ("proxy", proxy)):
        own.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    admin.configure_cert(context)
    kubeconfig = folder / "kubeconfig"
    server = {"server": f"https://127.0.0.1:{ports['api']}", "certificate-authority": "ca.pem"}
    user = {"client-certificate": "admin.pem", "client-key": "admin.pem"}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": server}],
                "users": [{"name": "admin", "user": user}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                "current-context": "test",
            }
        )
    )
    return _Prepared(ports, context, kubeconfig)


def _api_server_flags(folder: Path, etcd: int, port: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder}",
        "--tls-cert-file=serving.pem",
        "--tls-private-key-file=serving.pem",
        "--client-ca-file=ca.pem",
        "--authorization-mode=RBAC",
        # Nobody would take its taint off the nodes.
        "--disable-admission-plugins=TaintNodesByCondition",
        "--service-account-issuer=https://127.0.0.1",
        "--service-account-key-file=accounts.key",
        "--service-account-signing-key-file=accounts.key",
        "--service-cluster-ip-range=10.0.0.0/24",
        # For APIs that others serve, such as metrics.
        "--requestheader-client-ca-file=ca.pem",
        "--requestheader-allowed-names=aggregator",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--proxy-client-cert-file=proxy.pem",
        "--proxy-client-key-file=proxy.pem",
        "--endpoint-reconciler-type=none",
    ]


def _is_ready(api: Api) -> bool:
    try:
        return api.call("GET", "/readyz")[0] == 200
    except OSError:
        return False


def _pause() -> None:
    threading.Event().wait(0.1)


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


@contextmanager
def metrics_adapter(plane: ControlPlane, read: ReadMetric) -> Iterator[None]:
    """Serves external.metrics.k8s.io, as prometheus-adapter does, for the length of the body.

    Args:
        plane: where it is registered.
        read: the metric's value, given its name and the labels that are asked for.
    """

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(_metric_answer(self.path, read)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stays silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    plane.authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        _register(plane.api, server.server_port)
        yield
    finally:
        # Left behind without anybody who serves it, it would keep namespaces from being deleted.
        plane.api.call("DELETE", f"/apis/apiregistration.k8s.io/v1/apiservices/{_METRICS_API}")
        plane.api.call("DELETE", "/api/v1/namespaces/default/services/adapter")
        server.shutdown()
        server.server_close()
        thread.join()


def _metric_answer(path: str, read: ReadMetric) -> Any:
    parts = urlsplit(path)
    match parts.path.strip("/").split("/"):
        case ["apis", "external.metrics.k8s.io", "v1beta1", "namespaces", _, name]:
            (selector,) = parse_qs(parts.query)["labelSelector"]
            labels = dict(part.split("=", 1) for part in selector.split(","))
            item = {"metricName": name, "metricLabels": labels, "timestamp": "2026-01-01T00:00:00Z"}
            item["value"] = f"{round(read(name, labels) * 1000)}m"
            return {
                "kind": "ExternalMetricValueList",
                "apiVersion": "external.metrics.k8s.io/v1beta1",
                "metadata": {},
                "items": [item],
            }
    resource = {
        "name": "metrics",
        "singularName": "",
        "namespaced": True,
        "kind": "ExternalMetricValueList",
        "verbs": ["get"],
    }
    group = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1"}
    return {**group, "resources": [resource]}


def _register(api: Api, port: int) -> None:
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    metadata = {"name": "adapter", "namespace": "default"}
    api.call("POST", "/api/v1/namespaces/default/services", {"metadata": metadata, "spec": service})
    spec = {
        "service": {"name": "adapter", "namespace": "default", "port": port},
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = {"name": _METRICS_API}
    api.call("POST", "/apis/apiregistration.k8s.io/v1/apiservices", {"metadata": name, "spec": spec})

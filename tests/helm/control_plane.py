"""A real control plane on loopback, of the programs in KUBEBUILDER_ASSETS. Its nodes are only objects: fake_nodes."""

import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cluster import ended, eventually, free_ports
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

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

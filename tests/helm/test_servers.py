"""The real servers, started as the rendered Deployments say, probed as a kubelet probes, used through their port."""

import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cluster import Cluster, Kubelet, ended, eventually, own_ports
from laws import containers_of, pod_of, server_of
from PIL import Image
from rendering import ROOT, Object, of_kind, render, the, values_of
from stand_in_hub import MAIN, PINNED, REPOSITORY, StandInHub

from kandinsky_client import Client, Img2ImgResult, Progress, Tls, UnauthenticatedError
from kandinsky_client.cli.token import with_hash
from serving.tokens import hashed, new_token

TIERS = ("prior", "decoder", "gateway")
SKETCH = ROOT / "demo" / "sketch.png"
PROMPT = "a red circle on a blue background"


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


def test_the_demo_starts_makes_a_picture_and_drains(tmp_path: Path) -> None:
    values = {"global": {"demo": True}, **own_ports()}
    with release(values, tmp_path, {}) as running:
        assert {"prior", "decoder"} <= running.alive_before_ready, "liveness waits for no model"
        for kubelet in running.kubelets.values():
            assert kubelet.passes("readinessProbe")
            assert kubelet.passes("livenessProbe")
        with Client(f"127.0.0.1:{running.port('gateway', 'grpc')}") as client:
            picture = client.img2img(SKETCH, PROMPT).image
            assert min(picture.size) >= 128
            assert _is_red_on_blue(picture)
            for tier in TIERS:
                assert "kandinsky_requests_total" in running.metrics(tier)
            _tell_autoscaling_of_their_work(running)
            _drains(running, client)


def _tell_autoscaling_of_their_work(running: Running) -> None:
    """The series by which HPAs and KEDA scale have the labels that they ask for."""
    told = running.metrics("gateway")
    for scaler in of_kind(render(values_of("hpa")), "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "External":
                tier = metric["external"]["metric"]["selector"]["matchLabels"]["tier"]
                assert f'kandinsky_worker_queued_work_seconds{{tier="{tier}",worker="' in told


def _drains(running: Running, client: Client) -> None:
    """SIGTERM while a picture is made: not ready, but alive; the picture is finished; all end within their grace."""
    grace = {tier: pod_of(the(running.objects, "Deployment", tier))["terminationGracePeriodSeconds"] for tier in TIERS}
    events = client.stream_img2img(SKETCH, PROMPT, num_inference_steps=300, strength=0.5)
    next(event for event in events if isinstance(event, Progress))
    began = time.monotonic()
    for process in running.processes.values():
        process.send_signal(signal.SIGTERM)
    for kubelet in running.kubelets.values():
        assert eventually(lambda kubelet=kubelet: not kubelet.passes("readinessProbe"), 5, _short_pause)
    assert running.kubelets["decoder"].passes("livenessProbe")
    *_, last = events
    assert isinstance(last, Img2ImgResult)
    for tier, process in running.processes.items():
        assert process.wait(grace[tier]) == 0, tier
        assert time.monotonic() - began < grace[tier]


def _short_pause() -> None:
    threading.Event().wait(0.02)


def _is_red_on_blue(picture: Image.Image) -> bool:
    width, height = picture.size
    (red, _, blue), (other_red, _, other_blue) = picture.getpixel((width // 2, height // 2)), picture.getpixel((3, 3))
    return red > blue and other_blue > other_red


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    """A hub that has the demo's two models as two revisions."""
    server = StandInHub()
    for revision, tier in ((PINNED, "prior"), (MAIN, "decoder")):
        folder = ROOT / "demo" / "checkpoint" / tier
        files = [path for path in folder.rglob("*") if path.is_file()]
        server.revisions[revision] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_downloaded_weights_certificates_on_both_hops_and_tokens_make_a_picture(
    tmp_path: Path, hub: StandInHub
) -> None:
    ports = own_ports()
    values = {
        "weights": {"download": {"endpoint": hub.endpoint}},
        "tls": {
            "internal": {"source": "certManager"},
            "public": {
                "source": "certManager",
                "issuer": "any",
                "requireClientCertificate": True,
                "names": ["localhost"],
            },
        },
        "auth": {"tokensSecret": "tokens"},
        "gateway": ports["gateway"],
        **{
            tier: {"device": "CPU", "model": {"repository": REPOSITORY, "revision": revision}, **ports[tier]}
            for tier, revision in (("prior", PINNED), ("decoder", MAIN))
        },
    }
    authority, token = trustme.CA(), new_token()
    secrets = _certificates(render(values), authority)
    secrets["tokens"] = {"tokens.json": with_hash(tmp_path / "none", "painters", hashed(token)).encode()}
    tls = _client_tls(tmp_path, authority)
    with release(values, tmp_path, secrets) as running:
        address = f"localhost:{running.port('gateway', 'grpc')}"
        with Client(address, token=token, tls=tls) as client:
            assert _is_red_on_blue(client.img2img(SKETCH, PROMPT).image)
        with Client(address, token="nobody's", tls=tls) as stranger, pytest.raises(UnauthenticatedError):
            stranger.img2img(SKETCH, PROMPT)


def _certificates(objects: list[Object], authority: trustme.CA) -> dict[str, dict[str, bytes]]:
    """The Secrets that cert-manager would make of the Certificates."""
    made = {}
    for item in of_kind(objects, "Certificate"):
        spec = item["spec"]
        if "dnsNames" in spec:
            own = authority.issue_cert(*spec["dnsNames"])
            made[spec["secretName"]] = {
                "tls.crt": b"".join(part.bytes() for part in own.cert_chain_pems),
                "tls.key": own.private_key_pem.bytes(),
                "ca.crt": authority.cert_pem.bytes(),
            }
    return made


def _client_tls(folder: Path, authority: trustme.CA) -> Tls:
    own = authority.issue_cert("client.example.org")
    parts = {"ca": authority.cert_pem, "cert": own.cert_chain_pems[0], "key": own.private_key_pem}
    for name, pem in parts.items():
        pem.write_to_path(folder / f"{name}.pem")
    return Tls(**{name: folder / f"{name}.pem" for name in parts})

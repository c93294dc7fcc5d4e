"""The real servers, started as the rendered Deployments say, probed as a kubelet probes, used through their port."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from anatomy import pod_of
from cluster import eventually, own_ports
from PIL import Image
from rendering import ROOT, Object, of_kind, render, the, values_of
from servers import TIERS, Running, release
from stand_in_hub import MAIN, PINNED, REPOSITORY, StandInHub

from kandinsky_client import Client, Img2ImgResult, Progress, Tls, UnauthenticatedError
from kandinsky_client.cli.token import with_hash
from serving.tokens import hashed, new_token

SKETCH = ROOT / "demo" / "sketch.png"
PROMPT = "a red circle on a blue background"


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

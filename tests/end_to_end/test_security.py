"""All three tiers as processes with mutual TLS on every hop and tokens at the gateway, used by the command."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from processes import TINY, server

from imagegen.v1.prior_pb2 import PriorServiceGetModelRequest
from imagegen.v1.prior_pb2_grpc import PriorServiceStub
from kandinsky_client import Client, Tls, UnauthenticatedError, UnavailableError
from kandinsky_client.cli.main import main
from kandinsky_client.retry import RetryPolicy
from serving.tokens import hashed, new_token
from tests.certificates import Authority

GATEWAY = "gateway.kandinsky"
ONCE = RetryPolicy(max_attempts=1)


@dataclass(frozen=True)
class Secured:
    """A running deployment.

    Attributes:
        ca: of all its certificates.
        gateway: address.
        prior: address.
        token: a tenant's.
    """

    ca: Authority
    gateway: str
    prior: str
    token: str


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ca, tokens = Authority(folder), folder / "tokens.json"
    with ExitStack() as stack:
        prior, decoder = (stack.enter_context(server(worker(ca, tier))) for tier in ("prior", "decoder"))
        cert, key = ca.write("gateway", GATEWAY, "127.0.0.1")
        tls = ["--tls-cert", str(cert), "--tls-key", str(key)]
        to_workers = ["--worker-ca", str(ca.path), "--worker-cert", str(cert), "--worker-key", str(key)]
        token = new_token()
        tokens.write_text(json.dumps({"tenants": {"studio": {"tokens": [hashed(token)]}}}))
        command = ["gateway", "--port", "0", "--prior", prior, "--decoder", decoder, "--tokens", str(tokens)]
        yield Secured(ca, stack.enter_context(server([*command, *tls, *to_workers])), prior, token)


def worker(ca: Authority, tier: str) -> list[str]:
    cert, key = ca.write(tier, f"{tier}.kandinsky", "127.0.0.1")
    command = [f"{tier}_server", "--port", "0", "--model", str(TINY / tier), "--no-warm-up"]
    tls = ["--tls-cert", str(cert), "--tls-key", str(key)]
    return [*command, *tls, "--tls-client-ca", str(ca.path), "--tls-client-names", GATEWAY]


def test_a_picture_is_made_through_all_hops(secured: Secured, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    flags = ["--server", secured.gateway, "--ca", str(secured.ca.path), "--token", secured.token]
    request = ["--prompt", "p", "--image", str(TINY / "sketch.png"), "--steps", "4", "--strength", "0.5"]
    assert main(["img2img", *flags, *request, "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_valid_token_there_is_no_answer(secured: Secured, token: str | None) -> None:
    with (
        Client(secured.gateway, tls=Tls(secured.ca.path), token=token, retry=ONCE) as client,
        pytest.raises(UnauthenticatedError),
    ):
        client.info()


def test_without_tls_there_is_no_connection(secured: Secured) -> None:
    with Client(secured.gateway, token=secured.token, retry=ONCE) as client, pytest.raises(UnavailableError):
        client.info()


def test_a_worker_takes_calls_of_its_gateway_only(secured: Secured) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    codes = {}
    for name in (GATEWAY, "decoder.kandinsky"):
        credentials = secured.ca.channel_credentials(name)
        with grpc.secure_channel(secured.prior, credentials, options) as channel:
            try:
                PriorServiceStub(channel).GetModel(PriorServiceGetModelRequest())
                codes[name] = grpc.StatusCode.OK
            except grpc.RpcError as error:
                codes[name] = error.code()
    assert codes == {GATEWAY: grpc.StatusCode.OK, "decoder.kandinsky": grpc.StatusCode.PERMISSION_DENIED}

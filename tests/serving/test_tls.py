"""TLS between real sockets: who is let in, who is not, and certificates that change while the server runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from imagegen.v1 import prior_pb2_grpc
from imagegen.v1.prior_pb2 import PriorServiceEncodePromptRequest, PriorServiceGetModelRequest
from serving.config import ServerConfig, StartupError
from serving.server import Server
from serving.tls import channel_credentials
from tests.certificates import Authority
from tests.errors_on_the_wire import read_error
from tests.serving.fakes import ObedientPrior, Served, start

GATEWAY = "gateway.kandinsky"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(ca: Authority, *, mutual: bool = False, names: tuple[str, ...] = ()) -> dict[str, Any]:
    cert, key = ca.write("server", "127.0.0.1")
    client_ca = ca.path if mutual else None
    return {"tls_cert": cert, "tls_key": key, "tls_client_ca": client_ca, "tls_client_names": names}


@asynccontextmanager
async def connected(served: Served, credentials: grpc.ChannelCredentials | None) -> AsyncIterator[Any]:
    # A pool of its own: else a connection of an earlier channel with equal credentials is used again.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        channel = grpc.aio.insecure_channel(served.address, options)
    else:
        channel = grpc.aio.secure_channel(served.address, credentials, options)
    async with channel:
        yield prior_pb2_grpc.PriorServiceStub(channel)


async def call(served: Served, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    async with connected(served, credentials) as stub:
        try:
            await stub.GetModel(PriorServiceGetModelRequest(), timeout=10)
        except grpc.aio.AioRpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


async def test_a_client_that_trusts_the_ca_is_served_and_others_are_not(ca: Authority, tmp_path: Path) -> None:
    async with start(**tls(ca)) as served:
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.OK
        assert await call(served, None) is grpc.StatusCode.UNAVAILABLE
        assert await call(served, Authority(tmp_path, "other").channel_credentials()) is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_name_is_not_talked_to(ca: Authority) -> None:
    cert, key = ca.write("server", "elsewhere.example")
    async with start(tls_cert=cert, tls_key=key) as served:
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_server_is_not_talked_to(ca: Authority) -> None:
    cert, key = ca.write("server", "127.0.0.1", expired=True)
    async with start(tls_cert=cert, tls_key=key) as served:
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.UNAVAILABLE


async def test_under_mtls_a_client_needs_a_valid_certificate_of_the_ca(ca: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    async with start(**tls(ca, mutual=True)) as served:
        assert await call(served, ca.channel_credentials(GATEWAY)) is grpc.StatusCode.OK
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.UNAVAILABLE
        assert await call(served, ca.channel_credentials(GATEWAY, signer=stranger)) is grpc.StatusCode.UNAVAILABLE
        assert await call(served, ca.channel_credentials(GATEWAY, expired=True)) is grpc.StatusCode.UNAVAILABLE


async def test_only_the_named_identities_are_served(ca: Authority) -> None:
    async with start(**tls(ca, mutual=True, names=(GATEWAY, "other.kandinsky"))) as served:
        assert await call(served, ca.channel_credentials(GATEWAY)) is grpc.StatusCode.OK
        async with connected(served, ca.channel_credentials("decoder.kandinsky")) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.EncodePrompt(PriorServiceEncodePromptRequest())
    error = read_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
    assert "decoder.kandinsky" in error.message


async def test_a_certificate_swapped_on_disk_is_used_without_a_restart(ca: Authority, tmp_path: Path) -> None:
    successor = Authority(tmp_path, "successor")
    async with start(**tls(ca)) as served:
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.OK
        successor.write("server", "127.0.0.1")
        assert await call(served, successor.channel_credentials()) is grpc.StatusCode.OK
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.UNAVAILABLE


async def test_a_client_ca_swapped_on_disk_is_used_without_a_restart(ca: Authority, tmp_path: Path) -> None:
    successor = Authority(tmp_path, "successor")
    async with start(**tls(ca, mutual=True)) as served:
        assert await call(served, ca.channel_credentials(GATEWAY, signer=successor)) is grpc.StatusCode.UNAVAILABLE
        ca.path.write_bytes(successor.path.read_bytes())
        assert await call(served, ca.channel_credentials(GATEWAY, signer=successor)) is grpc.StatusCode.OK
        assert await call(served, ca.channel_credentials(GATEWAY)) is grpc.StatusCode.UNAVAILABLE


async def test_in_the_midst_of_a_swap_the_old_certificate_is_used(ca: Authority, tmp_path: Path) -> None:
    config = tls(ca)
    async with start(**config) as served:
        old_key = config["tls_key"].read_bytes()
        ca.write("server", "127.0.0.1")
        new_key = config["tls_key"].read_bytes()
        config["tls_key"].write_bytes(old_key)
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.OK
        config["tls_key"].write_bytes(new_key)
        assert await call(served, ca.channel_credentials()) is grpc.StatusCode.OK


async def test_calls_go_on_while_the_certificate_is_swapped(ca: Authority, tmp_path: Path) -> None:
    async with start(**tls(ca)) as served, connected(served, ca.channel_credentials()) as stub:
        waiting = stub.EncodePrompt(PriorServiceEncodePromptRequest(prompt="wait"))
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        Authority(tmp_path, "successor").write("server", "127.0.0.1")
        await stub.GetModel(PriorServiceGetModelRequest())
        served.prior.released.set()
        await waiting


@pytest.mark.parametrize("broken", ["missing", "not a certificate", "another key", "bad ca"])
async def test_files_that_cannot_be_used_are_told_at_the_start(ca: Authority, tmp_path: Path, broken: str) -> None:
    config = tls(ca, mutual=True)
    if broken == "missing":
        config["tls_cert"].unlink()
    if broken == "not a certificate":
        config["tls_cert"].write_text("nothing")
    if broken == "another key":
        config["tls_key"].write_bytes(ca.write("other", "127.0.0.1")[1].read_bytes())
    if broken == "bad ca":
        ca.path.write_text("nothing")
    server = Server(ObedientPrior().application(), ServerConfig(**config))
    with pytest.raises(StartupError, match=r"^--tls-cert and the like: .*(server\.crt|ca\.pem)"):
        await server.start()


@pytest.mark.parametrize(
    "flags",
    [{"tls_cert": Path("a")}, {"tls_key": Path("a")}, {"tls_client_ca": Path("a")}, {"tls_client_names": ("a",)}],
)
def test_half_of_a_pair_of_flags_is_refused(flags: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="--tls-"):
        ServerConfig(**flags)


def test_channel_credentials_are_others_once_a_file_has_changed(ca: Authority) -> None:
    cert, key = ca.write("gateway", GATEWAY)
    watched = channel_credentials(ca.path, cert, key)
    before = watched.current()
    assert watched.current() is before
    ca.write("gateway", GATEWAY)
    assert watched.current() is not before
    assert channel_credentials(None).current() is None

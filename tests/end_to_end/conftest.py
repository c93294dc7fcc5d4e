"""All three tiers on ports that the system chose, and bare stubs to talk to them."""

from collections.abc import Iterator

import grpc
import pytest
from processes import TINY, server

from imagegen.v1.gateway_pb2_grpc import ImageServiceStub


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    """All three tiers on the tiny reference checkpoint; the gateway's address. Shapes are compiled on first use."""
    command = ["kandinsky_client.cli", "serve", "--port", "0"]
    models = ["--prior-model", str(TINY / "prior"), "--decoder-model", str(TINY / "decoder")]
    with server([*command, *models], {"KANDINSKY_WARM_UP": "false"}) as gateway:
        yield gateway


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    """A plain channel to the gateway, without any limit of the client's own."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options) as plain:
        yield plain


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    """The gateway's service through the bare stub."""
    return ImageServiceStub(channel)


@pytest.fixture(scope="session")
def sketch() -> bytes:
    """The reference's picture, as a file."""
    return (TINY / "sketch.png").read_bytes()

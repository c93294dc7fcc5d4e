"""Insecure settings are loud, secure ones and loopback are not."""

import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.config import GatewayConfig
from serving.bootstrap import warn_if_exposed
from serving.config import ServerConfig

TLS = {"tls_cert": Path("cert"), "tls_key": Path("key")}
OPEN, ANYBODY = "listening without TLS", "listening without credentials"


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (ServerConfig(), []),
        (ServerConfig(host="::1"), []),
        (ServerConfig(host="localhost"), []),
        (ServerConfig(host="0.0.0.0"), [OPEN, ANYBODY]),  # noqa: S104 - a value
        (ServerConfig(host="worker.example"), [OPEN, ANYBODY]),
        (ServerConfig(host="::", **TLS), [ANYBODY]),
        (ServerConfig(host="::", **TLS, tls_client_ca=Path("ca")), []),
    ],
    ids=str,
)
def test_a_server_that_others_can_reach_says_what_is_open(
    config: ServerConfig, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert warnings(config, caplog) == told


@pytest.mark.parametrize(("flags", "told"), [({}, [OPEN]), (TLS, [])])
def test_a_gateway_that_asks_for_tokens_still_needs_tls(
    flags: dict[str, Any], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = GatewayConfig(host="::", prior=("a:1",), decoder=("b:1",), tokens=Path("tokens"), **flags)
    assert warnings(config, caplog) == told


def warnings(config: ServerConfig, caplog: pytest.LogCaptureFixture) -> list[str]:
    warn_if_exposed(config)
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.message.partition(":")[0] for record in caplog.records]

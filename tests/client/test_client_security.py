"""Tokens and TLS: what the clients and the command send, and to whom."""

import json
import os
import stat
from pathlib import Path

import grpc
import pytest

from kandinsky_client import AsyncClient, Client, Tls, UnavailableError
from kandinsky_client.channel import is_loopback
from kandinsky_client.cli.main import main
from kandinsky_client.retry import RetryPolicy
from serving.tokens import Tokens
from tests.certificates import Authority
from tests.client.conftest import Caller
from tests.client.fake_service import FakeImageService, FakeServer

ONCE = RetryPolicy(max_attempts=1)


def secured(ca: Authority) -> grpc.ServerCredentials:
    """A server that asks for a certificate of the CA."""
    cert, key = ca.write("server", "127.0.0.1")
    return grpc.ssl_server_credentials([(key.read_bytes(), cert.read_bytes())], ca.pem, require_client_auth=True)


@pytest.fixture(params=[Client, AsyncClient])
def kind(request: pytest.FixtureRequest) -> type[Client] | type[AsyncClient]:
    return request.param  # type: ignore[no-any-return]


def test_a_token_goes_with_every_call(service: FakeImageService, call: Caller) -> None:
    for method, arguments in (("info", ()), ("encode_prompt", ("p",)), ("cancel", ("r",))):
        call.with_options(token="secret")(method, *arguments)
        assert service.authorization == "Bearer secret"
    call("info")
    assert service.authorization is None


def test_a_client_connects_over_mutual_tls(
    service: FakeImageService, tmp_path: Path, kind: type[Client] | type[AsyncClient]
) -> None:
    ca = Authority(tmp_path)
    cert, key = ca.write("client", "user.example")
    with FakeServer(service, secured(ca)) as server:
        Caller(kind, server.address, tls=Tls(ca.path, cert, key), token="secret")("info")
        assert service.authorization == "Bearer secret"
        Caller(kind, server.address, tls=Tls(str(ca.path), str(cert), str(key), server_name="127.0.0.1"))("info")
        other_name = Tls(ca.path, cert, key, server_name="gateway.example")
        for tls in (None, Tls(), Tls(ca.path), other_name):
            with pytest.raises(UnavailableError):
                Caller(kind, server.address, tls=tls, retry=ONCE)("info")


def test_a_token_is_not_sent_in_the_clear_to_another_machine(kind: type[Client] | type[AsyncClient]) -> None:
    with pytest.raises(ValueError, match=r"would go to gateway\.example:50050 unencrypted"):
        kind("gateway.example:50050", token="secret")
    for own in ("127.0.0.1:50050", "localhost:50050", "[::1]:50050", "unix:/run/gateway"):
        assert is_loopback(own)
    for other in ("127.example.org:50050", "localhost.example.org:50050", "dns:///gateway:50050", "10.0.0.1:50050"):
        assert not is_loopback(other)
    Client("127.0.0.1:50050", token="secret").close()
    Client("gateway.example:443", token="secret", tls=Tls()).close()


def test_the_command_connects_with_its_flags(
    service: FakeImageService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = Authority(tmp_path)
    cert, key = ca.write("client", "user.example")
    monkeypatch.setenv("KANDINSKY_TOKEN", "secret")
    identity = ["--client-cert", str(cert), "--client-key", str(key)]
    with FakeServer(service, secured(ca)) as server:
        assert main(["info", "--server", server.address, "--ca", str(ca.path), *identity]) == 0
    assert service.authorization == "Bearer secret"


def test_the_command_refuses_that_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--server", "gateway.invalid:1", "--token", "t"]) == 2
    line = "kandinsky info: --token: the token would go to gateway.invalid:1 unencrypted; connect over TLS (--tls)\n"
    assert capsys.readouterr().err == line


def test_a_new_token_is_valid_and_the_tenants_others_stay_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.json"
    assert main(["token", "--tenant", "studio", "--tokens", str(file)]) == 0
    first = capsys.readouterr().out.strip()
    content = json.loads(file.read_text())
    content["tenants"]["studio"]["weight"] = 2
    file.write_text(json.dumps(content))
    for tenant in ("studio", "archive"):
        assert main(["token", "--tenant", tenant, "--tokens", str(file)]) == 0
    second, third = capsys.readouterr().out.split()
    found = [Tokens.read(file).tenant(token) for token in (first, second, third)]
    assert [(tenant.id, tenant.weight) for tenant in found if tenant] == [("studio", 2), ("studio", 2), ("archive", 1)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first not in file.read_text()
    assert list(tmp_path.iterdir()) == [file]


def test_who_may_read_the_tokens_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text('{"tenants": {}}')
    file.chmod(0o640)
    if os.getuid() == 0:
        os.chown(file, 12345, 54321)
    before = file.stat()
    assert main(["token", "--tenant", "studio", "--tokens", str(file)]) == 0
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_the_tokens_of_another_user_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text('{"tenants": {}}')

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    assert main(["token", "--tenant", "studio", "--tokens", str(file)]) == 2
    assert "belongs to user" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ['{"tenants": {}}']


@pytest.mark.parametrize("content", ["{", "[]", '{"tenants": {"studio": {"tokens": 1}}}'])
def test_a_file_of_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "tokens.json"
    file.write_text(content)
    assert main(["token", "--tenant", "studio", "--tokens", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"kandinsky token: --tokens: {file}: ")
    assert file.read_text() == content

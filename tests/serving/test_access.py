"""Tokens and tenants: who is let in, whose request can be cancelled, what the file may hold."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from imagegen.v1.prior_pb2 import PriorServiceCancelRequest, PriorServiceEncodePromptRequest
from serving.access import bearer_of, told_by_gateway
from serving.errors import BadCredentialsError, InvalidFieldError
from serving.tenants import NOBODY, Tenant, current_tenant
from serving.tokens import Tokens, hashed, new_token
from serving.watched import Watched
from tests.errors_on_the_wire import read_error
from tests.serving.fakes import start

WAIT = PriorServiceEncodePromptRequest(request_id="r", prompt="wait")
STUDIO, ARCHIVE = new_token(), new_token()


def write(path: Path, tenants: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps({"tenants": tenants}))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    studio = {"tokens": [hashed(STUDIO)], "weight": 2, "max_concurrent": 8, "max_queued_seconds": 120.5}
    return write(tmp_path / "tokens.json", {"studio": studio, "archive": {"tokens": [hashed(ARCHIVE)]}})


def watched(file: Path) -> Watched[Tokens]:
    return Watched([file], partial(Tokens.read, file))


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_a_token_is_its_tenants_with_weight_and_limits(file: Path) -> None:
    tokens = Tokens.read(file)
    assert tokens.tenant(STUDIO) == Tenant("studio", 2, 120.5, 8)
    assert tokens.tenant(ARCHIVE) == Tenant("archive")
    assert tokens.tenant(new_token()) is None
    assert tokens.tenant("") is None
    assert tokens.tenant(hashed(STUDIO)) is None


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ((), "asks for a token"),
        ((("authorization", "Basic abc"),), "must be: Bearer TOKEN"),
        ((("authorization", "Bearer"),), "must be: Bearer TOKEN"),
        (bearer(""), "not valid"),
        (bearer("wrong"), "not valid"),
        (bearer("\udcff"), "not valid"),
    ],
)
async def test_without_a_valid_token_a_call_is_unauthenticated(file: Path, metadata: Any, told: str) -> None:
    with pytest.raises(BadCredentialsError, match=told):
        bearer_of(watched(file))(metadata)


async def test_a_token_is_asked_for_before_the_message_is_read(file: Path) -> None:
    async with start(tenant_of=bearer_of(watched(file)), max_message_bytes=2**20) as served:
        large = PriorServiceEncodePromptRequest(prompt="x" * 2**21)
        for request, code in ((large, grpc.StatusCode.RESOURCE_EXHAUSTED), (WAIT, None)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await served.stub.EncodePrompt(request)
            error = read_error(caught.value)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_CREDENTIALS")
            if code is not None:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await served.stub.EncodePrompt(request, metadata=bearer(STUDIO))
                assert caught.value.code() is code
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(), metadata=bearer(STUDIO))


async def test_a_handler_knows_the_tenant_it_works_for(file: Path) -> None:
    async with start(tenant_of=bearer_of(watched(file))) as served:
        seen: list[Tenant] = []
        served.prior.wait = lambda: _note(seen)  # type: ignore[method-assign]
        await asyncio.gather(
            *(
                served.stub.EncodePrompt(PriorServiceEncodePromptRequest(prompt="wait"), metadata=bearer(token))
                for token in (STUDIO, ARCHIVE)
            )
        )
    assert {tenant.id for tenant in seen} == {"studio", "archive"}


async def _note(seen: list[Tenant]) -> None:
    await asyncio.sleep(0)
    seen.append(current_tenant.get())


async def test_a_request_of_another_tenant_cannot_be_cancelled(file: Path) -> None:
    async with start(tenant_of=bearer_of(watched(file))) as served:
        call = served.stub.EncodePrompt(WAIT, metadata=bearer(STUDIO))
        await asyncio.wait_for(served.prior.entered.wait(), 10)
        cancel = PriorServiceCancelRequest(request_id="r")
        assert not (await served.stub.Cancel(cancel, metadata=bearer(ARCHIVE))).found
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.Cancel(cancel)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not call.done()
        assert (await served.stub.Cancel(cancel, metadata=bearer(STUDIO))).found


async def test_a_token_taken_from_the_file_is_refused_without_a_restart(file: Path) -> None:
    async with start(tenant_of=bearer_of(watched(file))) as served:
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(), metadata=bearer(STUDIO))
        successor = new_token()
        write(file, {"studio": {"tokens": [hashed(successor)]}})
        await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(), metadata=bearer(successor))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.stub.EncodePrompt(PriorServiceEncodePromptRequest(), metadata=bearer(STUDIO))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_broken_file_leaves_the_last_good_one_in_force(file: Path) -> None:
    tokens = watched(file)
    file.write_text("{")
    assert tokens.current().tenant(STUDIO) is not None
    file.unlink()
    assert tokens.current().tenant(STUDIO) is not None
    write(file, {"studio": {"tokens": []}})
    assert tokens.current().tenant(STUDIO) is None


@pytest.mark.parametrize(
    ("tenants", "told"),
    [
        ([], "must be {"),
        ({}, "must be {"),
        ({"a": 1}, "tenant a: must be an object"),
        ({"a": {}}, "tenant a: tokens must be a list"),
        ({"a": {"tokens": ["plain"]}}, "tenant a: tokens must be a list of sha256:HEX"),
        ({"a": {"tokens": [], "wieght": 1}}, "tenant a: wieght is not known"),
        ({"a b": {"tokens": []}}, "tenant 'a b'"),
        ({"a": {"tokens": [hashed("t")], "weight": 0}}, "weight must be a number above 0"),
        ({"a": {"tokens": [hashed("t")], "weight": True}}, "weight must be a number above 0"),
        ({"a": {"tokens": [hashed("t")], "max_concurrent": 1.5}}, "max_concurrent must be a whole number above 0"),
        ({"a": {"tokens": [hashed("t")], "max_queued_seconds": float("nan")}}, "must be a number above 0"),
        ({"a": {"tokens": [hashed("t")]}, "b": {"tokens": [hashed("t")]}}, "a token is named twice"),
    ],
)
def test_a_file_that_holds_something_else_says_what(tmp_path: Path, tenants: Any, told: str) -> None:
    file = write(tmp_path / "tokens.json", tenants)
    with pytest.raises(ValueError, match=told) as caught:
        Tokens.read(file)
    assert str(caught.value).startswith(str(file))


def test_a_worker_believes_its_gateway() -> None:
    assert told_by_gateway(()) == NOBODY
    assert told_by_gateway((("x-tenant-id", "studio"), ("x-tenant-weight", "2.5"))) == Tenant("studio", 2.5)
    for weight in ("0", "-1", "nan", "inf", "much"):
        with pytest.raises(InvalidFieldError):
            told_by_gateway((("x-tenant-id", "studio"), ("x-tenant-weight", weight)))

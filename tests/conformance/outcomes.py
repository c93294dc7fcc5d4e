"""What a caller of the Python client has seen of a case, as data."""

import asyncio
import hashlib
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format

from imagegen.v1 import common_pb2
from imagegen.v1.gateway_pb2_grpc import ImageServiceStub
from kandinsky_client import (
    AsyncClient,
    CancelResult,
    Client,
    EncodeResult,
    GetServerInfoResponse,
    Img2ImgResult,
    InvalidArgumentError,
    KandinskyClientError,
    Progress,
    Receipt,
    RetryPolicy,
    enums,
    status,
)
from tests.conformance.arguments import Call, call_of
from tests.conformance.cases import Case

Outcome = dict[str, Any]
ONCE = RetryPolicy(max_attempts=1)
KINDS = {"Queued": "queued", "PromptEncoded": "prompt_encoded", "Progress": "progress", "Img2ImgResult": "result"}


def outcomes(kind: type[Client] | type[AsyncClient], address: str, cases: list[Case]) -> dict[str, Outcome]:
    """Carry all cases out, in their order."""
    seen: dict[str, Outcome] = {}
    embeddings: dict[str, Any] = {}
    for case in cases:
        call = call_of(case.message(embeddings))
        if case.timeout_seconds is not None:
            call[2]["timeout_seconds"] = case.timeout_seconds
        try:
            answer = asyncio.run(answer_of_async(address, call)) if kind is AsyncClient else answer_of(address, call)
        except KandinskyClientError as error:
            seen[case.name] = {"error": error_outcome(error)}
            continue
        seen[case.name] = outcome(answer)
        if isinstance(answer, EncodeResult):
            embeddings[case.name] = json_format.MessageToDict(answer.embeddings.message)
    return seen


def refusal(address: str, case: Case, embeddings: dict[str, Any]) -> Outcome:
    """What the server says of a request that did not go through a client."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = getattr(ImageServiceStub(channel), case.method)(case.message(embeddings))
            list(answer) if case.method == "StreamImg2Img" else None
        except grpc.RpcError as failure:
            return error_outcome(status.error_of(failure))
    raise AssertionError(f"{case.name}: the server accepts it")


def answer_of(address: str, call: Call) -> Any:
    method, arguments, options = call
    with Client(address, retry=ONCE) as client:
        answer = getattr(client, method)(*arguments, **options)
        return list(answer) if method == "stream_img2img" else answer


async def answer_of_async(address: str, call: Call) -> Any:
    method, arguments, options = call
    async with AsyncClient(address, retry=ONCE) as client:
        answer = getattr(client, method)(*arguments, **options)
        return [event async for event in answer] if method == "stream_img2img" else await answer


def outcome(answer: Any) -> Outcome:
    match answer:
        case list():
            steps = [event.total_steps for event in answer if isinstance(event, Progress)]
            events = list(dict.fromkeys(KINDS[type(event).__name__] for event in answer))
            return {"events": events, "steps": steps[-1], **outcome(answer[-1])}
        case Img2ImgResult():
            return {
                "pictures": [
                    {
                        "format": picture.format,
                        "width": picture.width,
                        "height": picture.height,
                        "sha256": digest(picture.data),
                    }
                    for picture in answer.pictures
                ],
                "seed": answer.seed,
                "denoising_steps": answer.receipt.denoising_steps,
                "truncated": truncated(answer.receipt),
            }
        case EncodeResult():
            numbers = answer.embeddings.image_embeds.astype("<f4")
            embeddings = {"shape": list(numbers.shape), "sha256": digest(np.ascontiguousarray(numbers).tobytes())}
            return {"embeddings": embeddings, "seed": answer.seed, "truncated": truncated(answer.receipt)}
        case CancelResult():
            return {"found": answer.found, "phase": "" if answer.phase == "unspecified" else answer.phase}
        case GetServerInfoResponse():
            return {"tiers": sorted(enums.name(common_pb2.Tier.DESCRIPTOR, each.tier) for each in answer.workers)}
    raise TypeError(f"no outcome of {type(answer).__name__}")


def error_outcome(error: KandinskyClientError) -> Outcome:
    violations = error.violations if isinstance(error, InvalidArgumentError) else ()
    return {
        "code": error.details.code,
        "reason": error.details.reason,
        "violations": [f"{violation.field}: {violation.description}" for violation in violations],
        "retry": error.retry_after_seconds is not None,
        "sent": error.__cause__ is not None,  # what gRPC reported
    }


def truncated(receipt: Receipt) -> list[str]:
    return [truncation.field for truncation in receipt.truncations]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

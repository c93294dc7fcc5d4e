# ruff: noqa: N802, ARG002 - the names and signatures are gRPC's
"""Spans of a request through the three tiers, as a collector gets them over real OTLP."""

import asyncio
import itertools
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from imagegen.v1.gateway_pb2 import Img2ImgRequest
from serving.errors import InvalidFieldError
from tests.gateway.fakes import Deployment, FakeDecoder, FakePrior, fake, gateway, serve

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
REQUEST = Img2ImgRequest(request_id="r", prompt="my secret", image=b"picture")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans.

    Attributes:
        spans: by the service's name and the span's.
    """

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}

    async def Export(self, request: Any, context: Any) -> trace_service_pb2.ExportTraceServiceResponse:
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans[f"{names['service.name']} {span.name}"] = span
        return trace_service_pb2.ExportTraceServiceResponse()


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield collector, f"http://127.0.0.1:{port}"
    await server.stop(None)


@asynccontextmanager
async def traced(url: str) -> AsyncIterator[Deployment]:
    prior, decoder = FakePrior(), FakeDecoder()
    async with (
        serve(fake(prior), tracing=url) as at_prior,
        serve(fake(decoder), tracing=url) as at_decoder,
        serve(gateway([at_prior.address], [at_decoder.address]), tracing=url) as at_gateway,
    ):
        yield Deployment(prior, decoder, at_gateway)


def attributes(span: Span) -> Mapping[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in span.attributes}


async def test_a_request_is_one_trace_through_the_tiers_with_queue_steps_and_batches() -> None:
    async with collecting() as (collector, url):
        async with traced(url) as deployment:
            parent = (("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01"),)
            await deployment.stub.Img2Img(REQUEST, metadata=parent)
        spans = collector.spans
    image = spans["kandinsky-gateway imagegen.v1.ImageService/Img2Img"]
    prompt = spans["kandinsky-prior imagegen.v1.PriorService/EncodePrompt"]
    picture = spans["kandinsky-decoder imagegen.v1.DecoderService/StreamImg2Img"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert image.parent_span_id.hex() == PARENT_ID
    assert prompt.parent_span_id == picture.parent_span_id == image.span_id
    seen = attributes(picture)
    assert (seen["kandinsky.queued_seconds"], seen["kandinsky.denoising_seconds"]) == (10, 30)
    assert (seen["kandinsky.denoising_steps"], seen["kandinsky.steps_in_batches_of.1"]) == (2, 2)
    assert {attributes(span)["kandinsky.request_id"] for span in (image, picture)} == {"r"}
    assert attributes(prompt)["kandinsky.request_id"].startswith("r.")
    assert not any("secret" in str(span) for span in spans.values())


async def test_a_workers_span_has_a_part_for_each_thing_the_request_went_through() -> None:
    async with collecting() as (collector, url):
        async with traced(url) as deployment:
            await deployment.stub.Img2Img(REQUEST)
        spans = collector.spans
    whole = spans["kandinsky-decoder imagegen.v1.DecoderService/StreamImg2Img"]
    parts = [spans[f"kandinsky-decoder {name}"] for name in ("queued", "encoding", "denoising", "decoding")]
    assert {part.parent_span_id for part in parts} == {whole.span_id}
    lengths = [(part.end_time_unix_nano - part.start_time_unix_nano) / 1e9 for part in parts]
    assert all(map(math.isclose, lengths, (10, 20, 30, 40)))
    for part, following in itertools.pairwise(parts):
        assert part.end_time_unix_nano == following.start_time_unix_nano


async def test_a_failed_call_is_an_error_with_its_reason() -> None:
    async with collecting() as (collector, url):
        async with traced(url) as deployment:
            deployment.prior.error = InvalidFieldError("prompt", "must be nicer")
            with pytest.raises(grpc.aio.AioRpcError):
                await deployment.stub.Img2Img(REQUEST)
        span = collector.spans["kandinsky-gateway imagegen.v1.ImageService/Img2Img"]
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert (attributes(span)["rpc.grpc.status"], attributes(span)["kandinsky.reason"]) == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
    )


async def test_a_collector_that_is_away_costs_no_request() -> None:
    async with asyncio.timeout(30), traced("http://127.0.0.1:1") as deployment:
        await deployment.stub.Img2Img(REQUEST)


def test_opentelemetry_is_not_even_imported_where_nothing_is_traced() -> None:
    program = "import sys, gateway.__main__, serving.server; sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)

"""A gateway before a fake prior and a fake decoder."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.gateway.fakes import Deployment, deploy


@pytest_asyncio.fixture
async def deployment() -> AsyncIterator[Deployment]:
    async with deploy() as running:
        yield running

"""Every flag in the rendered objects is one that the program behind the command knows and accepts."""

from typing import Any

import pytest
from anatomy import containers_of, workloads
from rendering import COMBINATIONS, render, values_of

from decoder_server.config import DecoderConfig
from gateway.config import GatewayConfig
from prior_server.config import PriorConfig
from serving import flags
from worker.weights import DownloadFlags, WaitFlags

PROGRAMS: dict[str, Any] = {
    "kandinsky-gateway": GatewayConfig,
    "kandinsky-prior": PriorConfig,
    "kandinsky-decoder": DecoderConfig,
    "kandinsky-weights download": DownloadFlags,
    "kandinsky-weights wait": WaitFlags,
}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_programs_accept_their_arguments(combination: str) -> None:
    objects = render(values_of(combination))
    for workload in workloads(objects):
        for container in containers_of(workload):
            words = [*container["command"], *container["args"]]
            named = [word for word in words if not word.startswith("--")]
            arguments = [word for word in words if word.startswith("--")]
            flags.parse(PROGRAMS[" ".join(named)], " ".join(named), "", arguments, {})


def test_variables_that_are_flags_are_flags_of_the_gateway() -> None:
    (container,) = containers_of(next(item for item in render(values_of("everything")) if item["kind"] == "Deployment"))
    variables = {
        item["name"]: "redis://cache:6379" for item in container["env"] if item["name"].startswith("KANDINSKY_")
    }
    assert variables != {}
    parsed = flags.parse(GatewayConfig, "kandinsky-gateway", "", container["args"], variables)
    assert parsed.shared_cache == "redis://cache:6379"

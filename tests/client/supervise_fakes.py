"""Runs the supervisor of `kandinsky serve` over three fake servers."""

import sys
from pathlib import Path

from kandinsky_client.cli import supervisor

CHILD = [sys.executable, str(Path(__file__).with_name("fake_child.py"))]

sys.exit(
    supervisor.run(
        supervisor.Plan(
            prior=[*CHILD, "prior"],
            decoder=[*CHILD, "decoder"],
            gateway=lambda prior, decoder: [*CHILD, "gateway", prior, decoder],
            announcement=lambda address: f"serving on {address}",
            stop_seconds=40.0,
        )
    )
)

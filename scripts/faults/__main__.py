"""`make faults`: kills, a rolling restart, a worker that stands still, an overload, mutated calls; 1: something broke.

Everything runs in processes of its own on this machine, with the demo checkpoint. The logs of the servers stay in
out/faults. Bounded: about half an hour in all, and five minutes with --short, which judges no times.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.faults import hangs, kills, overload, rolling
from scripts.fuzz import fuzzer

_LOGS = Path("out") / "faults"
_LEAST_GOODPUT = 0.9
_TIMEOUT_FACTOR = 1.5


def main() -> int:
    """Run the trials; returns the exit code."""
    arguments = _arguments()
    begin = time.monotonic()
    findings = Findings()
    for name, trial in _TRIALS.items():
        if arguments.only in (None, name):
            asyncio.run(trial(findings, arguments))
    print(f"faults: {time.monotonic() - begin:.0f} s")
    print(
        f"RESULT faults lost={findings.lost} wrong={findings.wrong} restart_failures={findings.restart_failures} "
        f"goodput={findings.goodput:.2f} internal_errors={findings.internal_errors}"
    )
    problems = findings.problems() + ([] if arguments.short else findings.late())
    for problem in problems:
        print(f"faults: {problem}", file=sys.stderr)
    return 1 if problems else 0


@dataclass
class Findings:
    """What all trials found."""

    lost: int = 0
    wrong: int = 0
    restart_failures: int = 0
    internal_errors: int = 0
    moved_after_seconds: float = 0.0
    goodput: float = 1.0
    retry_ratio: float = 1.0
    fuzz_was_clean: bool = True

    def problems(self) -> list[str]:
        """The promises that were broken, whatever the machine."""
        promises = {
            "requests were lost": self.lost == 0,
            "pictures were wrong": self.wrong == 0,
            "the rolling restart failed requests": self.restart_failures == 0,
            "there were internal errors": self.internal_errors == 0,
        }
        return [problem for problem, kept in promises.items() if not kept]

    def late(self) -> list[str]:
        """Those about time, which a short trial on a busy machine cannot judge."""
        promises = {
            "work moved too late": self.moved_after_seconds <= _TIMEOUT_FACTOR * hangs.PROGRESS_TIMEOUT_SECONDS,
            "goodput fell under overload": self.goodput >= _LEAST_GOODPUT,
            "fuzzed servers crashed, hung, changed a picture or grew": self.fuzz_was_clean,
            "RetryInfo was off by more than a factor of two": 0.5 <= self.retry_ratio <= 2,
        }
        return [problem for problem, kept in promises.items() if not kept]


async def _kills(findings: Findings, given: argparse.Namespace) -> None:
    found = await kills.trial(given.requests, given.seed, given.seconds, _logs("kills"))
    findings.lost += found.lost
    findings.wrong += found.wrong
    findings.internal_errors += found.internal_errors


async def _rolling(findings: Findings, given: argparse.Namespace) -> None:  # noqa: ARG001 - as long as restarts take
    findings.restart_failures = await rolling.trial(_logs("rolling"))


async def _hangs(findings: Findings, given: argparse.Namespace) -> None:  # noqa: ARG001 - likewise
    found = await hangs.trial(_logs("hangs"))
    findings.lost += found.lost
    findings.moved_after_seconds = found.moved_after_seconds


async def _overload(findings: Findings, given: argparse.Namespace) -> None:
    found = await overload.trial(20 if given.short else 60, _logs("overload"))
    findings.lost += found.lost
    findings.internal_errors += found.internal_errors
    findings.goodput = found.goodput
    findings.retry_ratio = found.retry_ratio


async def _fuzz(findings: Findings, given: argparse.Namespace) -> None:
    tally = await fuzzer.trial(1000 if given.short else 20_000, _logs("fuzz"))
    findings.internal_errors += len(tally.wrong)
    findings.fuzz_was_clean = tally.is_clean


_TRIALS: dict[str, Callable[[Findings, argparse.Namespace], Coroutine[Any, Any, None]]] = {
    "kills": _kills,
    "rolling": _rolling,
    "hangs": _hangs,
    "overload": _overload,
    "fuzz": _fuzz,
}


def _logs(trial: str) -> Path:
    folder = _LOGS / trial
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--short", action="store_true", help="a shorter overload, and 150 requests unless told otherwise"
    )
    parser.add_argument("--requests", type=int, help="of the kills [1000]")
    parser.add_argument("--seconds", type=float, default=1200.0, help="time that they are given")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--only", choices=_TRIALS, help="this trial alone; what it does not find counts as good")
    arguments = parser.parse_args()
    if arguments.requests is None:
        arguments.requests = 150 if arguments.short else 1000
    return arguments


if __name__ == "__main__":
    sys.exit(main())

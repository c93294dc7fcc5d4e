"""`make faults`: kills, a rolling restart, a worker that stands still, an overload; exit code 1 where something broke.

Everything runs in processes of its own on this machine, with the demo checkpoint. The logs of the servers stay in
out/faults. Bounded: about a quarter of an hour in all, and two minutes with --short.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from scripts.faults import hangs, kills, overload, rolling

_LOGS = Path("out") / "faults"
_LEAST_GOODPUT = 0.9
_TIMEOUT_FACTOR = 1.5


def main() -> int:
    """Run the trials; returns the exit code."""
    arguments = _arguments()
    begin = time.monotonic()
    broken = asyncio.run(_trials(arguments.short))
    print(f"faults: {time.monotonic() - begin:.0f} s")
    for problem in broken:
        print(f"faults: {problem}", file=sys.stderr)
    return 1 if broken else 0


async def _trials(short: bool) -> list[str]:
    killed = await kills.trial(60 if short else 1000, 4.0, _logs("kills"))
    restart_failures = await rolling.trial(_logs("rolling"))
    hung = await hangs.trial(_logs("hangs"))
    loaded = await overload.trial(15 if short else 60, _logs("overload"))
    lost = killed.lost + hung.lost + loaded.lost
    internal_errors = killed.internal_errors + loaded.internal_errors
    print(
        f"RESULT faults lost={lost} wrong={killed.wrong} restart_failures={restart_failures} "
        f"goodput={loaded.goodput:.2f} internal_errors={internal_errors}"
    )
    promises = {
        "requests were lost": lost == 0,
        "pictures were wrong": killed.wrong == 0,
        "the rolling restart failed requests": restart_failures == 0,
        "there were internal errors": internal_errors == 0,
        "work moved too late": hung.moved_after_seconds <= _TIMEOUT_FACTOR * hangs.PROGRESS_TIMEOUT_SECONDS,
        "goodput fell under overload": loaded.goodput >= _LEAST_GOODPUT,
        "RetryInfo was off by more than a factor of two": 0.5 <= loaded.retry_ratio <= 2,
    }
    return [problem for problem, kept in promises.items() if not kept]


def _logs(trial: str) -> Path:
    folder = _LOGS / trial
    folder.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        log.unlink()
    return folder


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="60 requests instead of 1,000, and a shorter overload")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""Sends mutated and random calls to real servers on the demo checkpoint and says how they took it.

    python -m scripts.fuzz --calls 20000

Wrong calls are printed with their numbers; `--only NUMBER` sends one of them again.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from scripts.fuzz.fuzzer import trial


def main() -> int:
    """Fuzz, print, and exit with 1 if anything was wrong."""
    arguments = _arguments()
    logs = Path(tempfile.mkdtemp(prefix="fuzz-"))
    if arguments.only is None:
        tally = asyncio.run(trial(arguments.calls, logs, arguments.seed))
    else:
        tally = asyncio.run(trial(1, logs, arguments.seed, arguments.only))
    for status, count in tally.statuses.most_common():
        print(f"{count:7d}  {status}")
    print(f"the servers' logs are in {logs}")
    print(
        f"RESULT fuzz calls={tally.statuses.total()} internal_errors={len(tally.wrong)} hung={len(tally.hung)} "
        f"crashed={len(tally.crashed)} wrong_pictures={tally.changed} grown_mib={tally.grown_mib:.0f}"
    )
    return 0 if tally.is_clean else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="how many calls to send")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other calls")
    parser.add_argument("--only", type=int, help="send only the call of this number")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

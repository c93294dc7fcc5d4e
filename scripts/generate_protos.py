"""Generates the Python stubs in clients/python/imagegen from protos/.

With --check it writes nothing: it compares them with what it would write and fails, naming the files that differ.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STUBS = Path("clients/python/imagegen")


def generate(out: Path) -> None:
    """Write the stubs of protos/ below `out`, with the tools that are installed beside this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["buf", "generate", "protos", "--template", "protos/buf.gen.yaml", "--output", str(out)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True)


def stubs(root: Path) -> dict[str, bytes]:
    """The generated files below `root`, by their path in the repository."""
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / STUBS).rglob("*_pb2*.py*")}


def differences() -> list[str]:
    """Stubs that are missing, left over or not what protos/ gives, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh = stubs(Path(folder))
    committed = stubs(ROOT)
    return sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))


def main() -> int:
    """Generate or check; the exit code is 1 when a check found differences."""
    parser = argparse.ArgumentParser(description="Generate the Python stubs from protos/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed stub differs")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    stale = differences()
    for name in stale:
        print(f"{name}: differs from protos/; run `make protos` and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""Generates the stubs in clients/python/imagegen and clients/go/gen from protos/.

With --check it writes nothing: it compares them with what it would write and fails, naming the files that differ. The
Go stubs need the Go toolchain; where it is missing they are left alone and a line says so, but under CI that is a
failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ("protos/buf.gen.yaml", "clients/python/imagegen", "*_pb2*.py*")
GO = ("protos/buf.gen.go.yaml", "clients/go/gen", "*.pb.go")

Language = tuple[str, str, str]


def languages() -> list[Language]:
    """What can be generated on this machine.

    Raises:
        SystemExit: Go is missing under CI.
    """
    if shutil.which("go") is not None:
        return [PYTHON, GO]
    print("no Go toolchain here: the Go stubs are neither generated nor checked", file=sys.stderr)
    if os.environ.get("CI") == "true":
        sys.exit(1)
    return [PYTHON]


def generate(language: Language, out: Path) -> None:
    """Write the stubs of protos/ below `out`, with the tools that are installed beside this Python."""
    template, _, _ = language
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["buf", "generate", "protos", "--template", template, "--output", str(out)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=True)


def stubs(language: Language, root: Path) -> dict[str, bytes]:
    """The generated files below `root`, by their path in the repository."""
    _, folder, pattern = language
    files = (path for path in (root / folder).rglob(pattern) if path.parent.name != "__pycache__")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def differences(language: Language) -> list[str]:
    """Stubs that are missing, left over or not what protos/ gives, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        generate(language, Path(folder))
        fresh = stubs(language, Path(folder))
    committed = stubs(language, ROOT)
    return sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))


def main() -> int:
    """Generate or check; the exit code is 1 when a check found differences."""
    parser = argparse.ArgumentParser(description="Generate the Python and Go stubs from protos/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a committed stub differs")
    if not parser.parse_args().check:
        for language in languages():
            generate(language, ROOT)
        return 0
    stale = [name for language in languages() for name in differences(language)]
    for name in stale:
        print(f"{name}: differs from protos/; run `make protos` and commit the result", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

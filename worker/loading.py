"""From a worker's flags to a loaded model, with every failure told in one line."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from imagegen.v1.common_pb2 import DataType, ModelComponent, ModelInfo
from serving.config import ServerConfig, StartupError
from worker.config import WorkerConfig

if TYPE_CHECKING:
    from kandinsky.checkpoint import Component
    from kandinsky.cpu_kernels.library import Library
    from kandinsky.graph_cache import GraphCache
    from kandinsky.loading import Runtime
    from kandinsky.ops import Kernels

Model = TypeVar("Model")

_DTYPES = {"float16": DataType.DATA_TYPE_FLOAT16, "float32": DataType.DATA_TYPE_FLOAT32}


def prepare_process() -> None:
    """Set what MindSpore reads when it is imported. Call first of all, in a worker's main.

    On CPUs with AVX-512 oneDNN chooses a convolution a hundred times slower than the one it uses under AVX2. And
    MindSpore's own log, whose lines are not the server's, keeps to errors. Its compile cache is off but for what
    `kandinsky.graph_cache` does with it, whatever the user has set: by itself it gives wrong graphs. Both variables are
    there from now on, since a new one moves the environment under threads that read it.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
    os.environ.setdefault("GLOG_v", "3")
    os.environ["MS_COMPILER_CACHE_ENABLE"] = "0"
    os.environ["MS_COMPILER_CACHE_PATH"] = "."


@dataclass(frozen=True)
class LoadedModel(Generic[Model]):
    """A model, and what the worker tells of it.

    Attributes:
        model: from the model library.
        info: id, digests, dtype, device.
        operators_seconds: how long the CPU's own operators were waited for.
        graph_cache: where its compiled graphs are kept; to be closed when it is warm.
    """

    model: Model
    info: ModelInfo
    operators_seconds: float
    graph_cache: "GraphCache"


def load_model(
    config: WorkerConfig,
    components: Sequence[str],
    load: "Callable[[Path, Runtime], Model]",
    operators: "Callable[[], Library]",
) -> LoadedModel[Model]:
    """Locate, load and hash a model. Runs on the device thread: it initialises the device.

    Args:
        config: the worker's flags.
        components: the checkpoint's folders that are needed.
        load: builds the model from the checkpoint's folder.
        operators: the CPU's own, from `operators_ahead`; not asked where they are not used.

    Raises:
        StartupError: what is wrong and what to do.
    """
    from kandinsky.checkpoint import locate
    from kandinsky.errors import KandinskyError
    from kandinsky.loading import Runtime

    try:
        root = locate(config.model, components, config.variant)
        located = time.perf_counter()
        runtime = Runtime(_kernels(config, operators), config.dtype, variant=config.variant)
        operators_seconds = time.perf_counter() - located
        model = load(root, runtime)
        info = _model_info(config, root, model)
        _open_graph_cache(config, runtime, info)
    except KandinskyError as error:
        raise StartupError(str(error)) from error
    except MemoryError as error:
        raise StartupError(f"not enough memory to load {config.model}; use a larger machine") from error
    return LoadedModel(model, info, operators_seconds, runtime.graph_cache)


def _kernels(config: WorkerConfig, operators: "Callable[[], Library]") -> "Kernels":
    from kandinsky.ops import use_device, with_fast_paths

    kernels = use_device(config.device, config.device_id)
    return with_fast_paths(kernels, operators) if config.device == "CPU" and config.fast_paths else kernels


def _open_graph_cache(config: WorkerConfig, runtime: "Runtime", info: ModelInfo) -> None:
    """Let graphs come from an earlier start that was the same in everything that they, and their order, depend on."""
    from kandinsky.graph_cache import graphs_key, program_is_python
    from kandinsky.user_cache import user_cache_folder

    # On Ascend MindSpore keeps what its backend made, too, and nobody has tried that here.
    if config.device != "CPU" or not config.keep_graphs or not config.warm_up or not program_is_python():
        return
    # The digest stands for the model, wherever it lies.
    others = {"model", *(field.name for field in fields(ServerConfig))}
    fast = runtime.kernels.fast
    key = graphs_key(
        {
            "flags": sorted((name, value) for name, value in asdict(config).items() if name not in others),
            "model": info.digest,
            "library": None if fast is None else str(fast.library.path),
        }
    )
    with suppress(OSError, RuntimeError):  # no home, or nothing to be written there: each start compiles
        runtime.graph_cache.open(user_cache_folder(), key)


def operators_ahead(config: WorkerConfig) -> "Callable[[], Library]":
    """The CPU's own operators, as a call that waits for them.

    Where they are used and not there yet the other cores build them, while this one imports MindSpore. A process that
    ends meanwhile waits for them, two seconds mostly: the next start has them.
    """
    from kandinsky.cpu_kernels.build import find_or_build

    if config.device != "CPU" or not config.fast_paths:
        return find_or_build
    return ThreadPoolExecutor(1, "operators").submit(find_or_build).result


def check_installed() -> None:
    """Check that the packages of the worker extra are there.

    Raises:
        StartupError: they are not; says how to install them.
    """
    try:
        import huggingface_hub  # noqa: F401 - only whether it is there
        import mindspore  # noqa: F401 - likewise
        import safetensors  # noqa: F401 - likewise
        import tokenizers  # noqa: F401 - likewise
    except ImportError as error:
        raise StartupError(
            f'{error.name} is not installed; a worker needs: pip install "kandinsky-serving[worker]"'
        ) from error


def _model_info(config: WorkerConfig, root: Path, model: Any) -> ModelInfo:
    local = Path(config.model).is_dir()
    # The hub's cache names a snapshot's folder by its commit.
    name, revision = (root.name, "") if local else (config.model.partition("@")[0], root.name)
    digests = _digests(model.components)
    return ModelInfo(
        id=name,
        revision=revision,
        digest=_combined(digests),
        components=[ModelComponent(name=name, digest=value) for name, value in sorted(digests.items())],
        dtype=_DTYPES[config.dtype],
        device=config.device,
        embedding_dim=model.embedding_dim,
    )


def _digests(components: "Sequence[Component]") -> dict[str, str]:
    """Digest of each component; in threads, since hashing leaves the interpreter free."""
    from kandinsky.checkpoint import digest

    with ThreadPoolExecutor() as threads:
        return dict(zip((item.name for item in components), threads.map(digest, components), strict=True))


def _combined(digests: dict[str, str]) -> str:
    """The model's digest, as `ModelInfo.digest` defines it."""
    import hashlib

    lines = "".join(f"{name} {value}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()

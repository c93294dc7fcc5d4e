"""Identifies a model by what it computes with: its weights and its config, however they are stored."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

from kandinsky.checkpoint.component import Component
from kandinsky.checkpoint.tensor_file import TensorFile


def digest(component: Component) -> str:
    """The component's digest: 64 hexadecimal digits.

    SHA-256 over the canonical JSON of the config, without keys that start with an underscore (they tell who saved
    it), and of every tensor's name, dtype, shape and the SHA-256 of its bytes, ordered by name. Sharding, file names
    and the order within files do not change it; the dtype that the weights are stored in does.

    Raises:
        MissingFileError, CorruptFileError: a weights file cannot be read.
    """
    tensors = {name: file for file in map(TensorFile, component.weight_files) for name in file.spans}
    names = sorted(tensors)
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(lambda name: _tensor_digest(tensors[name], name), names))
    identity = {
        "config": {key: value for key, value in component.config.items() if not key.startswith("_")},
        "tensors": [
            [name, tensors[name].spans[name].dtype, tensors[name].spans[name].shape, tensor_digest]
            for name, tensor_digest in zip(names, digests, strict=True)
        ],
    }
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _tensor_digest(file: TensorFile, name: str) -> str:
    return hashlib.sha256(file.view(name).data).hexdigest()

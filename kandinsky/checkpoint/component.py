"""One component of a checkpoint: the folder with its config and weights, found and checked but not read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kandinsky.checkpoint.json_file import read_json
from kandinsky.checkpoint.weight_names import choose_weights, variant_to_use
from kandinsky.errors import ComponentClassError, CorruptFileError, MissingFileError

# Any name, as long as it is one, and not a path.
_SHARD = re.compile(r"[^/\\\x00-\x1f]+\.safetensors")


@dataclass(frozen=True)
class Component:
    """A component's folder, opened.

    Attributes:
        name: its key in model_index.json, and its folder's name.
        folder: where its files are.
        class_name: the diffusers or transformers class that it was saved from.
        config: the config file's content, as it stands there.
        weight_files: its safetensors files, one or all shards; empty for components without weights.
    """

    name: str
    folder: Path
    class_name: str
    config: Mapping[str, Any]
    weight_files: tuple[Path, ...] = ()


def open_component(root: Path, name: str, expected: str | tuple[str, ...], variant: str | None = None) -> Component:
    """Opens a network: config.json and weights.

    Args:
        root: the checkpoint's folder, with model_index.json.
        name: the component, as model_index.json names it.
        expected: the class, or classes, that it may be of.
        variant: weights of this variant, such as "fp16", where the component has it; if no component does, that is
            an error. None for the plain ones, or the only ones there are.

    Raises:
        MissingFileError: the folder, its config, its weights or one of their shards is not there.
        CorruptFileError: a JSON file is not what it should be.
        PickleRefusedError: the weights are there as pickle only.
        ComponentClassError: it is of another class.
    """
    opened = open_settings(root, name, expected, "config.json")
    names = [path.name for path in opened.folder.iterdir()]
    variant = variant_to_use(names, [path.name for path in root.glob("*/*")], variant)
    chosen = opened.folder / choose_weights(names, variant, str(opened.folder))
    return replace(opened, weight_files=_shards(chosen) if chosen.suffix == ".json" else (chosen,))


def open_settings(root: Path, name: str, expected: str | tuple[str, ...], file_name: str) -> Component:
    """Opens a component without weights, such as a scheduler.

    Args:
        root: the checkpoint's folder, with model_index.json.
        name: the component, as model_index.json names it.
        expected: the class, or classes, that it may be of.
        file_name: its config's, such as scheduler_config.json.

    Raises:
        MissingFileError, CorruptFileError, ComponentClassError: as `open_component`.
    """
    listed = _class_in_index(root, name)
    folder = root / name
    if not folder.is_dir():
        raise MissingFileError(f"{root} has no folder {name}/; download the checkpoint again")
    config = read_json(folder / file_name)
    class_name = _class_in_config(config) or listed
    allowed = (expected,) if isinstance(expected, str) else expected
    for stated, where in ((listed, root / "model_index.json"), (class_name, folder / file_name)):
        if stated not in allowed:
            raise ComponentClassError(
                f"{where} says that {name} is a {stated}, but this pipeline needs {' or '.join(allowed)}; "
                "check that the checkpoint is the right one for this tier"
            )
    return Component(name, folder, class_name, config)


def _class_in_index(root: Path, name: str) -> str:
    path = root / "model_index.json"
    if not path.exists():
        raise MissingFileError(f"{path} is missing; give the folder of a whole pipeline, which has one")
    index = read_json(path)
    if name not in index:
        present = ", ".join(sorted(key for key in index if not key.startswith("_")))
        raise MissingFileError(f"{path} lists no {name}, which this pipeline needs; it lists {present or 'nothing'}")
    match index[name]:
        case [_, str(class_name)]:
            return class_name
        case value:
            raise CorruptFileError(f"{path}: {name} is {value!r} where [library, class] is needed")


def _class_in_config(config: Mapping[str, Any]) -> str | None:
    """From _class_name (diffusers), architectures (transformers) or image_processor_type (its image processors)."""
    match config:
        case {"_class_name": str(name)} | {"architectures": [str(name)]} | {"image_processor_type": str(name)}:
            return name
    return None


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CorruptFileError(f"{index} has no weight_map; download it again")
    names = sorted(set(map(str, weight_map.values())))
    strange = [name for name in names if not _SHARD.fullmatch(name)]
    if strange:
        raise CorruptFileError(
            f"{index} lists {', '.join(map(repr, strange))} for shards, which are .safetensors files beside it; "
            "download it again"
        )
    shards = [index.with_name(name) for name in names]
    missing = [path.name for path in shards if not path.exists()]
    if missing:
        raise MissingFileError(f"{index} lists {', '.join(missing)}, which is missing; download it again")
    return tuple(shards)

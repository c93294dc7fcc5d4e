"""Strict schemas: Kubernetes' own of two versions and those of custom resources. A key they don't know is an error."""

import json
import re
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
from rendering import TOOLS, Object

VERSIONS = ("1.30", "1.37")
_CUSTOM_GROUPS = ("cert-manager.io/", "gateway.networking.k8s.io/", "keda.sh/", "monitoring.coreos.com/")
_VALIDATOR = Path(__file__).parent / "custom_resources" / "validate.mjs"


def is_custom(item: Object) -> bool:
    """Whether an object is a custom resource."""
    return str(item["apiVersion"]).startswith(_CUSTOM_GROUPS)


def problems(item: Object, version: str) -> list[str]:
    """What a version of Kubernetes' schemas has against an object; a kind that it does not know is an error."""
    found = _validator(version, item["apiVersion"], item["kind"]).iter_errors(item)
    name = f"{item['kind']}/{item['metadata']['name']}"
    return [f"{name} {version} {'.'.join(map(str, error.instance_path))}: {error.message}" for error in found]


def custom_problems(items: list[Object]) -> list[str]:
    """What the schemas of custom resources have against objects."""
    done = subprocess.run(
        ["node", str(_VALIDATOR)],  # noqa: S607 - the node of the PATH, as npm's
        cwd=TOOLS,
        input=json.dumps(items),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.splitlines()


@cache
def _validator(version: str, api_version: str, kind: str) -> Any:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text())
    # rbac.authorization.k8s.io/v1 is called rbac-v1 there.
    suffix = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = json.loads((folder / f"{kind.lower()}-{suffix}.json").read_text())
    registry = jsonschema_rs.Registry([(definitions["$id"], definitions)])
    return jsonschema_rs.validator_for(schema, registry=registry)

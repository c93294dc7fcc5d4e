"""Where in an object the things are that tests ask for."""

from typing import Any

from rendering import Object, of_kind


def name_of(item: Object) -> str:
    """Kind and name."""
    return f"{item['kind']}/{item['metadata']['name']}"


def workloads(objects: list[Object]) -> list[Object]:
    """What makes pods."""
    return [*of_kind(objects, "Deployment"), *of_kind(objects, "Job")]


def pod_of(workload: Object) -> Any:
    """The spec of its pods."""
    return workload["spec"]["template"]["spec"]


def containers_of(workload: Object) -> list[Any]:
    """All containers of its pods."""
    pod = pod_of(workload)
    return [*pod.get("initContainers", ()), *pod["containers"]]


def server_of(deployment: Object) -> Any:
    """The container that serves."""
    (container,) = pod_of(deployment)["containers"]
    return container


def arguments_of(container: Any) -> dict[str, str]:
    """Its flags."""
    return dict(argument.removeprefix("--").split("=", 1) for argument in container["args"] if "=" in argument)


def selects(selector: dict[str, str], workload: Object) -> bool:
    """Whether labels choose the pods of a workload."""
    labels = workload["spec"]["template"]["metadata"]["labels"]
    return all(labels.get(key) == value for key, value in selector.items())

"""Laws that objects, pods and containers obey each on their own. A law is a generator of complaints."""

import re
from collections import Counter
from collections.abc import Iterator

from anatomy import arguments_of, containers_of, name_of, pod_of, server_of, workloads
from rendering import Object, of_kind

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def no_two_objects_share_kind_and_name(objects: list[Object]) -> Iterator[str]:
    for name, count in Counter(map(name_of, objects)).items():
        if count > 1:
            yield f"{name} is there {count} times"


def names_fit_into_dns_labels(objects: list[Object]) -> Iterator[str]:
    for item in objects:
        if not _LABEL.fullmatch(item["metadata"]["name"]):
            yield f"{name_of(item)} is no DNS label"
        if item["kind"] == "Service" and item["metadata"]["name"][0].isdigit():
            yield f"{name_of(item)} begins with a digit"


def label_values_are_short_and_plain(objects: list[Object]) -> Iterator[str]:
    for item in objects:
        labels = dict(item["metadata"]["labels"])
        if item in workloads(objects):
            labels |= item["spec"]["template"]["metadata"]["labels"]
        for key, value in labels.items():
            if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
                yield f"{name_of(item)} has the label {key}: {value!r}"


def every_mount_has_its_volume_and_every_volume_a_mount(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        volumes = [volume["name"] for volume in pod_of(workload).get("volumes", ())]
        mounted = {
            mount["name"] for container in containers_of(workload) for mount in container.get("volumeMounts", ())
        }
        if sorted(volumes) != sorted(mounted):
            yield f"{name_of(workload)} has the volumes {volumes} and mounts {mounted}"


def no_container_mounts_two_volumes_at_one_path(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in containers_of(workload):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
            if len(set(paths)) < len(paths):
                yield f"{name_of(workload)} mounts {paths}"


def variables_are_set_once(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in containers_of(workload):
            names = [variable["name"] for variable in container.get("env", ())]
            if len(set(names)) < len(names):
                yield f"{name_of(workload)} sets {names}"


def requests_equal_limits(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in containers_of(workload):
            if container["resources"]["requests"] != container["resources"]["limits"]:
                yield f"{name_of(workload)} has {container['resources']}"


def an_accelerator_is_asked_for_by_whom_it_is_used(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        asked = {key: value for key, value in server_of(deployment)["resources"]["limits"].items() if "/" in key}
        expected = arguments_of(server_of(deployment)).get("device") == "Ascend"
        if list(asked.values()) != [1] * expected:
            yield f"{name_of(deployment)} asks for {asked}"


def port_names_are_valid_and_ports_unique(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        for container in containers_of(workload):
            ports = container.get("ports", ())
            if not all(_PORT_NAME.fullmatch(port["name"]) for port in ports):
                yield f"{name_of(workload)} names its ports {[port['name'] for port in ports]}"
            if any(len({port[key] for port in ports}) < len(ports) for key in ("name", "containerPort")):
                yield f"{name_of(workload)} opens a port twice: {ports}"


def ports_are_those_that_the_flags_open(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        container = server_of(deployment)
        flags = arguments_of(container)
        opened = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        asked = {"grpc": flags["port"], "health": flags["health-port"], "metrics": flags["metrics-port"]}
        if opened != asked:
            yield f"{name_of(deployment)} declares {opened} and opens {asked}"


def probes_ask_the_plaintext_health_port(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        container = server_of(deployment)
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        expected = {"startupProbe": "readiness", "readinessProbe": "readiness", "livenessProbe": None}
        for probe, service in expected.items():
            grpc = container[probe]["grpc"]
            if grpc["port"] != ports["health"] or grpc.get("service") != service:
                yield f"{name_of(deployment)}: {probe} asks {grpc}"


def the_grace_period_outlasts_pause_and_longest_job(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        container = server_of(deployment)
        needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + int(arguments_of(container)["drain-seconds"])
        if pod_of(deployment)["terminationGracePeriodSeconds"] <= needed:
            yield f"{name_of(deployment)} needs more than {needed} s"


def spread_constraints_differ(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        spread = pod_of(deployment).get("topologySpreadConstraints", ())
        keys = [(each["topologyKey"], each["whenUnsatisfiable"]) for each in spread]
        if len(set(keys)) < len(keys):
            yield f"{name_of(deployment)} is spread by {keys}"


def pods_are_confined(objects: list[Object]) -> Iterator[str]:
    for workload in workloads(objects):
        pod = pod_of(workload)
        if pod["automountServiceAccountToken"] or pod["enableServiceLinks"]:
            yield f"{name_of(workload)} is given a token or the names of other services"
        if not pod["securityContext"]["runAsNonRoot"]:
            yield f"{name_of(workload)} may be root"
        for container in containers_of(workload):
            context = container["securityContext"]
            if (
                context["allowPrivilegeEscalation"]
                or not context["readOnlyRootFilesystem"]
                or context["capabilities"] != {"drop": ["ALL"]}
                or "privileged" in context
            ):
                yield f"{name_of(workload)} has {context}"

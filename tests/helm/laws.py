"""What schemas can't say: laws that an API server, a scheduler or our own servers hold objects to.

Each law is a generator of complaints, none when all is well. Its name is what must hold.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from rendering import Object, of_kind

Law = Callable[[list[Object]], Iterator[str]]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


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


def deployments_select_their_own_pods_only(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        chosen = [
            name_of(item) for item in workloads(objects) if selects(deployment["spec"]["selector"]["matchLabels"], item)
        ]
        if chosen != [name_of(deployment)]:
            yield f"{name_of(deployment)} selects {chosen}"


def services_select_pods_that_open_their_ports(objects: list[Object]) -> Iterator[str]:
    for service in of_kind(objects, "Service"):
        chosen = [item for item in workloads(objects) if selects(service["spec"]["selector"], item)]
        if not chosen or any(item["kind"] != "Deployment" for item in chosen):
            yield f"{name_of(service)} selects {[name_of(item) for item in chosen]}"
        for item in chosen:
            opened = {port["name"] for port in server_of(item).get("ports", ())}
            wanted = {port["targetPort"] for port in service["spec"]["ports"]}
            if not wanted <= opened:
                yield f"{name_of(service)} leads to {wanted}, but {name_of(item)} opens {opened}"


def budgets_and_policies_select_pods(objects: list[Object]) -> Iterator[str]:
    for item in [*of_kind(objects, "PodDisruptionBudget"), *of_kind(objects, "NetworkPolicy")]:
        selector = item["spec"].get("selector", item["spec"].get("podSelector"))["matchLabels"]
        if not any(selects(selector, workload) for workload in workloads(objects)):
            yield f"{name_of(item)} selects nothing"


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


def a_deployment_has_replicas_or_one_scaler(objects: list[Object]) -> Iterator[str]:
    scalers = [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]
    targets = Counter(scaler["spec"]["scaleTargetRef"]["name"] for scaler in scalers)
    for deployment in of_kind(objects, "Deployment"):
        count = targets.pop(deployment["metadata"]["name"], 0)
        if count + ("replicas" in deployment["spec"]) != 1:
            yield f"{name_of(deployment)} has {count} scalers"
    if targets:
        yield f"{list(targets)} are scaled, but not there"


def scalers_have_bounds_in_order(objects: list[Object]) -> Iterator[str]:
    for scaler in [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]:
        spec = scaler["spec"]
        low = spec.get("minReplicas", spec.get("minReplicaCount"))
        high = spec.get("maxReplicas", spec.get("maxReplicaCount"))
        if not 1 <= low <= high:
            yield f"{name_of(scaler)} goes from {low} to {high}"


def trigger_metadata_are_strings(objects: list[Object]) -> Iterator[str]:
    for scaler in of_kind(objects, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            if not all(isinstance(value, str) for value in trigger["metadata"].values()):
                yield f"{name_of(scaler)} has {trigger['metadata']}"


def a_budget_says_one_thing_and_lets_single_pods_go(objects: list[Object]) -> Iterator[str]:
    deployments = {item["metadata"]["name"]: item for item in of_kind(objects, "Deployment")}
    scalers = {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "HorizontalPodAutoscaler")}
    scalers |= {item["metadata"]["name"]: item["spec"] for item in of_kind(objects, "ScaledObject")}
    for budget in of_kind(objects, "PodDisruptionBudget"):
        name, spec = budget["metadata"]["name"], budget["spec"]
        if len({"minAvailable", "maxUnavailable"} & spec.keys()) != 1:
            yield f"{name_of(budget)} has {spec}"
        scaler = scalers.get(name, {})
        pods = deployments[name]["spec"].get("replicas", scaler.get("minReplicas", scaler.get("minReplicaCount")))
        if pods < 2:
            yield f"{name_of(budget)} blocks the drain of a node with the only pod"


def rollouts_can_proceed(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        update = deployment["spec"]["strategy"]["rollingUpdate"]
        uses_npu = any("/" in key for key in server_of(deployment)["resources"]["limits"])
        if update != ({"maxSurge": 0, "maxUnavailable": 1} if uses_npu else {"maxSurge": 1, "maxUnavailable": 0}):
            yield f"{name_of(deployment)} is updated by {update}"


def spread_constraints_differ(objects: list[Object]) -> Iterator[str]:
    for deployment in of_kind(objects, "Deployment"):
        spread = pod_of(deployment).get("topologySpreadConstraints", ())
        keys = [(each["topologyKey"], each["whenUnsatisfiable"]) for each in spread]
        if len(set(keys)) < len(keys):
            yield f"{name_of(deployment)} is spread by {keys}"


def policies_open_exactly_the_ports_that_servers_open(objects: list[Object]) -> Iterator[str]:
    for policy in of_kind(objects, "NetworkPolicy"):
        if sorted(policy["spec"]["policyTypes"]) != ["Egress", "Ingress"]:
            yield f"{name_of(policy)} binds only {policy['spec']['policyTypes']}"
        for deployment in of_kind(objects, "Deployment"):
            if selects(policy["spec"]["podSelector"]["matchLabels"], deployment):
                yield from _wrong_openings(policy, deployment)


def _wrong_openings(policy: Object, deployment: Object) -> Iterator[str]:
    flags = arguments_of(server_of(deployment))
    opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
    allowed = {int(flags["port"]), int(flags["metrics-port"])}
    if not {int(flags["port"])} <= opened <= allowed:
        yield f"{name_of(policy)} opens {opened} of {allowed}"


def gateways_may_reach_the_workers_that_they_are_told_of(objects: list[Object]) -> Iterator[str]:
    deployments = of_kind(objects, "Deployment")
    (gateway,) = (item for item in deployments if "prior" in arguments_of(server_of(item)))
    services = {item["metadata"]["name"]: item for item in of_kind(objects, "Service")}
    for tier in ("prior", "decoder"):
        name, _, port = arguments_of(server_of(gateway))[tier].removeprefix("dns:///").partition(":")
        service = services[name]["spec"]
        (worker,) = (item for item in deployments if selects(service["selector"], item))
        if service.get("clusterIP") != "None" or [entry["port"] for entry in service["ports"]] != [int(port)]:
            yield f"Service/{name} is not headless, or not on port {port}"
        if arguments_of(server_of(worker))["port"] != port:
            yield f"{name_of(worker)} does not listen on {port}, which gateways call"
        yield from _closed_ways(objects, gateway, worker, int(port))


def _closed_ways(objects: list[Object], gateway: Object, worker: Object, port: int) -> Iterator[str]:
    policies = of_kind(objects, "NetworkPolicy")
    for here, direction, peer, end in ((gateway, "egress", worker, "to"), (worker, "ingress", gateway, "from")):
        for policy in policies:
            if selects(policy["spec"]["podSelector"]["matchLabels"], here):
                open_rules = [
                    rule
                    for rule in policy["spec"][direction]
                    if {"protocol": "TCP", "port": port} in rule["ports"] and _names(rule.get(end, ()), peer)
                ]
                if not open_rules:
                    yield f"{name_of(policy)} has no {direction} rule between gateway and {name_of(worker)}"


def _names(peers: Any, workload: Object) -> bool:
    return any("podSelector" in peer and selects(peer["podSelector"]["matchLabels"], workload) for peer in peers)


def accounts_exist_or_are_somebody_elses(objects: list[Object]) -> Iterator[str]:
    made = {item["metadata"]["name"] for item in of_kind(objects, "ServiceAccount")}
    own = tuple(item["metadata"]["name"] for item in of_kind(objects, "Deployment"))
    for workload in workloads(objects):
        account = pod_of(workload)["serviceAccountName"]
        if account.startswith(own) and account not in made:
            yield f"{name_of(workload)} runs as {account}, which nobody makes"


def what_is_mounted_by_our_names_is_made_by_us(objects: list[Object]) -> Iterator[str]:
    made = {("configMap", item["metadata"]["name"]) for item in of_kind(objects, "ConfigMap")}
    made |= {("claim", item["metadata"]["name"]) for item in of_kind(objects, "PersistentVolumeClaim")}
    made |= {("secret", item["spec"]["secretName"]) for item in of_kind(objects, "Certificate")}
    prefix = of_kind(objects, "Deployment")[0]["metadata"]["name"].rsplit("-", 1)[0] + "-"
    for workload in workloads(objects):
        for volume in pod_of(workload).get("volumes", ()):
            wanted = {
                ("configMap", volume.get("configMap", {}).get("name")),
                ("claim", volume.get("persistentVolumeClaim", {}).get("claimName")),
                ("secret", volume.get("secret", {}).get("secretName")),
            }
            for kind, name in wanted - made:
                if name is not None and name.startswith(prefix):
                    yield f"{name_of(workload)} mounts the {kind} {name}, which nobody makes"


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


LAWS: tuple[Law, ...] = (
    no_two_objects_share_kind_and_name,
    names_fit_into_dns_labels,
    label_values_are_short_and_plain,
    deployments_select_their_own_pods_only,
    services_select_pods_that_open_their_ports,
    budgets_and_policies_select_pods,
    every_mount_has_its_volume_and_every_volume_a_mount,
    no_container_mounts_two_volumes_at_one_path,
    variables_are_set_once,
    requests_equal_limits,
    an_accelerator_is_asked_for_by_whom_it_is_used,
    port_names_are_valid_and_ports_unique,
    ports_are_those_that_the_flags_open,
    probes_ask_the_plaintext_health_port,
    the_grace_period_outlasts_pause_and_longest_job,
    a_deployment_has_replicas_or_one_scaler,
    scalers_have_bounds_in_order,
    trigger_metadata_are_strings,
    a_budget_says_one_thing_and_lets_single_pods_go,
    rollouts_can_proceed,
    spread_constraints_differ,
    policies_open_exactly_the_ports_that_servers_open,
    gateways_may_reach_the_workers_that_they_are_told_of,
    accounts_exist_or_are_somebody_elses,
    what_is_mounted_by_our_names_is_made_by_us,
    pods_are_confined,
)

"""Laws that hold between a release's objects. A law is a generator of complaints."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from anatomy import arguments_of, name_of, pod_of, selects, server_of, workloads
from rendering import Object, of_kind


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

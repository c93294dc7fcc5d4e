"""Each law of laws.py, for each documented combination of values; and that each law notices when it is broken."""

from collections.abc import Callable
from typing import Any

import pytest
from anatomy import arguments_of, pod_of, server_of
from laws import LAWS, Law
from rendering import COMBINATIONS, Object, of_kind, render, the, values_of


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_it_holds_that(law: Law, combination: str) -> None:
    assert list(law(render(values_of(combination)))) == []


def gateway(objects: list[Object]) -> Any:
    return the(objects, "Deployment", "gateway")


def decoder(objects: list[Object]) -> Any:
    return the(objects, "Deployment", "decoder")


def policy(objects: list[Object], tier: str) -> Any:
    return the(objects, "NetworkPolicy", tier)["spec"]


# Each breaks one thing in the objects of a combination.
BREAKAGES: dict[str, tuple[str, Callable[[list[Object]], Any]]] = {
    "no_two_objects_share_kind_and_name": ("demo", lambda o: o.append(gateway(o))),
    "names_fit_into_dns_labels": ("demo", lambda o: gateway(o)["metadata"].update(name="x" * 64)),
    "label_values_are_short_and_plain": ("demo", lambda o: gateway(o)["metadata"]["labels"].update(team="a b")),
    "deployments_select_their_own_pods_only": (
        "demo",
        lambda o: gateway(o)["spec"]["selector"]["matchLabels"].pop("app.kubernetes.io/component"),
    ),
    "services_select_pods_that_open_their_ports": (
        "demo",
        lambda o: the(o, "Service", "prior")["spec"]["ports"][0].update(targetPort="api"),
    ),
    "budgets_and_policies_select_pods": (
        "demo",
        lambda o: policy(o, "prior")["podSelector"]["matchLabels"].update({"app.kubernetes.io/component": "priors"}),
    ),
    "every_mount_has_its_volume_and_every_volume_a_mount": ("demo", lambda o: pod_of(decoder(o))["volumes"].clear()),
    "no_container_mounts_two_volumes_at_one_path": (
        "ascend",
        lambda o: [mount.update(mountPath="/tmp") for mount in server_of(decoder(o))["volumeMounts"]],  # noqa: S108
    ),
    "variables_are_set_once": ("demo", lambda o: server_of(gateway(o))["env"].append({"name": "HOME", "value": "/"})),
    "requests_equal_limits": (
        "ascend",
        lambda o: server_of(decoder(o))["resources"]["requests"].pop("huawei.com/Ascend910"),
    ),
    "an_accelerator_is_asked_for_by_whom_it_is_used": (
        "ascend",
        lambda o: server_of(decoder(o))["resources"]["limits"].pop("huawei.com/Ascend910"),
    ),
    "port_names_are_valid_and_ports_unique": (
        "demo",
        lambda o: server_of(gateway(o))["ports"][0].update(name="grpc-of-the-gateway"),
    ),
    "ports_are_those_that_the_flags_open": (
        "demo",
        lambda o: server_of(gateway(o))["ports"][1].update(containerPort=1),
    ),
    "probes_ask_the_plaintext_health_port": (
        "demo",
        lambda o: server_of(gateway(o))["livenessProbe"]["grpc"].update(port=50050),
    ),
    "the_grace_period_outlasts_pause_and_longest_job": (
        "demo",
        lambda o: pod_of(gateway(o)).update(terminationGracePeriodSeconds=30),
    ),
    "a_deployment_has_replicas_or_one_scaler": ("hpa", lambda o: decoder(o)["spec"].update(replicas=1)),
    "scalers_have_bounds_in_order": (
        "hpa",
        lambda o: the(o, "HorizontalPodAutoscaler", "decoder")["spec"].update(minReplicas=99),
    ),
    "trigger_metadata_are_strings": (
        "keda",
        lambda o: the(o, "ScaledObject", "decoder")["spec"]["triggers"][0]["metadata"].update(threshold=30),
    ),
    "a_budget_says_one_thing_and_lets_single_pods_go": (
        "ascend",
        lambda o: the(o, "PodDisruptionBudget", "decoder")["spec"].update(minAvailable=1),
    ),
    "rollouts_can_proceed": ("ascend", lambda o: decoder(o)["spec"]["strategy"]["rollingUpdate"].update(maxSurge=1)),
    "spread_constraints_differ": (
        "demo",
        lambda o: pod_of(gateway(o)).update(
            topologySpreadConstraints=pod_of(gateway(o))["topologySpreadConstraints"] * 2
        ),
    ),
    "policies_open_exactly_the_ports_that_servers_open": (
        "demo",
        lambda o: policy(o, "prior")["ingress"][0]["ports"].append({"protocol": "TCP", "port": 50060}),
    ),
    "gateways_may_reach_the_workers_that_they_are_told_of": ("demo", lambda o: policy(o, "gateway")["egress"].pop(0)),
    "accounts_exist_or_are_somebody_elses": ("demo", lambda o: o.remove(the(o, "ServiceAccount", "prior"))),
    "what_is_mounted_by_our_names_is_made_by_us": ("ascend", lambda o: o.remove(the(o, "PersistentVolumeClaim"))),
    "pods_are_confined": ("demo", lambda o: server_of(gateway(o))["securityContext"].update(privileged=True)),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_a_breach_is_noticed_where(law: Law) -> None:
    combination, breach = BREAKAGES[law.__name__]
    objects = render(values_of(combination))
    breach(objects)
    assert list(law(objects)) != []


def test_a_single_pod_has_no_budget() -> None:
    assert of_kind(render({"global": {"demo": True}}), "PodDisruptionBudget") == []


def test_two_pods_have_one() -> None:
    budgets = of_kind(render(values_of("ascend")), "PodDisruptionBudget")
    assert {item["metadata"]["name"] for item in budgets} == {
        "demo-kandinsky-serving-gateway",
        "demo-kandinsky-serving-decoder",
    }


def test_the_demo_asks_for_no_accelerator_volume_or_download() -> None:
    objects = render(values_of("demo"))
    assert {item["kind"] for item in objects} == {"Deployment", "Service", "ServiceAccount", "NetworkPolicy"}
    for tier in ("prior", "decoder"):
        arguments = arguments_of(server_of(the(objects, "Deployment", tier)))
        assert arguments["device"] == "CPU"
        assert arguments["model"] == f"/opt/kandinsky/demo/{tier}"


def test_an_npu_is_asked_for_by_the_name_that_was_given() -> None:
    objects = render(values_of("ascend-volcano"))
    prior = server_of(the(objects, "Deployment", "prior"))["resources"]
    decoder_resources = server_of(decoder(objects))["resources"]
    assert prior["requests"]["huawei.com/Ascend310P"] == prior["limits"]["huawei.com/Ascend310P"] == 1
    assert (
        decoder_resources["requests"]["huawei.com/Ascend910"]
        == decoder_resources["limits"]["huawei.com/Ascend910"]
        == 1
    )


def test_volcano_tells_pods_their_npu_by_the_annotation_of_the_same_name() -> None:
    objects = render(values_of("ascend-volcano"))
    pod = pod_of(the(objects, "Deployment", "prior"))
    assert pod["schedulerName"] == "volcano"
    (variable,) = (
        item for item in server_of(the(objects, "Deployment", "prior"))["env"] if item["name"].startswith("ASCEND")
    )
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['huawei.com/Ascend310P']"


def test_without_volcano_the_device_plugin_says_which_npu() -> None:
    pod = pod_of(decoder(render(values_of("ascend"))))
    assert "schedulerName" not in pod
    assert not any(item["name"].startswith("ASCEND") for item in server_of(decoder(render(values_of("ascend"))))["env"])


def test_the_driver_is_mounted_read_only() -> None:
    objects = render(values_of("ascend-volcano"))
    mounts = {item["mountPath"]: item for item in server_of(decoder(objects))["volumeMounts"]}
    assert mounts["/usr/local/Ascend/driver/lib64"]["readOnly"]
    assert all(mount.get("readOnly") for path, mount in mounts.items() if path != "/tmp")  # noqa: S108


def test_workers_accept_the_certificate_that_gateways_have() -> None:
    objects = render(values_of("mtls-cert-manager"))
    identity = arguments_of(server_of(decoder(objects)))["tls-client-names"]
    assert the(objects, "Certificate", "gateway-internal")["spec"]["dnsNames"] == [identity]


def test_a_workers_certificate_holds_the_name_that_gateways_call() -> None:
    objects = render(values_of("mtls-cert-manager"))
    for tier in ("prior", "decoder"):
        name, _, _ = arguments_of(server_of(gateway(objects)))[tier].removeprefix("dns:///").partition(":")
        assert name in the(objects, "Certificate", f"{tier}-internal")["spec"]["dnsNames"]


def test_an_autoscaled_tier_leaves_the_others_alone() -> None:
    objects = render(values_of("keda"))
    assert the(objects, "Deployment", "prior")["spec"]["replicas"] == 1
    assert [item["metadata"]["name"] for item in of_kind(objects, "ScaledObject")] == [
        "demo-kandinsky-serving-gateway",
        "demo-kandinsky-serving-decoder",
    ]


def test_hpa_and_keda_are_never_both_there() -> None:
    for kind, other in (("hpa", "ScaledObject"), ("keda", "HorizontalPodAutoscaler")):
        assert of_kind(render(values_of(kind)), other) == []


def test_another_revision_is_another_job_and_another_folder() -> None:
    before, after = values_of("ascend"), values_of("ascend")
    after["prior"]["model"]["revision"] = "f" * 40
    jobs = [{item["metadata"]["name"] for item in of_kind(render(values), "Job")} for values in (before, after)]
    assert len(jobs[0] & jobs[1]) == 1, "the decoder's stays, the prior's is another"
    models = [
        arguments_of(server_of(the(render(values), "Deployment", "prior")))["model"] for values in (before, after)
    ]
    assert models[0] != models[1]


def test_a_new_chart_version_restarts_no_worker() -> None:
    template = the(render(values_of("demo")), "Deployment", "decoder")["spec"]["template"]
    assert not any(key in template["metadata"]["labels"] for key in ("helm.sh/chart", "app.kubernetes.io/version"))


def test_nothing_is_open_to_the_pods_that_nobody_named() -> None:
    objects = render({"global": {"demo": True}, "networkPolicy": {"monitoring": []}})
    assert [rule["ports"][0]["port"] for rule in policy(objects, "decoder")["ingress"]] == [50052]
    (rule,) = policy(objects, "gateway")["ingress"]
    assert "from" not in rule, "clients are anybody unless they are named"
    assert (
        policy(render(values_of("ingress")), "gateway")["ingress"][0]["from"]
        == values_of("ingress")["networkPolicy"]["clients"]
    )

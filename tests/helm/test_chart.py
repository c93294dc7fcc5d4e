"""The chart as helm sees it: linted, rendered for each documented combination, packaged; generated files are fresh."""

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from laws import LAWS
from rendering import CHART, COMBINATIONS, NAMESPACE, RELEASE, ROOT, TOOLS, notes, objects_in, render, the, values_of
from schemas import VERSIONS, custom_problems, is_custom, problems


def helm(*arguments: str) -> str:
    done = subprocess.run([str(TOOLS / "helm"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_documented_combination_lints_and_renders_the_same_with_real_helm(combination: str) -> None:
    file = str(COMBINATIONS[combination])
    helm("lint", "--strict", "--values", file, str(CHART))
    for version in VERSIONS:
        text = helm(
            "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", file, "--kube-version", version
        )
        assert sorted(map(repr, objects_in(text))) == sorted(map(repr, render(values_of(combination))))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_a_documented_combination_passes_the_strict_schemas(combination: str, version: str) -> None:
    objects = render(values_of(combination))
    assert [text for item in objects if not is_custom(item) for text in problems(item, version)] == []


def test_custom_resources_pass_their_own_schemas() -> None:
    items = [item for combination in COMBINATIONS for item in render(values_of(combination)) if is_custom(item)]
    assert {item["kind"] for item in items} == {
        "Certificate",
        "GRPCRoute",
        "Issuer",
        "PrometheusRule",
        "ScaledObject",
        "ServiceMonitor",
    }
    assert custom_problems(items) == []


def test_the_schemas_refuse_a_key_that_they_do_not_know() -> None:
    deployment, monitor = (
        next(item for item in render(values_of("monitoring")) if item["kind"] == kind)
        for kind in ("Deployment", "ServiceMonitor")
    )
    deployment["spec"]["replica"] = 1
    monitor["spec"]["endpoint"] = []
    assert all("replica" in text for version in VERSIONS for text in problems(deployment, version) or ["nothing"])
    assert "endpoint" in "".join(custom_problems([monitor]))


def test_an_older_kubernetes_is_refused() -> None:
    arguments = ["template", RELEASE, str(CHART), "--set", "global.demo=true", "--kube-version", "1.29"]
    done = subprocess.run([str(TOOLS / "helm"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "1.30" in done.stderr


def test_the_package_holds_the_chart_and_nothing_else(tmp_path: Path) -> None:
    helm("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        names = {Path(name).parts[1] for name in archive.getnames()}
    assert names == {
        ".helmignore",
        "Chart.yaml",
        "README.md",
        "files",
        "templates",
        "values.schema.json",
        "values.yaml",
    }
    helm("template", RELEASE, str(package), "--set", "global.demo=true")


def test_the_alerts_and_the_dashboard_are_those_of_operations() -> None:
    objects = render(values_of("monitoring"))
    alerts = yaml.safe_load((ROOT / "operations" / "alerts.yaml").read_text())
    assert the(objects, "PrometheusRule")["spec"] == alerts
    (dashboard,) = the(objects, "ConfigMap")["data"].values()
    assert json.loads(dashboard) == json.loads((ROOT / "operations" / "dashboard.json").read_text())


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_notes_lead_to_the_first_picture(combination: str) -> None:
    text = notes(values_of(combination))
    (service, port) = re.search(r"port-forward service/(\S+) 50050:(\d+)", text).groups()
    assert [entry["port"] for entry in the(render(values_of(combination)), "Service", service)["spec"]["ports"]] == [
        int(port)
    ]
    (command,) = re.findall(r"^  kandinsky (img2img .*)$", text, flags=re.MULTILINE)
    flags = set(re.findall(r"--[a-z0-9-]+", command + "".join(re.findall(r"add (--.*),", text))))
    help_text = subprocess.run(
        [sys.executable, "-m", "kandinsky_client.cli", "img2img", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert flags <= set(re.findall(r"--[a-z0-9-]+", help_text))


def test_schema_table_and_copies_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.chart", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("release", ["a", "x" * 53, "kandinsky-serving", "9"])
def test_any_release_name_gives_names_that_fit(release: str) -> None:
    objects = render(values_of("mtls-cert-manager"), release)
    assert all(len(item["metadata"]["name"]) <= 63 for item in objects)
    assert [complaint for law in LAWS for complaint in law(objects)] == []

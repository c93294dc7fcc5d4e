"""Whatever somebody writes into their values: valid objects, or a refusal that says why. Never a broken object."""

import sys
from typing import Any

import helm_python
import pytest
from hypothesis import HealthCheck, given, settings
from laws import LAWS
from rendering import Object, render
from schemas import VERSIONS, custom_problems, is_custom, problems
from value_strategies import values

EXAMPLES = 2000
_BY_SCHEMA = "values don't meet the specifications of the schema(s)"
_BY_CHART = "kandinsky-serving: "


def test_random_values_become_valid_objects_or_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"rendered": 0, "refused": 0}
    custom: dict[str, Object] = {}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(values())
    def check(chosen: dict[str, Any]) -> None:
        try:
            objects = render(chosen)
        except helm_python.HelmError as error:
            assert _BY_SCHEMA in str(error) or _BY_CHART in str(error)  # noqa: PT017 - it is rendered or refused
            counts["refused"] += 1
            return
        counts["rendered"] += 1
        assert [
            text for item in objects if not is_custom(item) for version in VERSIONS for text in problems(item, version)
        ] == []
        assert [complaint for law in LAWS for complaint in law(objects)] == []
        custom.update({repr(item): item for item in objects if is_custom(item)})

    check()
    assert custom_problems(list(custom.values())) == []
    with capsys.disabled():
        sys.stdout.write(f"\n{EXAMPLES} random values: {counts}, {len(custom)} custom resources\n")
    assert counts["rendered"] > EXAMPLES / 3, "too few were let through to say anything"
    assert counts["refused"] > EXAMPLES / 20, "too few were wrong to say anything"


def test_a_key_that_nobody_knows_is_refused() -> None:
    with pytest.raises(helm_python.HelmValuesError, match="gatway"):
        render({"global": {"demo": True}, "gatway": {"replicas": 2}})
    with pytest.raises(helm_python.HelmValuesError, match="replica"):
        render({"global": {"demo": True}, "gateway": {"replica": 2}})


def test_a_value_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(helm_python.HelmValuesError, match=r"/gateway/replicas.*got string, want integer"):
        render({"global": {"demo": True}, "gateway": {"replicas": "2"}})


def test_a_value_set_to_null_is_refused() -> None:
    with pytest.raises(helm_python.HelmValuesError, match="ports"):
        render({"global": {"demo": True}, "gateway": {"ports": None}})


def test_a_download_without_pinned_revisions_is_refused() -> None:
    with pytest.raises(helm_python.HelmValuesError, match="/prior/model/revision"):
        render({})
    with pytest.raises(helm_python.HelmValuesError, match="/decoder/model/revision"):
        render({"prior": {"model": {"revision": "0" * 40}}, "decoder": {"model": {"revision": "main"}}})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prior": {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}}, "prior.autoscaling.minReplicas is 5"),
        ({"decoder": {"ports": {"health": 50052}}}, "decoder.ports"),
        ({"prior": {"serviceAccount": {"name": "a"}}, "decoder": {"serviceAccount": {"name": "a"}}}, "serviceAccount"),
        ({"gateway": {"extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}}, "gateway.extraEnv"),
        (
            {
                "gateway": {
                    "topologySpread": [
                        {"topologyKey": "zone", "maxSkew": n, "whenUnsatisfiable": "DoNotSchedule"} for n in (1, 2)
                    ]
                }
            },
            "gateway.topologySpread",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=f"kandinsky-serving: .*{said}"):
        render({"global": {"demo": True}, **wrong})

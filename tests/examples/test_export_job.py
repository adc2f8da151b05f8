"""The Kubernetes manifest: its fields are those of a Job in batch/v1, and fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

MANIFEST = Path(__file__).parents[2] / "examples" / "export_job.yaml"
# https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/#JobSpec
JOB_SPEC = {
    *("activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex", "completionMode", "completions", "managedBy"),
    *("manualSelector", "maxFailedIndexes", "parallelism", "podFailurePolicy", "podReplacementPolicy", "selector"),
    *("successPolicy", "suspend", "template", "ttlSecondsAfterFinished"),
}


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load(MANIFEST.read_text("utf-8"))


def test_it_is_an_indexed_job(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert job["spec"].keys() <= JOB_SPEC
    assert job["spec"]["completionMode"] == "Indexed"
    # podFailurePolicy and backoffLimitPerIndex need this.
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_each_pod_does_one_of_all_shards(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["roomrec", "export"]
    assert f"--shard=$(JOB_COMPLETION_INDEX)/{job['spec']['completions']}" in container["args"]
    assert 0 < job["spec"]["parallelism"] <= job["spec"]["completions"]


def test_mistakes_are_not_retried(job: dict[str, Any]) -> None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (rule,) = [rule for rule in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [2, 3]}

"""Starts a compiled pipeline on Vertex AI Pipelines."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Any

from h2rec_tf.cloud.errors import explained
from h2rec_tf.cloud.vertex import Vertex, request_json
from h2rec_tf.config_tree import read_yaml
from h2rec_tf.errors import InputError

# Minute, hour, day of month, month, day of week, with Vertex AI's prefix for a time zone.
_CRON = re.compile(r"((CRON_)?TZ=\S+\s+)?(\S+\s+){4}\S+")
_TIMEOUT = 60.0
# Of a schedule: a run that takes longer than the time between two does not pile up others.
_CONCURRENT_RUNS = 1


@dataclasses.dataclass(frozen=True)
class Submission:
    """What to start and how.

    Attributes:
        path: file of a compiled pipeline, JSON or YAML.
        service_account: the steps run as this, or "".
        labels: of the job.
        cache: steps may be taken from earlier runs, where the pipeline allows it.
        job_id: id of the job, or "" for one made of the pipeline's name and the time.
        cron: schedule, or "" to run now.
        max_runs: runs of the schedule, 0 for no end.
    """

    path: str
    service_account: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cache: bool = True
    job_id: str = ""
    cron: str = ""
    max_runs: int = 0

    def __post_init__(self) -> None:
        if self.cron and not _CRON.fullmatch(self.cron.strip()):
            raise InputError(
                f'--schedule "{self.cron}": expected five fields, as "0 3 * * *", perhaps after "TZ=Europe/Berlin"'
            )
        if self.max_runs and not self.cron:
            raise InputError("--max-runs is of a schedule; give --schedule too")
        if self.cron and self.job_id:
            raise InputError("--job-id is of a single run; a schedule names its runs itself")


def submit_pipeline(vertex: Vertex, submission: Submission) -> list[str]:
    """Submits, or shows the request where `vertex` is a dry run.

    Returns:
        Lines for the user: the resource name and where to look. None in a dry run.

    Raises:
        InputError: the file is not a compiled pipeline, an argument is not valid, or Vertex AI refused the request.
        VertexError: Vertex AI failed.
    """
    _check_file(submission.path)
    # It tells of each step at INFO, and at ERROR, with a traceback, of a bucket that it may not look at.
    logging.getLogger("google.cloud.aiplatform").setLevel(logging.CRITICAL)
    with explained("PipelineService.CreatePipelineJob"):
        vertex.initialize_sdk()
        job = _job(submission)
        return _schedule(vertex, job, submission) if submission.cron else _start(vertex, job, submission)


def _check_file(path: str) -> None:
    content = read_yaml(path)
    spec = content.get("pipelineSpec", content) if isinstance(content, dict) else {}
    if not isinstance(spec, dict) or not {"pipelineInfo", "deploymentSpec", "root"} <= set(spec):
        raise InputError(f"{path}: not a compiled pipeline; make one with `h2rec pipeline compile --target vertex`")


def _job(submission: Submission) -> Any:
    from google.cloud import aiplatform

    try:
        return aiplatform.PipelineJob(
            display_name="h2rec",
            template_path=submission.path,
            job_id=submission.job_id or None,
            # None keeps what the file says of each step.
            enable_caching=None if submission.cache else False,
            labels=dict(submission.labels) or None,
        )
    except ValueError as error:
        # The library's own checks of labels and the job id.
        raise InputError(f"{submission.path}: {' '.join(str(error).split())}") from error


def _start(vertex: Vertex, job: Any, submission: Submission) -> list[str]:
    if vertex.show:
        body = _message(job)
        if submission.service_account:
            body["serviceAccount"] = submission.service_account
        request = {"parent": vertex.parent, "pipelineJob": body, "pipelineJobId": job.job_id}
        vertex.show(request_json("PipelineService.CreatePipelineJob", request))
        return []
    job.submit(service_account=submission.service_account or None, create_request_timeout=_TIMEOUT)
    console = f"https://console.cloud.google.com/vertex-ai/locations/{vertex.region}/pipelines/runs"
    return [job.resource_name, f"{console}/{job.job_id}?project={vertex.project}"]


def _schedule(vertex: Vertex, job: Any, submission: Submission) -> list[str]:
    from google.cloud import aiplatform

    schedule = aiplatform.PipelineJobSchedule(pipeline_job=job, display_name="h2rec")
    if vertex.show:
        body = _message(schedule)
        body |= {"cron": submission.cron, "maxConcurrentRunCount": str(_CONCURRENT_RUNS)}
        if submission.max_runs:
            body["maxRunCount"] = str(submission.max_runs)
        if submission.service_account:
            body["createPipelineJobRequest"]["pipelineJob"]["serviceAccount"] = submission.service_account
        vertex.show(request_json("ScheduleService.CreateSchedule", {"parent": vertex.parent, "schedule": body}))
        return []
    schedule.create(
        cron=submission.cron,
        max_run_count=submission.max_runs or None,
        max_concurrent_run_count=_CONCURRENT_RUNS,
        service_account=submission.service_account or None,
        create_request_timeout=_TIMEOUT,
    )
    return [schedule.resource_name]


def _message(resource: Any) -> dict[str, Any]:
    """The resource as the library will send it; its public accessors want one that exists on the server."""
    from google.protobuf import json_format

    message = resource._gca_resource
    return json_format.MessageToDict(type(message).pb(message))

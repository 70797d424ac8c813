"""Vertex AI's REST API on loopback, for the real client libraries; keeps requests and resources, fails on demand."""

from __future__ import annotations

import dataclasses
import http.server
import json
import re
import threading
import urllib.parse
from typing import Any

PROJECT = "test-project"
REGION = "europe-west4"
PARENT = f"projects/{PROJECT}/locations/{REGION}"


@dataclasses.dataclass(frozen=True)
class Received:
    """A request as it came: `verb` and `path` of HTTP, `query`, and the JSON body."""

    verb: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]


class Refused(Exception):
    """An error answer."""

    def __init__(self, code: int, status: str, message: str):
        super().__init__(message)
        self.code, self.status = code, status


class FakeVertex:
    """The server; use it as a context manager.

    Bodies are parsed into the API's own messages, so a field that Vertex AI does not have is refused as it would be.

    Attributes:
        received: every request, in order.
        resources: resource name -> resource, as JSON.
        job_states: states that the next jobs show, one a look; the last one stays.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.resources: dict[str, dict[str, Any]] = {}
        self.job_states = ["SUCCEEDED"]
        self._errors: list[tuple[str, Refused]] = []
        self._counter = 0
        self._operations: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> FakeVertex:
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                code, answer = fake._respond(self.command, self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, path_ending: str, code: int, status: str, message: str) -> None:
        """The next request whose path ends so is refused with Google's error JSON."""
        self._errors.append((path_ending, Refused(code, status, message)))

    def add(self, collection: str, **resource: Any) -> str:
        """Adds a resource and returns its name."""
        name = f"{PARENT}/{collection}/{self._number()}"
        self.resources[name] = {"name": name, "createTime": self._time(), **resource}
        return name

    def changes(self) -> list[Received]:
        """What was asked for beyond reading."""
        return [request for request in self.received if request.verb != "GET"]

    def _number(self) -> str:
        self._counter += 1
        return str(1000 + self._counter)

    def _time(self) -> str:
        return f"2024-01-01T00:00:{self._counter:02d}Z"

    def _respond(self, verb: str, target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        parts = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.received.append(Received(verb, parts.path, query, body))
        try:
            for ending, error in self._errors:
                if parts.path.endswith(ending):
                    self._errors.remove((ending, error))
                    raise error
            return 200, self._answer(verb, parts.path, query, body)
        except Refused as error:
            return error.code, {"error": {"code": error.code, "message": str(error), "status": error.status}}

    def _answer(self, verb: str, path: str, query: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
        if path.startswith("/storage/v1/b/"):
            # Whether the bucket exists may be asked, not whose it is: that answer would lead on to another API.
            if "fields" not in query:
                raise Refused(403, "PERMISSION_DENIED", "No permission to look at the bucket.")
            return {"name": path.rsplit("/", 1)[-1]}
        # The client library asks for operations under /ui.
        name = path.removeprefix("/v1/").removeprefix("/ui/")
        if verb == "GET":
            return self._get(name, query)
        if verb == "PATCH":
            _parsed("Endpoint", body)
            self._check_split(name, body["trafficSplit"])
            self._found(name)["trafficSplit"] = dict(body["trafficSplit"])
            return self._found(name)
        if name.endswith(":deployModel"):
            return self._deploy(name.removesuffix(":deployModel"), body)
        if name.endswith(":undeployModel"):
            return self._undeploy(name.removesuffix(":undeployModel"), body)
        if name.endswith("/models:upload"):
            return self._upload(body)
        kinds = {
            "pipelineJobs": "PipelineJob",
            "schedules": "Schedule",
            "endpoints": "Endpoint",
            "customJobs": "CustomJob",
            "batchPredictionJobs": "BatchPredictionJob",
        }
        collection = name.rsplit("/", 1)[-1]
        if collection not in kinds or not name.startswith(f"{PARENT}/"):
            raise Refused(404, "NOT_FOUND", f"{verb} {path}: no such method or location")
        _parsed(kinds[collection], body)
        name = self.add(collection, **body)
        if collection == "pipelineJobs":
            resource = self.resources.pop(name)
            name = f"{PARENT}/pipelineJobs/{query['pipelineJobId']}"
            self.resources[name] = {**resource, "name": name, "state": "PIPELINE_STATE_PENDING"}
        if collection == "endpoints":
            return self._operation("Endpoint", self.resources[name])
        return self.resources[name]

    def _get(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        if "/operations/" in name:
            return self._operations[name]
        collection = name.rsplit("/", 1)[-1]
        if collection in ("endpoints", "models"):
            wanted = re.search(r'display_name="([^"]*)"', query.get("filter", ""))
            found = [
                resource
                for key, resource in self.resources.items()
                if f"/{collection}/" in key and (not wanted or resource["displayName"] == wanted.group(1))
            ]
            return {collection: found}
        resource = self._found(name)
        if "/customJobs/" in name or "/batchPredictionJobs/" in name:
            state = self.job_states.pop(0) if len(self.job_states) > 1 else self.job_states[0]
            return {**resource, "state": f"JOB_STATE_{state}"}
        return resource

    def _found(self, name: str) -> dict[str, Any]:
        if name not in self.resources:
            raise Refused(404, "NOT_FOUND", f"Resource {name} is not found.")
        return self.resources[name]

    def _operation(self, kind: str, response: dict[str, Any]) -> dict[str, Any]:
        """An operation that is done at the first look."""
        name = f"{PARENT}/operations/{self._number()}"
        done = {"@type": f"type.googleapis.com/google.cloud.aiplatform.v1.{kind}", **response}
        self._operations[name] = {"name": name, "done": True, "response": done}
        return {"name": name}

    def _upload(self, body: dict[str, Any]) -> dict[str, Any]:
        _parsed("UploadModelRequest", body)
        parent = body.get("parentModel")
        if parent:
            version = str(int(self._found(parent)["versionId"]) + 1)
            self.resources[parent] |= {**body["model"], "versionId": version}
        else:
            version = "1"
            parent = self.add("models", versionId=version, **body["model"])
        return self._operation("UploadModelResponse", {"model": parent, "modelVersionId": version})

    def _deploy(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        _parsed("DeployModelRequest", body)
        state = self._found(endpoint)
        self._found(body["deployedModel"]["model"].split("@")[0])
        key = self._number()
        split = {key if name == "0" else name: share for name, share in body["trafficSplit"].items()}
        state.setdefault("deployedModels", []).append({**body["deployedModel"], "id": key, "createTime": self._time()})
        self._check_split(endpoint, split)
        state["trafficSplit"] = split
        return self._operation("DeployModelResponse", {"deployedModel": state["deployedModels"][-1]})

    def _undeploy(self, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
        state = self._found(endpoint)
        if state["trafficSplit"].get(body["deployedModelId"]):
            raise Refused(400, "FAILED_PRECONDITION", f"Deployed model {body['deployedModelId']} has traffic.")
        state["deployedModels"] = [model for model in state["deployedModels"] if model["id"] != body["deployedModelId"]]
        state["trafficSplit"].pop(body["deployedModelId"], None)
        return self._operation("UndeployModelResponse", {})

    def _check_split(self, endpoint: str, split: dict[str, int]) -> None:
        known = {model["id"] for model in self._found(endpoint).get("deployedModels", [])}
        if sum(split.values()) != 100 or not set(split) <= known:
            raise Refused(400, "INVALID_ARGUMENT", f"Traffic split {split} must sum to 100 over {sorted(known)}.")


def _parsed(kind: str, body: dict[str, Any]) -> None:
    from google.cloud import aiplatform_v1
    from google.protobuf import json_format

    message = getattr(aiplatform_v1, kind)
    try:
        json_format.ParseDict(body, message.pb(message()))
    except json_format.ParseError as error:
        raise Refused(400, "INVALID_ARGUMENT", f"Invalid JSON payload received: {error}") from error

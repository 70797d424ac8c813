"""Images, compose file and Kubernetes manifests: accepted by their linters and schemas, and true to the commands."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from h2rec_tf.cli.main import cli
from h2rec_tf.cloud.requests import own_server
from tfx_pipeline.constants import CONTAINER_COMMAND

ROOT = pathlib.Path(__file__).parents[3]
DEPLOY = ROOT / "serving" / "deploy"
DOCKERFILES = [ROOT / "Dockerfile", *sorted((DEPLOY / "docker").glob("*.Dockerfile"))]
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


def manifests(folder: str) -> list[dict[str, Any]]:
    """The documents of a folder's resources, without kustomize."""
    listed = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())["resources"]
    files = [KUBERNETES / folder / name for name in listed if name.endswith(".yaml")]
    return [document for path in files for document in yaml.safe_load_all(path.read_text())]


MANIFESTS = [*manifests("base"), *manifests("canary")]


def workloads() -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] in ("Deployment", "StatefulSet")]


def named(kind: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in MANIFESTS if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_accepts_the_dockerfile(path: pathlib.Path) -> None:
    hadolint = pathlib.Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, str(path)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_do_not_run_as_root_and_copy_what_is_there(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1] == "10001"
    copied = [
        name
        for line in lines
        if line.startswith("COPY ") and not line.startswith("COPY --from=")
        for name in line.split()[1:-1]
    ]
    # TensorFlow Serving's image takes its context from a pipeline's root.
    if path.name != "tfserving.Dockerfile":
        ignored = (ROOT / ".dockerignore").read_text().splitlines()
        assert all((ROOT / name).exists() and f"!{name}" in ignored for name in copied)
        assert {"h2rec_tf", "tfx_pipeline", "serving"} <= set(copied)


LOCKS = ["requirements.lock", "requirements-pipeline.lock", "requirements-server.lock"]
# What tests, style checks and notebooks need stays out of images.
UNWANTED = {"pytest", "ruff", "mypy", "mkdocs", "notebook", "jupyterlab", "jupyter-server", "terminado"}
# Refuses modules of packages, imports TFMA, and says what it has lost: it passes over an import that fails.
WITHOUT_PACKAGES = """
import importlib.metadata, sys
names = set(sys.argv[1].split())
for module, packages in importlib.metadata.packages_distributions().items():
    if {package.lower().replace("_", "-").replace(".", "-") for package in packages} <= names:
        sys.modules[module] = None
import tensorflow_model_analysis
import tfx.components.evaluator.executor, tfx_pipeline.pipeline
for name in ("default_eval_shared_model", "ExtractEvaluateAndWriteResults", "load_validation_result", "view"):
    getattr(tensorflow_model_analysis, name)
"""


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package -> its version and the hashes of its files."""
    entries = re.split(r"\n(?=[^\s])", (ROOT / name).read_text().split("\n", 1)[1].replace(" \\\n", ""))
    found = {}
    for entry in entries:
        pin, *hashes = entry.split()
        package, _, version = pin.partition("==")
        found[package] = (version, frozenset(part for part in hashes if part.startswith("--hash=sha256:")))
    return found


@pytest.mark.parametrize("name", LOCKS[1:])
def test_images_have_pins_of_the_environment_that_tests_run_in(name: str) -> None:
    everywhere, pins = locked("requirements.lock"), locked(name)
    # The same release with half of its files.
    if "tensorflow-cpu" in pins:
        assert pins.pop("tensorflow-cpu")[0] == everywhere["tensorflow"][0]
    assert len(pins) > 50 and pins.items() <= everywhere.items()
    assert not UNWANTED & pins.keys()


@pytest.mark.slow
def test_the_pipeline_needs_nothing_that_its_image_leaves_out() -> None:
    left_out = locked("requirements.lock").keys() - locked("requirements-pipeline.lock").keys()
    assert {"notebook", "jupyter-server"} <= left_out
    command = [sys.executable, "-c", WITHOUT_PACKAGES, " ".join(left_out)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.mark.parametrize("name", LOCKS)
def test_every_file_of_a_package_is_known_by_its_hash(name: str) -> None:
    assert [package for package, (version, hashes) in locked(name).items() if not version or not hashes] == []
    readers = {"requirements.lock": ROOT / "scripts" / "setup.sh", "requirements-pipeline.lock": ROOT / "Dockerfile"}
    reader = readers.get(name, DEPLOY / "docker" / "server.Dockerfile").read_text()
    installs = [line for line in reader.splitlines() if "install" in line and f"-r {name}" in line]
    assert installs and all("--require-hashes" in line for line in installs)


def test_pins_with_known_holes_are_the_ones_that_were_looked_at() -> None:
    table = re.findall(
        r"^\| ([\w-]+) \| ([\d.]+) \|", (ROOT / "docs/known-vulnerabilities.md").read_text(), re.MULTILINE
    )
    pins = locked("requirements.lock")
    assert {package for package, _ in table} >= {"pyarrow", "protobuf", "urllib3"}
    assert [(package, version) for package, version in table if pins[package][0] != version] == []


@pytest.mark.parametrize("name", LOCKS)
def test_whatever_has_arrow_has_its_hotfix(name: str) -> None:
    assert {"pyarrow", "pyarrow-hotfix"} <= locked(name).keys()


def test_the_server_image_stands_in_for_that_of_tensorflow_serving() -> None:
    """The same variables with the same meaning; without arguments it starts by them."""
    text = (DEPLOY / "docker" / "server.Dockerfile").read_text()
    (command,) = re.findall(r"^CMD (.*)$", text, flags=re.MULTILINE)
    assert "--model-dir" not in yaml.safe_load(command) and "--model-name" not in yaml.safe_load(command)
    assert "MODEL_BASE_PATH=/models" in text and "MODEL_NAME=h2rec" in text


def test_the_image_starts_what_compiled_specs_start() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert yaml.safe_load(entry) == list(CONTAINER_COMMAND)


def check_command(words: list[str]) -> None:
    """Every subcommand and option exists in the command line, and every required option is given."""
    words = list(words)
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"no command {name}"
        command = found
    # Parsing runs the checks of types and of required options, and no more.
    command.make_context(command.name, words)


def commands() -> dict[str, list[str]]:
    """Where it stands -> words after `h2rec`."""
    found = {
        f"compose {name}": service["command"] for name, service in COMPOSE["services"].items() if "command" in service
    }
    for workload in workloads():
        for container in workload["spec"]["template"]["spec"]["containers"]:
            found[f"kubernetes {workload['metadata']['name']}"] = container["args"]
    server = (DEPLOY / "docker" / "server.Dockerfile").read_text()
    found["server.Dockerfile"] = yaml.safe_load(re.findall(r"^CMD (.*)$", server, flags=re.MULTILINE)[-1])
    found["Vertex AI"] = own_server("registry/server:1")["args"]
    return found


@pytest.mark.parametrize("where", commands())
def test_commands_and_options_exist(where: str, tmp_path: pathlib.Path) -> None:
    config = tmp_path / "models.config"
    config.touch()
    # The file is there in the container only.
    words = [word.replace("/etc/h2rec/models.config", str(config)) for word in commands()[where]]
    check_command(words)


def test_the_check_of_commands_can_fail() -> None:
    with pytest.raises(click.NoSuchOption):
        check_command(["serve", "--model-dir", "/models", "--no-such-option"])


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_manifest_fits_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("workload", workloads(), ids=lambda item: item["metadata"]["name"])
def test_workloads_have_probes_resources_and_no_privileges(workload: dict[str, Any]) -> None:
    template = workload["spec"]["template"]
    assert workload["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    spec = template["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    (container,) = spec["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    # Kubernetes must wait longer than the server does for its running requests.
    (grace,) = [int(word.partition("=")[2]) for word in container["args"] if word.startswith("--grace-seconds=")]
    assert spec["terminationGracePeriodSeconds"] > grace
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    claimed = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    assert mounts == {volume["name"] for volume in spec["volumes"]} | claimed


def test_service_takes_stable_and_canary_and_nothing_else() -> None:
    selector = named("Service", "model-server")["spec"]["selector"].items()
    taken = [
        item["metadata"]["name"]
        for item in workloads()
        if selector <= item["spec"]["template"]["metadata"]["labels"].items()
    ]
    assert taken == ["model-server", "model-server-canary"]
    stable, canary = (named("Deployment", name)["spec"]["selector"]["matchLabels"] for name in taken)
    assert stable != canary


def test_scaling_disruption_and_network_policies_point_at_the_workloads() -> None:
    target = named("HorizontalPodAutoscaler", "model-server")["spec"]["scaleTargetRef"]
    assert named(target["kind"], target["name"])
    assert "replicas" not in named("Deployment", "model-server")["spec"]
    labels = {item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"] for item in workloads()}
    budget = named("PodDisruptionBudget", "model-server")["spec"]["selector"]["matchLabels"]
    assert budget.items() <= labels["model-server"].items()
    for name in ("model-server", "retrieval"):
        policy = named("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"]
        assert policy.items() <= labels[name].items()


@pytest.mark.parametrize("path", sorted(KUBERNETES.glob("*/*.config")), ids=lambda path: path.name)
def test_model_configs_are_what_tensorflow_serving_reads(path: pathlib.Path) -> None:
    parsed = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    (model,) = parsed.model_config_list.config
    assert (model.name, model.base_path) == ("h2rec", "/models/h2rec")
    pinned = set(model.model_version_policy.specific.versions)
    assert set(model.version_labels.values()) == pinned
    if "canary" in path.name:
        assert model.version_labels["canary"] != model.version_labels["stable"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl, which has kustomize inside, is not installed")
@pytest.mark.parametrize("folder", ["base", "canary"])
def test_kustomize_builds(folder: str) -> None:
    result = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    built = list(yaml.safe_load_all(result.stdout))
    images = {
        container["image"]
        for item in built
        if item["kind"] in ("Deployment", "StatefulSet")
        for container in item["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"h2rec-server:0.1.0"}
    configured = {
        volume["configMap"]["name"]
        for item in built
        if item["kind"] == "Deployment"
        for volume in item["spec"]["template"]["spec"]["volumes"]
        if "configMap" in volume
    }
    assert configured == {item["metadata"]["name"] for item in built if item["kind"] == "ConfigMap"}


def test_compose_services_publish_on_loopback_only_and_depend_on_each_other() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"model-server", "retrieval", "prometheus"}
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            assert volume["type"] == "bind" or volume["source"] in COMPOSE["volumes"]
    for name in ("model-server", "retrieval"):
        assert (
            DEPLOY / "compose" / services[name]["build"]["context"] / services[name]["build"]["dockerfile"]
        ).exists()
    assert set(services["retrieval"]["depends_on"]) <= set(services)
    scrape = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())["scrape_configs"][0]
    hosts = {target.partition(":")[0] for target in scrape["static_configs"][0]["targets"]}
    assert hosts == set(services) - {"prometheus"}


def _compose_available() -> bool:
    docker = shutil.which("docker")
    return (
        bool(docker)
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not _compose_available(), reason="the compose plugin of docker is not installed")
def test_docker_compose_accepts_the_file() -> None:
    command = ["docker", "compose", "-f", str(DEPLOY / "compose" / "compose.yaml"), "config", "--quiet"]
    environment = {"H2REC_SERVING_DIR": "/tmp", "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": "/tmp"}
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0

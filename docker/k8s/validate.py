"""Validate the manifests: schemas of Kubernetes and KEDA, and requirements of fiapx. Run by validate.sh."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

HERE = Path(__file__).parent
SETTINGS = HERE.parents[1] / "crates/app/src/settings.default.toml"
# Oldest and newest version of Kubernetes to validate against.
VERSIONS = ["1.30", "1.37"]
OVERLAYS = ["settings", "base", "migrate", "keda", "hpa"]


def closed(required, **properties):
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


# Subset of the CRDs of KEDA (config/crd/bases of kedacore/keda) and of the metadata of its RabbitMQ
# scaler.
TEXT, COUNT, ANY = {"type": "string"}, {"type": "integer", "minimum": 0}, {}
META = closed(["name"], name=TEXT, namespace=TEXT)
RABBITMQ = closed(
    ["queueName", "mode", "value"],
    queueName=TEXT,
    protocol={"enum": ["http", "amqp", "auto"]},
    excludeUnacknowledged={"enum": ["true", "false"]},
    mode={"enum": ["QueueLength", "MessageRate"]},
    value={"type": "string", "pattern": r"^\d+(\.\d+)?$"},
)
KEDA = {
    "ScaledObject": closed(
        ["scaleTargetRef", "triggers"],
        scaleTargetRef=closed(["name"], name=TEXT),
        minReplicaCount=COUNT,
        maxReplicaCount=COUNT,
        pollingInterval=COUNT,
        fallback=closed(
            ["failureThreshold", "replicas"],
            failureThreshold=COUNT,
            replicas=COUNT,
            behavior={
                "enum": [
                    "static",
                    "currentReplicas",
                    "currentReplicasIfHigher",
                    "currentReplicasIfLower",
                ]
            },
        ),
        advanced=closed([], horizontalPodAutoscalerConfig=closed([], behavior=ANY)),
        triggers={
            "type": "array",
            "items": closed(
                ["type", "metadata"],
                type={"const": "rabbitmq"},
                metadata=RABBITMQ,
                authenticationRef=closed(["name"], name=TEXT),
            ),
        },
    ),
    "TriggerAuthentication": closed(
        [],
        secretTargetRef={
            "type": "array",
            "items": closed(["parameter", "name", "key"], parameter=TEXT, name=TEXT, key=TEXT),
        },
    ),
}


def check_schema(manifest):
    """Fail if a cluster would reject this manifest."""
    if manifest["apiVersion"].startswith("keda.sh/"):
        kind = closed(
            ["metadata", "spec"],
            apiVersion={"const": "keda.sh/v1alpha1"},
            kind=TEXT,
            metadata=META,
            spec=KEDA[manifest["kind"]],
        )
        jsonschema.validate(manifest, kind)
        config = manifest["spec"].get("advanced", {}).get("horizontalPodAutoscalerConfig")
        if config:
            # The type is the same as in a HorizontalPodAutoscaler.
            target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
            spec = {"scaleTargetRef": target, "maxReplicas": 1, "behavior": config["behavior"]}
            check_schema(
                {
                    "apiVersion": "autoscaling/v2",
                    "kind": "HorizontalPodAutoscaler",
                    "metadata": {"name": "x"},
                    "spec": spec,
                }
            )
        return
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)


def check_pod(name, pod, settings):
    """Fail if a pod has more rights than it needs, or too little time or memory."""
    container = pod["containers"][0]
    rights, process = pod["securityContext"], container["securityContext"]
    assert len(pod["containers"]) == 1 and container["args"] == [
        name
    ], f"{name}: one container, which runs `fiapx {name}`"
    assert rights["runAsNonRoot"] and rights["seccompProfile"] == {
        "type": "RuntimeDefault"
    }, f"{name}: {rights}"
    assert (
        not process["allowPrivilegeEscalation"] and process["readOnlyRootFilesystem"]
    ), f"{name}: {process}"
    assert (
        process["capabilities"] == {"drop": ["ALL"]}
        and pod["automountServiceAccountToken"] is False
    ), f"{name}: {process}"
    assert (
        "memory" in container["resources"]["limits"] and container["resources"]["requests"]
    ), f"{name}: resources"
    if name == "migrate":
        return
    grace = int(settings["GRACE_PERIOD_SECONDS"]) + int(settings["NOTICE_PERIOD_SECONDS"]) + 10
    assert (
        pod["terminationGracePeriodSeconds"] == grace
    ), f"{name}: terminationGracePeriodSeconds must be {grace}"
    port = next(port["containerPort"] for port in container["ports"] if port["name"] == "metrics")
    assert (
        settings["METRICS_LISTEN"] == f"0.0.0.0:{port}"
    ), f"{name}: its probes do not use the port of METRICS_LISTEN"
    for probe, path in [
        ("startupProbe", "/health"),
        ("livenessProbe", "/health"),
        ("readinessProbe", "/ready"),
    ]:
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}, f"{name}: {probe}"
    if name == "worker":
        cells = int(settings["WORKER_CONCURRENCY"]) * int(settings["WORKER_MEMORY_MB"]) * 10**6
        needed, limit = cells + 2**30, container["resources"]["limits"]["memory"]
        assert (
            limit.endswith("Gi") and int(limit[:-2]) * 2**30 >= needed
        ), f"worker: needs {needed} bytes of memory"


def check_together(manifests):
    """Fail if the manifests of an overlay are inconsistent."""
    by_kind = {}
    for manifest in manifests:
        by_kind.setdefault(manifest["kind"], {})[manifest["metadata"]["name"]] = manifest
    assert "Secret" not in by_kind, "an overlay must not contain secrets"
    # The file has the names of variables in brackets.
    known = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", SETTINGS.read_text()))
    settings = by_kind["ConfigMap"]["fiapx"]["data"]
    secrets = re.findall(r"^(\w+)=", (HERE / "example/fiapx.env").read_text(), re.MULTILINE)
    assert (
        not (set(settings) | set(secrets)) - known
    ), f"unknown settings: {(set(settings) | set(secrets)) - known}"
    assert not set(settings) & set(secrets), "a setting is both in the ConfigMap and in the Secret"
    deployments = by_kind.get("Deployment", {})
    pods = {
        name: deployment["spec"]["template"]
        for name, deployment in (deployments | by_kind.get("Job", {})).items()
    }
    for name, pod in pods.items():
        check_pod(name, pod["spec"], settings)
    for kind in ["PodDisruptionBudget", "Service"]:
        for name, manifest in by_kind.get(kind, {}).items():
            selector = manifest["spec"]["selector"]
            labels = selector.get("matchLabels", selector)
            chosen = [
                pod
                for pod, template in pods.items()
                if labels.items() <= template["metadata"]["labels"].items()
            ]
            assert chosen == [name], f"{kind} {name} selects {chosen}"
    scalers = [
        *by_kind.get("ScaledObject", {}).values(),
        *by_kind.get("HorizontalPodAutoscaler", {}).values(),
    ]
    assert len(scalers) <= 1, "two autoscalers conflict"
    for scaler in scalers:
        target = scaler["spec"]["scaleTargetRef"]["name"]
        assert (
            "replicas" not in deployments[target]["spec"]
        ), f"{target}: replicas conflict with the autoscaler"


def resources(directory):
    """Return the manifests of an overlay. Fail if a listed one is missing, or a file is not listed."""
    listed = yaml.safe_load((directory / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in directory.glob("*.yaml")} - {"kustomization.yaml"}
    assert there == {
        name for name in listed if not name.startswith("..")
    }, f"{directory}: lists {listed}, contains {there}"
    for path in (directory / name for name in listed):
        yield from (
            resources(path.resolve()) if path.is_dir() else yaml.safe_load_all(path.read_text())
        )


def rejected(manifest, *where, value):
    """Return whether a manifest is rejected with this value."""
    wrong = copy.deepcopy(manifest)
    place = wrong
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    try:
        check_schema(wrong)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError):
        return True
    return False


def new_kubectl():
    """Return whether there is a kubectl that reports its kustomize. That of Debian 12 (1.20) is too old."""
    kubectl = shutil.which("kubectl")
    asked = kubectl and subprocess.run(
        [kubectl, "version", "--client"], capture_output=True, check=False, text=True
    )
    return bool(asked) and "Kustomize Version" in asked.stdout


def main():
    built = {overlay: list(resources(HERE / overlay)) for overlay in OVERLAYS}
    built["migrate"] += built["settings"]
    built["example"] = list(yaml.safe_load_all((HERE / "example/ingress.yaml").read_text()))
    if new_kubectl():
        for overlay in OVERLAYS:
            output = subprocess.run(
                ["kubectl", "kustomize", HERE / overlay], capture_output=True, check=True, text=True
            ).stdout
            built[f"{overlay}, built by kubectl"] = list(yaml.safe_load_all(output))
    else:
        print(
            "NOT CHECKED: the output of `kubectl kustomize`, because kubectl is missing or too old"
        )
    for name, manifests in built.items():
        for manifest in manifests:
            try:
                check_schema(manifest)
            except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
                sys.exit(
                    f"{name}: {manifest['kind']} {manifest['metadata']['name']}: {error.message}"
                )
        if any(manifest["kind"] == "ConfigMap" for manifest in manifests):
            check_together(manifests)
        print(f"{name}: {len(manifests)} manifests")
    images = [
        yaml.safe_load((HERE / overlay / "kustomization.yaml").read_text())["images"]
        for overlay in ["base", "migrate"]
    ]
    assert images[0] == images[1], "base and migrate use different images"

    # Check that invalid manifests are rejected.
    find = lambda kind: next(
        manifest for manifest in built["keda"] + built["hpa"] if manifest["kind"] == kind
    )
    container = ("spec", "template", "spec", "containers", 0)
    assert rejected(find("Deployment"), "spec", "replica", value=2)
    assert rejected(
        find("Deployment"), *container, "securityContext", "readOnlyRootFileSystem", value=True
    )
    assert rejected(find("Deployment"), *container, "livenessProbe", "periodSeconds", value="ten")
    assert rejected(find("HorizontalPodAutoscaler"), "spec", "minReplicaCount", value=2)
    assert rejected(find("ScaledObject"), "spec", "minReplicas", value=2)
    assert rejected(
        find("ScaledObject"), "spec", "triggers", 0, "metadata", "includeUnacked", value="true"
    )
    assert rejected(
        find("ScaledObject"),
        "spec",
        "advanced",
        "horizontalPodAutoscalerConfig",
        "behavior",
        "scaledown",
        value={},
    )


main()

"""Makes the strict JSON schemas in testdata/schemas from what the modules of Kubernetes, prometheus-operator, Argo CD and Istio
carry. That of eksctl's file, clusterconfig-eksctl-v1alpha5.json, is written by hand: its module is not to be had.

  python3 schemas.py OUT SWAGGER_JSON CRD_FILE...    (make -C deploy schemas calls it)
"""
import copy
import json
import os
import sys

KINDS = {"ConfigMap", "Deployment", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount"}
CUSTOM = {"ServiceMonitor", "PrometheusRule", "Application", "ServiceEntry"}


def strict(node):
    """Drops prose and extensions, and refuses properties that are not listed."""
    if isinstance(node, list):
        return [strict(n) for n in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"]}
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    keep = node.get("x-kubernetes-preserve-unknown-fields")
    made = {k: strict(v) for k, v in node.items() if k != "description" and not k.startswith("x-kubernetes-")}
    if isinstance(made.get("properties"), dict) and not made.get("additionalProperties") and not keep:
        made["additionalProperties"] = False
    return made


def references(node, found, definitions):
    if isinstance(node, dict):
        name = node.get("$ref", "").split("/")[-1] if isinstance(node.get("$ref"), str) else ""
        if name and name not in found:
            found.add(name)
            references(definitions[name], found, definitions)
        for value in node.values():
            references(value, found, definitions)
    elif isinstance(node, list):
        for value in node:
            references(value, found, definitions)


def write(out, name, schema):
    with open(os.path.join(out, name + ".json"), "w", encoding="ascii") as file:
        json.dump(schema, file, separators=(",", ":"), sort_keys=True)
        file.write("\n")


def builtin(swagger, out):
    raw = json.load(open(swagger, encoding="utf-8"))["definitions"]
    definitions = {k: strict(v) for k, v in raw.items()}
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
    for name, definition in raw.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or kinds[0]["kind"] not in KINDS:
            continue
        kind, group, version = kinds[0]["kind"], kinds[0]["group"], kinds[0]["version"]
        used = set()
        references(definitions[name], used, definitions)
        schema = copy.deepcopy(definitions[name])
        schema["properties"]["apiVersion"] = {"enum": [(group + "/" if group else "") + version]}
        schema["properties"]["kind"] = {"enum": [kind]}
        schema["required"] = sorted(set(schema.get("required", [])) | {"apiVersion", "kind", "metadata"})
        schema["definitions"] = {k: definitions[k] for k in used}
        write(out, kind.lower() + ("-" + group.split(".")[0] if group else "") + "-" + version, schema)


def custom(path, out):
    import yaml  # PyYAML, which cfn-lint brings along
    for definition in yaml.safe_load_all(open(path, encoding="utf-8")):
        if not definition or definition["spec"]["names"]["kind"] not in CUSTOM:
            continue
        kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
        version = next(v for v in definition["spec"]["versions"] if v["storage"])
        schema = strict(version["schema"]["openAPIV3Schema"])
        for own in ("status", "operation"):  # the controller's, not ours
            schema["properties"].pop(own, None)
        schema["properties"] |= {
            "apiVersion": {"enum": [group + "/" + version["name"]]}, "kind": {"enum": [kind]}, "metadata": {"type": "object"}}
        schema["additionalProperties"] = False
        schema["required"] = sorted(set(schema.get("required", [])) | {"apiVersion", "kind", "metadata", "spec"})
        write(out, kind.lower() + "-" + group.split(".")[0] + "-" + version["name"], schema)


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    builtin(sys.argv[2], sys.argv[1])
    for file in sys.argv[3:]:
        custom(file, sys.argv[1])

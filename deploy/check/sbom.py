"""Writes a CycloneDX 1.6 list of what a Go binary is made of, from what Go itself recorded in it.

  go version -m -json BINARY | python3 sbom.py > tributary.cdx.json    (make -C deploy sbom calls it)
"""
import json
import sys

info = json.load(sys.stdin)
info = info[0] if isinstance(info, list) else info
components = [
    {
        "type": "library",
        "name": module["Path"],
        "version": module["Version"],
        "purl": "pkg:golang/" + module["Path"] + "@" + module["Version"],
        "properties": [{"name": "go:sum", "value": module.get("Sum", "")}],
    }
    for module in (d.get("Replace") or d for d in info["Deps"])
]
components.append({"type": "library", "name": "stdlib", "version": info["GoVersion"].removeprefix("go"),
                   "purl": "pkg:golang/std@" + info["GoVersion"].removeprefix("go")})
json.dump({
    "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
    "metadata": {"component": {"type": "application", "name": "tributary", "bom-ref": info["Main"]["Path"]}},
    "components": sorted(components, key=lambda c: c["name"]),
}, sys.stdout, indent=1)
print()

"""The description of the service in OpenAPI 3.0, which clients of OGC API read; FastAPI writes 3.1.

The two differ in their JSON Schema. What 3.0 can't say is said otherwise where that loses nothing (null, constants, examples) and
left away where it does (lists of examples keep their first).
"""

from __future__ import annotations

from typing import Any

DROPPED = ("$schema", "$id", "contentMediaType", "prefixItems", "propertyNames", "examples")


def downgraded(part: Any) -> Any:
    """A part of an OpenAPI 3.1 document as 3.0.

    >>> downgraded({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "examples": [5]})
    {'type': 'integer', 'minimum': 1, 'nullable': True, 'example': 5}
    >>> downgraded({"const": "ok", "type": "string"})
    {'type': 'string', 'enum': ['ok']}
    """
    if isinstance(part, list):
        return [downgraded(one) for one in part]
    if not isinstance(part, dict):
        return part
    made = {name: downgraded(value) for name, value in part.items() if name not in DROPPED}
    if isinstance(part.get("examples"), list) and part["examples"]:
        made["example"] = part["examples"][0]
    if "const" in made:
        made["enum"] = [made.pop("const")]
    choices = made.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [one for one in choices if one != {"type": "null"}]
        del made["anyOf"]
        made = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), "nullable": True, **made}
    for side in ("Minimum", "Maximum"):
        if isinstance(made.get(f"exclusive{side}"), (int, float)) and not isinstance(made[f"exclusive{side}"], bool):
            made[side.lower()] = made[f"exclusive{side}"]
            made[f"exclusive{side}"] = True
    return made


def described(document: dict[str, Any], *, below: str, server: str) -> dict[str, Any]:
    """The addresses of a description that stand below a path, as OpenAPI 3.0."""
    made: dict[str, Any] = downgraded(document)
    made["openapi"] = "3.0.3"
    made["info"].get("license", {}).pop("identifier", None)
    made["info"].pop("summary", None)
    made["servers"] = [{"url": server}]
    made["paths"] = {path: entry for path, entry in made["paths"].items() if path.startswith(below)}
    return made

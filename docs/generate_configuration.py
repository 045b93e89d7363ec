"""Write docs/configuration.md from the settings classes: `make docs`. A test holds the file equal to what this makes.

The words are the `description` of each field; types, limits and defaults come from the classes' JSON schema.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glora_search.settings import CampaignSettings

TARGET = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

A campaign is one YAML file, as in [examples](../examples). Only `name`, `backbone.model` and `data.source` have no
default. An unknown key, a value of another type or one out of range is refused with its place in the file and, for a
key, the nearest known one. Any setting can be given on the command line instead:

```console
$ glora-search launch examples/digits.yaml --name short --set search.generations=2 --set 'space.ranks=[8, 4]'
```

The database keeps the settings that a campaign was launched with, and `glora-search resume` reads them from there.

<!-- Made by docs/generate_configuration.py from the settings classes: `make docs` writes it again. -->
"""

SIGNS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
KINDS = {"integer": "whole number", "number": "number", "string": "text"}


def page() -> str:
    """The whole of docs/configuration.md."""
    schema = CampaignSettings.model_json_schema()
    definitions = schema["$defs"]
    top = {key: field for key, field in schema["properties"].items() if "$ref" not in field}
    groups = {key: field for key, field in schema["properties"].items() if "$ref" in field}
    parts = [HEAD, "## The campaign\n", _table(top, schema)]
    for key, field in groups.items():
        group = definitions[field["$ref"].rpartition("/")[2]]
        parts += [f"## `{key}`\n", f"{group['description']}\n", _table(group["properties"], group, key)]
    return "\n".join(parts)


def _table(fields: dict[str, Any], schema: dict[str, Any], group: str | None = None) -> str:
    required = schema.get("required", [])
    rows = ["| setting | takes | default | |", "|---|---|---|---|"]
    for key, field in fields.items():
        name = f"{group}.{key}" if group else key
        default = "*needed*" if key in required else f"`{_yaml(field.get('default', {}))}`"
        rows.append(f"| `{name}` | {_cell(_kind(field))} | {default} | {_cell(field['description'])} |")
    return "\n".join(rows) + "\n"


def _kind(field: dict[str, Any]) -> str:
    """A field's type in words: `whole number > 0`, `hub or local`, `list of 3 numbers`."""
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    kind = field["type"]
    if kind == "array":
        return f"list of {len(field['prefixItems'])} numbers" if "prefixItems" in field else _list(field["items"])
    if kind == "object":
        inner = field["additionalProperties"]
        return f"mapping of names to {'any value' if inner is True else _kind(inner)}"
    limits = [f"{sign} {field[key]:g}" for key, sign in SIGNS.items() if key in field]
    return " ".join([KINDS.get(kind, kind), " and ".join(limits)]).strip()


def _list(items: dict[str, Any]) -> str:
    if "enum" in items:
        return f"list of {_kind(items)}"
    if "$ref" in items:
        return f"list of {items['$ref'].rpartition('/')[2].lower()}s"
    words = _kind(items).split(" ", 1)
    plural = {"whole": "whole numbers", "number": "numbers", "text": "texts"}[words[0]]
    limit = words[1].removeprefix("number").strip() if len(words) > 1 else ""
    return f"list of {plural} {limit}".strip()


def _yaml(value: object) -> str:
    return json.dumps(value).strip('"')


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")

"""The JSON schema of the data contract, generated from its classes: `python -m devices.message_schema`.

`docs/message.schema.json` is this program's output; a test holds the two equal.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any, Final

import msgspec

from devices.message import VERSION, Message, Receipt

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """A JSON Schema 2020-12 document: a message is valid against the root, a receipt against `$defs/Receipt`."""
    (message, _), definitions = msgspec.json.schema_components((Message, Receipt), ref_template="#/$defs/{name}")
    return {
        "$schema": _DIALECT,
        "$id": f"urn:suifang:message:v{VERSION}",
        "title": f"Suifang data contract, version {VERSION}",
        **_dedented(message),
        "$defs": _dedented(definitions),
    }


def _dedented(part: Any) -> Any:
    """Descriptions without their source's indentation, which compilers before Python 3.13 keep in a docstring."""
    if isinstance(part, dict):
        return {
            key: inspect.cleandoc(value) if key == "description" and isinstance(value, str) else _dedented(value)
            for key, value in part.items()
        }
    return [_dedented(each) for each in part] if isinstance(part, list) else part


def text() -> str:
    """As the file has it."""
    return msgspec.json.format(msgspec.json.encode(schema(), order="deterministic"), indent=2).decode() + "\n"


def main() -> None:
    """Write the schema to standard output."""
    sys.stdout.write(text())


if __name__ == "__main__":
    main()

"""Reading an export file, whoever wrote it: what `import_environment` takes, and the notes of what was lost."""

from collections.abc import Mapping
from typing import Any

from flags.exchange import export
from flags.exchange.foreign_values import refuse_other_environment
from flags.exchange.formats import FORMATS, convert
from tenancy.errors import Invalid


def read_export(sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the document and the notes. `sent` is what an import's serializer lets through. Raises Invalid."""
    kind = sent.get("format", export.FORMAT)
    if kind in FORMATS:
        return convert(kind, sent["data"], environment=sent.get("sourceEnvironment"))
    data: dict[str, Any] = sent["data"]
    if data.get("format") != export.FORMAT or data.get("formatVersion") != export.FORMAT_VERSION:
        raise Invalid(
            f"This is no export of version {export.FORMAT_VERSION}; for another product's file send the format: "
            f"{', '.join(FORMATS)}.",
            attr="data.format",
            code="unknown_format",
        )
    own = data.get("environment")
    refuse_other_environment(sent.get("sourceEnvironment"), [str(own.get("key"))] if isinstance(own, dict) else [])
    return data, []

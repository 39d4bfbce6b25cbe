"""The truth as a person or a program reads it: a table of counts, or one JSON object.

Entered by the command line.
"""

from typing import Any

import msgspec

from labtrawl.sandbox.truth import Cell, Truth


def format_truth(truth: Truth, ids: bool = False, as_json: bool = False) -> str:
    """Counts and gaps by area and resource, with all natural ids if `ids`; ends with a newline."""
    return _as_json(truth, ids) if as_json else _as_text(truth, ids)


def _as_json(truth: Truth, ids: bool) -> str:
    content = {
        "username": truth.username,
        "counts": truth.counts(),
        "users_seen": len(truth.users_seen),
        "areas": [_cell_body(cell, ids) for cell in truth.cells],
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def _cell_body(cell: Cell, ids: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "area_kind": cell.area_kind,
        "area_id": cell.area_id,
        "full_path": cell.full_path,
        "resource": cell.resource,
        "count": len(cell.items),
        "gap": cell.gap or None,
    }
    return body | {"ids": [item.natural_id for item in cell.items]} if ids else body


def _as_text(truth: Truth, ids: bool) -> str:
    lines = [f"what {truth.username} may read", ""]
    for resource, count in truth.counts().items():
        lines.append(f"{resource:<32}{count:>9,}")
    lines.append(f"{'users seen':<32}{len(truth.users_seen):>9,}")
    place = ""
    for cell in truth.cells:
        title = f"{cell.area_kind} {cell.area_id} {cell.full_path}"
        if title != place:
            place = title
            lines += ["", title]
        lines.append(f"  {cell.resource:<30}{cell.gap or format(len(cell.items), ','):>9}")
        if ids:
            lines += [f"    {item.natural_id}" for item in cell.items]
    return "\n".join(lines) + "\n"

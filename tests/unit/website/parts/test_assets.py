"""What the package ships of others is what the lock says."""

import hashlib
import json
from pathlib import Path

from labtrawl.website.parts.assets import load


def test_vendored_files_are_those_of_the_lock(repository: Path) -> None:
    packages = json.loads((repository / "scripts" / "assets.lock").read_text())
    locked = {f"vendor/{each['name']}": each["sha256"] for p in packages for each in p["files"]}
    shipped = {
        name: hashlib.sha256(asset.content).hexdigest()
        for name, asset in load().items()
        if name.startswith("vendor/")
    }
    assert shipped == locked


def test_script_of_the_pages_holds_its_parts_in_order() -> None:
    shipped = load()
    parts = (shipped[name].content for name in ("vendor/htmx.js", "streams.js", "app.js"))
    assert shipped["live.js"].content == b";\n".join(parts)

#!/usr/bin/env python3
"""Fetches what the website ships of others into its static folder, and checks it against the lock.

    scripts/assets.py            compare the files in the package with the lock (no network)
    scripts/assets.py --fetch    unpack them from their npm packages by `npm pack`, then compare
    scripts/assets.py --lock     the same, and write the lock anew (after a version was changed there)

The lock names version, licence and the sha256 of each file, and no address: any mirror will do.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "scripts" / "assets.lock"
VENDOR = ROOT / "src" / "labtrawl" / "website" / "static" / "vendor"


def sha256(path: Path) -> str:
    """Return the hash of a file, or words that no hash can be."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"


def fetch(package: dict[str, Any]) -> None:
    """Unpack the wanted files of one package."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"{package['name']}@{package['version']}"
        command = ["npm", "pack", "--silent", "--pack-destination", folder, name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # npm of PATH
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as opened:
            for file in package["files"]:
                content = opened.extractfile(f"package/{file['from']}")
                if content is None:
                    sys.exit(f"{name} has no file {file['from']}")
                (VENDOR / file["name"]).write_bytes(content.read())


def differences(packages: list[dict[str, Any]]) -> list[str]:
    """Say which files differ from the lock, and which the lock does not know."""
    locked = {file["name"]: file["sha256"] for each in packages for file in each["files"]}
    present = {path.name for path in VENDOR.iterdir()}
    found = [f"{name}: not in the lock" for name in sorted(present - locked.keys())]
    for name, wanted in locked.items():
        if (has := sha256(VENDOR / name)) != wanted:
            found.append(f"{name}: {has}, the lock says {wanted}")
    return found


def main() -> None:
    """Do what the module says; exit 1 where a file differs."""
    packages = json.loads(LOCK.read_text())
    if {"--fetch", "--lock"} & set(sys.argv[1:]):
        VENDOR.mkdir(parents=True, exist_ok=True)
        for package in packages:
            fetch(package)
    if "--lock" in sys.argv[1:]:
        for file in (file for each in packages for file in each["files"]):
            file["sha256"] = sha256(VENDOR / file["name"])
        LOCK.write_text(json.dumps(packages, indent=2) + "\n")
    if found := differences(packages):
        sys.exit("\n".join(found))
    print("The website's assets are those of the lock.")


if __name__ == "__main__":
    main()

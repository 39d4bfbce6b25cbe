"""Write `store/newest.sql` anew, after a migration was added: what all migrations come to.

.venv/bin/python scripts/newest_schema.py
"""

import tempfile
from pathlib import Path

from labtrawl import store
from labtrawl.store.migrate import PREPARED, as_prepared, migrate

FIRST = "0001"


def main() -> None:
    """Migrate an empty file step by step, and write down what it holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labtrawl.sqlite"
        migrate(path, FIRST)
        migrate(path)
        Path(*store.__path__, PREPARED).write_text(as_prepared(path), "utf-8")


if __name__ == "__main__":
    main()

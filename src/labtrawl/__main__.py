"""The door of `python -m labtrawl`: the same program as the `labtrawl` command."""

from labtrawl.cli.main import main

if __name__ == "__main__":
    main()

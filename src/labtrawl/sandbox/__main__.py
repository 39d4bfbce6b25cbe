"""``python -m labtrawl.sandbox``: serve a generated world from a process of its own.

Entered by tests and benchmarks. The first line says the address, the second the main token.
"""

import argparse

from labtrawl.sandbox.options import Options
from labtrawl.sandbox.presets import PRESETS, build_world
from labtrawl.sandbox.serve import Server, serve


def main() -> None:
    """Read the flags and serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m labtrawl.sandbox", description=__doc__)
    parser.add_argument("--world", default="default", choices=tuple(PRESETS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    chosen = parser.parse_args()
    world = build_world(chosen.world, chosen.seed)

    def announce(server: Server) -> None:
        print(f"listening on {server.url}", flush=True)
        print(world.accounts[0].token, flush=True)

    serve(world, chosen.host, chosen.port, Options(latency_ms=chosen.latency_ms), announce)


if __name__ == "__main__":
    main()

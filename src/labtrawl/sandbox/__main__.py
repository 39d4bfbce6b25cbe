"""``python -m labtrawl.sandbox``: serve a generated world from a process of its own.

Entered by tests and benchmarks. The first line says the address, the second the main token.
"""

import argparse

from labtrawl.sandbox.options import Options
from labtrawl.sandbox.presets import PRESETS, UnknownWorld, build_world
from labtrawl.sandbox.serve import Server, serve


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m labtrawl.sandbox", description=__doc__)
    parser.add_argument(
        "--world", default="default", help=f"{', '.join(PRESETS)}; w3@0.1 is a tenth of w3"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument(
        "--graphql-node-ms",
        type=float,
        help="what a node costs at /api/graphql (default: 1 with a latency, else 0)",
    )
    parser.add_argument("--prepared", action="store_true", help="write all rows before serving")
    return parser


def main() -> None:
    """Read the flags and serve until told to stop."""
    parser = _parser()
    chosen = parser.parse_args()
    try:
        world = build_world(chosen.world, chosen.seed)
    except UnknownWorld as error:
        parser.error(str(error))
    node_ms = chosen.graphql_node_ms
    if node_ms is None:
        node_ms = 1.0 if chosen.latency_ms else 0.0
    options = Options(
        latency_ms=chosen.latency_ms, prepared=chosen.prepared, graphql_node_ms=node_ms
    )

    def announce(server: Server) -> None:
        print(f"listening on {server.url}", flush=True)
        print(world.accounts[0].token, flush=True)

    serve(world, chosen.host, chosen.port, options, announce)


if __name__ == "__main__":
    main()

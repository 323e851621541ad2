"""`python -m tests.benchmarks [name …]`: one JSON line a benchmark; without a name, all of them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main(wanted: list[str]) -> int:
    """The exit code: 2 for a name that is no benchmark."""
    found = {path.stem.removeprefix("bench_"): path.stem for path in sorted(Path(__file__).parent.glob("bench_*.py"))}
    if unknown := [name for name in wanted if name not in found]:
        sys.stderr.write(f"no benchmark {unknown[0]}; there are: {', '.join(found)}\n")
        return 2
    for name in wanted or found:
        outcome = importlib.import_module(f"tests.benchmarks.{found[name]}").run()
        sys.stdout.write(json.dumps(outcome, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

#!/usr/bin/env python3
"""Print the line coverage of each crate from the JSON summary of cargo-llvm-cov.

usage: report.py FILE MINIMUM

Exit with status 1 if the overall coverage is below MINIMUM percent.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def crate_of(path):
    """Return the directory of the crate that contains a source file."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[: parts.index("src")] if "src" in parts else parts[:1])


def main():
    file, minimum = sys.argv[1], float(sys.argv[2])
    crates = defaultdict(lambda: [0, 0])
    for source in json.loads(Path(file).read_text())["data"][0]["files"]:
        path = Path(source["filename"])
        # Tests and benches are not measured.
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] in ("tests", "benches"):
            continue
        lines = source["summary"]["lines"]
        crates[crate_of(path)][0] += lines["covered"]
        crates[crate_of(path)][1] += lines["count"]
    if not crates:
        sys.exit(f"{file} contains no source files of {ROOT}")
    total = [sum(counts) for counts in zip(*crates.values())]
    for name, (covered, count) in [*sorted(crates.items()), ("total", total)]:
        print(f"{name:20} {100 * covered / count:5.1f}%  {covered:6} of {count:6} lines")
    if 100 * total[0] < minimum * total[1]:
        sys.exit(f"line coverage is below {minimum:g}%")


main()

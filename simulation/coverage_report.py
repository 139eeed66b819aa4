#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints which share of lines was run, of each file of serving, scheduling, sessions and the engine pool, and
of all.

    coverage_report.py --at-least PERCENT COUNTERS OUT

COUNTERS is the folder to which programs wrote their counters (GCOV_PREFIX), OUT Bazel's folder of what it has
compiled. Ends with 1 if the share of all is lower.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys

COUNTED = re.compile(r"(serve/[a-z_]+"
                     r"|mediator/sched/[a-z_]+"
                     r"|mediator/(dispatcher|guest_ring|lane|placement|seats)"
                     r"|mediator/(engine_pool|engine_port|gpu_engines)"
                     r"|mediator/session[a-z_]*)\.(h|cc)")
NOT_COUNTED = re.compile(r".*(_test\.cc|/test_ring\.h)")


def units(counters, out):
    """Yields the counters of each object that was compiled, with gcc's notes beside them."""
    for folder, _, names in os.walk(counters):
        for name in names:
            path = os.path.join(folder, name)
            object_of = re.search(r"/bazel-out/(.*)\.gcda$", path)
            if not object_of:
                continue
            notes = os.path.join(out, object_of.group(1) + ".gcno")
            if os.path.exists(notes):
                shutil.copyfile(notes, path[:-len("gcda")] + "gcno")
                yield path


def lines_of(path):
    """Yields (file, line, how often it was run) by one object's counters."""
    result = subprocess.run(["gcov", "--json-format", "--stdout", path], check=True, capture_output=True,
                            cwd=os.path.dirname(path), text=True)
    for document in result.stdout.splitlines():
        if not document.strip():
            continue
        for file in json.loads(document)["files"]:
            for line in file["lines"]:
                yield file["file"], line["line_number"], line["count"]


def collect(counters, out):
    """{file: {line: was it run}}; what several objects have is run if one of them has run it."""
    files = collections.defaultdict(dict)
    for path in units(counters, out):
        for name, line, count in lines_of(path):
            if COUNTED.fullmatch(name) and not NOT_COUNTED.fullmatch(name):
                files[name][line] = files[name].get(line, False) or count > 0
    return files


def report(files):
    """Prints the table; returns the share of all lines."""
    total = run = 0
    for name, lines in sorted(files.items()):
        ran = sum(lines.values())
        total += len(lines)
        run += ran
        print(f"{100 * ran / len(lines):6.1f} %  {ran:5} of {len(lines):5}  {name}")
    share = 100 * run / total if total else 0.0
    print(f"{share:6.1f} %  {run:5} of {total:5}  in all")
    return share


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at-least", type=float, required=True)
    parser.add_argument("--missed", action="store_true", help="also print the lines that were not run")
    parser.add_argument("counters")
    parser.add_argument("out")
    arguments = parser.parse_args()
    files = collect(arguments.counters, arguments.out)
    share = report(files)
    if arguments.missed:
        for name, lines in sorted(files.items()):
            print(f"{name}: {' '.join(str(line) for line, ran in sorted(lines.items()) if not ran)}")
    if share < arguments.at_least:
        print(f"less than {arguments.at_least:.0f} %", file=sys.stderr)
    return 0 if share >= arguments.at_least else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the test cases of Bazel runs from their build event files (--build_event_json_file).

Prints each case that failed or was skipped, with its reason, then "N passed, N failed, N skipped" alone on
the last line. Exit status 1 if one failed or if nothing was run.

    test_summary.py NAME=EVENTS[,STATUS]...     NAME names the run, STATUS is what bazel returned
"""

import json
import re
import sys
import urllib.parse
import xml.etree.ElementTree

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
NO_TESTS = 4  # bazel test: built, but the filters left no test


def cases_of(result):
    """Yields (case, outcome, reason) of one testResult event."""
    files = {output["name"]: urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
             for output in result.get("testActionOutput", []) if output.get("uri", "").startswith("file:")}
    if result["status"] == "TIMEOUT":
        yield "", FAILED, "timed out"
        return
    cases = []
    try:
        root = xml.etree.ElementTree.parse(files["test.xml"]).getroot()
        cases = [case_of(suite, case) for suite in root.iter("testsuite")
                 for case in suite.findall("testcase")]
    except (KeyError, OSError, xml.etree.ElementTree.ParseError):
        pass
    skipped = skip_reason(files.get("test.log"))
    if len(cases) == 1 and cases[0][1] == PASSED and skipped:
        cases = [(cases[0][0], SKIPPED, skipped)]
    if result["status"] != "PASSED" and not any(outcome == FAILED for _, outcome, _ in cases):
        cases.append(("", FAILED, result["status"].lower().replace("_", " ")))
    yield from cases or [("", PASSED, "")]


def case_of(suite, case):
    name = f"{suite.get('name')}.{case.get('name')}"
    bad = [child for child in case if child.tag in ("failure", "error")]
    if bad:
        return name, FAILED, bad[0].get("message", "")
    left_out = case.find("skipped")
    if left_out is not None or case.get("result") == "skipped" or case.get("status") == "notrun":
        return name, SKIPPED, left_out.get("message", "") if left_out is not None else ""
    return name, PASSED, ""


def skip_reason(log):
    """A test that is one program says that it skipped by a line "SKIPPED: reason"."""
    try:
        with open(log, encoding="utf-8", errors="replace") as lines:
            return next((line[len("SKIPPED: "):].strip() for line in lines if line.startswith("SKIPPED: ")),
                        None)
    except (OSError, TypeError):
        return None


def run_cases(name, path, status):
    """Yields (what, outcome, reason) of one bazel run."""
    seen_failure = False
    results = {}
    not_built = set()
    try:
        with open(path, encoding="utf-8") as events:
            for line in events:
                event = json.loads(line)
                if "testResult" in event:  # a later attempt replaces an earlier one
                    ids = event["id"]["testResult"]
                    results[(ids["label"], ids.get("run"), ids.get("shard"))] = event["testResult"]
                elif "completed" in event and not event["completed"].get("success"):
                    not_built.add(event["id"]["targetCompleted"]["label"])
    except (OSError, json.JSONDecodeError):
        pass  # bazel's status tells
    for (label, _, _), result in sorted(results.items(), key=str):
        for case, outcome, reason in cases_of(result):
            seen_failure |= outcome == FAILED
            yield f"{name}: {label} {case}".rstrip(), outcome, reason
    for label in sorted(not_built - {label for label, _, _ in results}):
        seen_failure = True
        yield f"{name}: {label}", FAILED, "it was not built; its message is above"
    if status not in (0, NO_TESTS) and not seen_failure:
        yield f"{name}: bazel", FAILED, f"status {status}; its message is above"
    elif status == 0 and not results:
        yield f"{name}: build", PASSED, ""


def short(reason):
    """The first line that says something; GoogleTest's is the second, after the place."""
    lines = reason.strip().splitlines()
    return lines[:2] if re.fullmatch(r"\S+:\d+", "".join(lines[:1])) else lines[:1]


def main(arguments):
    counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
    for argument in arguments:
        name, _, rest = argument.partition("=")
        path, _, status = rest.partition(",")
        for what, outcome, reason in run_cases(name, path, int(status or 0)):
            counts[outcome] += 1
            if outcome != PASSED:
                print(f"{outcome}: {what}" + "".join(f": {line}" for line in short(reason)))
    print(f"{counts[PASSED]} passed, {counts[FAILED]} failed, {counts[SKIPPED]} skipped")
    return 1 if counts[FAILED] or not counts[PASSED] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

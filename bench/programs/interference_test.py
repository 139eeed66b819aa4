#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""//bench:interference runs, and writes everything down. No timing decides."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.join("bench", "programs", "interference")
ATTACKS = ("punch-16m", "churn", "flood-medium")  # in the order of the matrix
INTERVALS = 2
SUMMARY = ("answers", "blind", "late", "wrong", "p50_us", "p99_us", "p999_us", "longest_us", "gap_us")
BY_INTERVAL = ("p99_by_window", "late_by_window", "stalls_by_window")


def lacks():
    """What this machine has not, or nothing."""
    if not {0, 1} <= os.sched_getaffinity(0):
        return "it needs processors 0 and 1"
    if not os.access("/dev/shm", os.W_OK):
        return "it needs /dev/shm"
    return ""


class Smoke(unittest.TestCase):
    def run_program(self, *flags):
        return subprocess.run([PROGRAM, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=240, check=False)

    def test_lists_attacks_of_each_kind(self):
        said = self.run_program("--list").stdout.splitlines()
        self.assertEqual({line.split()[1] for line in said}, {"control", "owner", "guest", "memory"})
        self.assertLessEqual(set(ATTACKS), {line.split()[0] for line in said})

    def test_unknown_attack_is_an_error(self):
        self.assertNotEqual(self.run_program("--only", "nonsense").returncode, 0)

    def test_another_mediator_that_is_not_there_is_named(self):
        done = self.run_program("--mediator", "/nowhere/mediator")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/mediator", done.stdout)

    def test_writes_everything_down(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "result.json")
            only = [word for name in ATTACKS for word in ("--only", name)]
            done = self.run_program("--windows", str(INTERVALS), "--seconds", "0.1", "--json", file, *only)
            self.assertIn(done.returncode, (0, 1), done.stdout)  # with two windows nothing is conclusive
            with open(file, encoding="utf-8") as stream:
                result = json.load(stream)
        self.check_result(result, done.stdout)

    def test_goes_on_with_an_earlier_result(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "result.json")

            def resume(*flags):
                done = self.run_program("--windows", "1", "--seconds", "0.1", "--resume", file, *flags)
                if done.returncode not in (0, 1) or not os.path.exists(file):
                    self.fail(done.stdout)
                with open(file, encoding="utf-8") as stream:
                    return done, json.load(stream)

            _, first = resume("--only", "churn", "--commit", "first")
            second, both = resume("--only", "nothing", "--only", "churn", "--commit", "second")
            self.assertEqual([(cell["name"], cell["commit"]) for cell in both["cells"]],
                             [("nothing", "second"), ("churn", "first")], second.stdout)
            # Not measured again, and nothing of it lost.
            self.assertEqual(both["cells"][1], first["cells"][0])
            self.assertEqual([figure for figure in both["figures"] if figure["name"].startswith("churn")],
                             [figure for figure in first["figures"] if figure["name"].startswith("churn")])
            for cell in both["cells"]:
                self.assertLessEqual({"cpu", "kernel", "date"}, set(cell["machine"]))
            self.assertIn("the cells are of several builds or machines", second.stdout)
            other = self.run_program("--windows", "3", "--seconds", "0.1", "--resume", file)
            self.assertEqual(other.returncode, 1)
            self.assertIn("windows is 1 there and 3 here; give the same flags", other.stdout)
            with open(file, "w", encoding="utf-8") as stream:
                stream.write('{"figures": [')
            broken = self.run_program("--resume", file)
            self.assertEqual(broken.returncode, 1)
            self.assertIn("is no result of this program", broken.stdout)

    def check_result(self, result, said):
        self.assertEqual(result["settings"]["windows"], INTERVALS)
        self.assertEqual([cell["name"] for cell in result["cells"]], list(ATTACKS))
        for cell in result["cells"]:
            self.assertNotIn("broken", cell, said)
            self.check_cell(cell)
        punched = result["cells"][0]
        self.assertEqual(len(punched["late_for_each_vm"]["high"]), INTERVALS)
        self.assertIn("late answers for each attacking VM (2 of them, one a window): high ", said)
        names = {figure["name"] for figure in result["figures"]}
        gates = {"churn_p99", "churn_late", "flood-medium_p99", "punch-16m_late", "errors"}
        self.assertLessEqual(gates, names)

    def check_cell(self, cell):
        self.assertEqual(len(cell["ring_cpu_beside"]), INTERVALS)
        self.assertEqual(len(cell["held"]), INTERVALS)
        self.assertEqual([thread["ring"] for thread in cell["threads"]].count(True), 1, cell["threads"])
        phases = ("alone", "nops", "beside") if cell["kind"] == "guest" else ("alone", "beside")
        for victim in ("high", "medium", "vector"):
            for phase in phases:
                summary = cell["innocents"][victim][phase]
                self.assertLessEqual(set(SUMMARY), set(summary))
                self.assertGreater(summary["answers"] + summary["blind"], 0)
                for key in BY_INTERVAL:
                    self.assertEqual(len(summary[key]), INTERVALS)


if __name__ == "__main__":
    why = lacks()
    if why:
        sys.exit(print(f"skipped: {why}"))
    unittest.main()

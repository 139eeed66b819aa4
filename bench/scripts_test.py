#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/compare, bench/plot and bench/tables; and whether the documents have what they make of
bench/results."""

import copy
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import unittest
import xml.dom.minidom

HERE = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path.append(os.path.join(os.path.dirname(HERE), "tools", "lib"))
import unittest_xml  # noqa: E402


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(HERE, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


compare = load("compare")
plot = load("plot")
tables = load("tables")
RESULTS = sorted(glob.glob(os.path.join(HERE, "results", "*.json")))


def figure(median, spread=0.05, better="lower", **more):
    return {"name": "f", "better": better, "median": median, "q1": median * (1 - spread),
            "q3": median * (1 + spread), "rounds": 10, **more}


class Compare(unittest.TestCase):
    def check(self, old, new, word, worse):
        said, is_worse = compare.verdict(old, new)
        self.assertEqual(is_worse, worse, said)
        self.assertTrue(said.startswith(word), said)

    def test_moved_the_wrong_way_and_apart_is_worse(self):
        self.check(figure(1.0), figure(1.3), "worse", True)
        self.check(figure(1.3, better="higher"), figure(1.0, better="higher"), "worse", True)

    def test_moved_the_right_way_is_better(self):
        self.check(figure(1.3), figure(1.0), "better", False)
        self.check(figure(1.0, better="higher"), figure(1.3, better="higher"), "better", False)

    def test_within_the_noise_is_as_before(self):
        self.check(figure(1.0), figure(1.05, spread=0.001), "as before", False)  # less than a tenth
        self.check(figure(1.0, spread=0.3), figure(1.3, spread=0.3), "as before", False)  # quartiles overlap

    def test_zero_must_stay_zero(self):
        self.check(figure(0), figure(0), "as before", False)
        self.check(figure(0), figure(3), "worse", True)

    def test_what_is_gone_or_broken_is_worse_what_is_skipped_is_not(self):
        self.check(figure(1.0), None, "gone", True)
        self.check(figure(1.0), figure(1.0, broken="3 wrong answers"), "broken: 3 wrong", True)
        self.check(figure(1.0), {"name": "f", "rounds": 0, "skipped": "no GPU"}, "skipped now: no GPU", False)
        self.check(None, figure(1.0), "new", False)
        self.check({"name": "f", "rounds": 0, "skipped": "no GPU"}, None, "not measured", False)

    def test_table_counts_what_is_worse(self):
        old = {"figures": [figure(1.0), {**figure(1.0), "name": "g"}]}
        new = {"figures": [figure(2.0), {**figure(1.0), "name": "h"}]}
        lines, worse = compare.compare(old, new)
        self.assertEqual(worse, 2)  # f; and g is gone
        self.assertEqual([line.split()[0] for line in lines[1:]], ["f", "g", "h"])


class Plot(unittest.TestCase):
    MACHINE = {"cpu": "a <processor>", "cpus": 2, "kernel": "6.1", "date": "2026-01-01T00:00:00Z"}

    def test_curve_ends_where_no_sample_lies_above(self):
        points = plot.curve([[100, 90], [200, 9], [400, 1]])
        self.assertEqual([ns for _, ns in points], [100, 100, 200, 200, 400])
        self.assertAlmostEqual(points[2][0], 1.0)  # 90 % below: one nine
        self.assertAlmostEqual(points[-1][0], 2.0)  # 99 % below, one sample above it

    def test_latency_result_is_a_drawing_with_a_line_for_each_way(self):
        rows = [{"name": name, "buckets": [[ns, 990], [3 * ns, 10]], "p50": ns} for name,
                ns in (("vgpu-ring", 300), ("NFS & files", 5e6))]
        drawing = plot.draw({"machine": self.MACHINE, "groups": [{"title": "in a VM", "rows": rows}],
                             "figures": []})
        document = xml.dom.minidom.parseString(drawing)
        self.assertEqual(len(document.getElementsByTagName("polyline")), 2)
        self.assertIn("NFS &amp; files", drawing)

    def test_vectors_of_all_sizes_share_a_panel_with_a_line_for_each_way(self):
        groups = [{"title": f"vectors of {count}", "elements": count,
                   "rows": [{"name": "vgpu-ring", "samples": 9, "p50": 300 * count,
                             "buckets": [[300 * count, 9]]},
                            {"name": "register window", "samples": 0, "p50": 0, "buckets": []}]}
                  for count in (1, 1024)]
        drawing = plot.draw({"machine": self.MACHINE, "groups": groups, "figures": []})
        lines = xml.dom.minidom.parseString(drawing).getElementsByTagName("polyline")
        self.assertEqual([len(line.getAttribute("points").split()) for line in lines], [2])

    def test_gpu_result_is_a_drawing(self):
        series = [{"name": name, "latency_ns": {"p50": 4000, "p99": 9000}, "ns_per_request": [100.0]}
                  for name in ("launch", "vgpu-ring")]
        drawing = plot.draw({"machine": self.MACHINE, "gpu": "a GPU", "alone": series, "deep": series})
        self.assertGreater(len(xml.dom.minidom.parseString(drawing).getElementsByTagName("rect")), 6)

    def test_interference_result_is_a_heat_map(self):
        noticed = {"alone": {"p50_us": 10, "p99_us": 20, "p999_us": 30, "gap_us": 200},
                   "beside": {"p50_us": 10, "p99_us": 20000, "p999_us": 30, "gap_us": 400}, "late_excess": 7}
        victims = dict.fromkeys(("high", "medium", "vector"), noticed)
        cells = [{"name": "linger", "title": "slow & sure", "innocents": victims},
                 {"name": "fuse", "title": "FUSE", "skipped": "needs root"}]
        figures = [{"name": "linger_p99", "verdict": "falls short"},
                   {"name": "linger_late", "verdict": "holds"}, {"name": "fuse", "verdict": "skipped"}]
        drawing = plot.draw({"machine": self.MACHINE, "cells": cells, "figures": figures,
                             "settings": {"windows": 20, "seconds": 2.0, "pinned": True}})
        document = xml.dom.minidom.parseString(drawing)
        self.assertEqual(len(document.getElementsByTagName("rect")), 1 + 12)  # page, fields
        words = [node.firstChild.data for node in document.getElementsByTagName("text")]
        self.assertIn("1000", words)
        self.assertIn("+14", words)  # late: of high and medium
        self.assertEqual((words.count("falls short"), words.count("skipped: needs root")), (1, 1))

    def test_hotter_is_darker(self):
        self.assertEqual(plot.heat(0.5)[0], "#ffffff")
        self.assertEqual(plot.heat(1)[0], "#ffffff")
        brightness = [sum(int(plot.heat(ratio)[0][i:i + 2], 16) for i in (1, 3, 5))
                      for ratio in (1, 3, 10, 40, 100, 1e3, 1e6)]
        self.assertEqual(brightness, sorted(brightness, reverse=True))

    def test_drawings_are_what_the_results_give(self):
        drawn = [path for path in RESULTS if os.path.exists(path.replace(".json", ".svg"))]
        self.assertTrue(drawn)
        for path in drawn:
            with self.subTest(path):
                with open(path, encoding="utf-8") as result, open(path.replace(".json", ".svg"),
                                                                  encoding="utf-8") as kept:
                    self.assertTrue(plot.draw(json.load(result)) == kept.read(), f"run bench/plot for {path}")


class Tables(unittest.TestCase):
    RESULT = {"machine": {"cpu": "a processor", "cpus": 2, "kernel": "6.1", "date": "2026-01-01T00:00:00Z"},
              "figures": [{"name": "rtt", "title": "ours / theirs", "better": "lower", "median": 0.5,
                           "q1": 0.4, "q3": 0.6,
                           "rounds": 10, "gate": 0.8, "drift": 1.0, "verdict": "holds", "note": "",
                           "detail": None}]}

    def render(self, kind, **changes):
        result = copy.deepcopy(self.RESULT)
        result["figures"][0].update(changes)
        words = f"before\n<!-- bench/tables: {kind} r -->\nstale\n<!-- end of table -->\nafter\n"
        return tables.render(words, lambda name: result)

    def documents(self):
        for path in tables.documents():
            with open(path, encoding="utf-8") as file:
                yield path, file.read()

    def test_documents_are_what_the_results_give(self):
        for path, words in self.documents():
            with self.subTest(path):
                self.assertTrue(tables.render(words) == words, f"{path}: run bench/tables")

    def test_every_result_has_its_machine_its_figures_and_its_losses_in_the_documents(self):
        blocks = [match.groups()[1:3] for _, words in self.documents()
                  for match in tables.BLOCK.finditer(words)]
        for path in RESULTS:
            name = os.path.basename(path).removesuffix(".json")
            shown = {kind for kind, results in blocks if name in results.split()}
            self.assertIn("losses", shown, name)
            with open(path, encoding="utf-8") as file:
                if "cells" in json.load(file):
                    continue  # of //bench:interference, which has a page of its own
            self.assertLessEqual({"machine", "slower_tails"}, shown, name)
            self.assertTrue(shown & {"figures", "vectors"}, name)

    def test_lines_are_short_enough_to_read(self):
        for path, words in self.documents():
            for number, line in enumerate(words.split("\n"), 1):
                if not line.startswith(("<!--", "![")):
                    self.assertLessEqual(len(line), 200 if line.startswith("|") else 110, f"{path}:{number}")

    def test_links_lead_somewhere(self):
        for path, words in self.documents():
            for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", words):
                self.assertTrue(os.path.exists(os.path.join(os.path.dirname(path), link)), f"{path}: {link}")

    def test_a_table_follows_its_result_and_nothing_else_changes(self):
        words = self.render("figures")
        self.assertTrue(words.startswith("before\n<!--") and words.endswith("-->\nafter\n")
                        and "stale" not in words)
        self.assertIn("| ours / theirs | 0.50 (0.40 .. 0.60) | 10 | <= 0.80 |  | 1.00 | holds |", words)
        self.assertIn("0.70 (0.40 .. 0.60)", self.render("figures", median=0.7))
        self.assertEqual(words, tables.render(words, lambda name: self.RESULT))  # twice is once

    def test_losses_are_what_misses_cannot_be_judged_or_is_slower(self):
        self.assertEqual(tables.behind(self.RESULT["figures"][0]), "")
        for why, changes in (("falls short", {"verdict": "falls short"}),
                             ("inconclusive: the machine changed 3.0x",
                              {"verdict": "inconclusive", "drift": 3.0}),
                             ("no gate, and the machine changed 3.0x", {"verdict": "no gate", "drift": 3.0}),
                             ("slower", {"median": 1.2, "q1": 1.1, "q3": 1.3}),
                             ("slower", {"better": "higher"}), ("about even", {"median": 1.2})):
            self.assertIn(f"| {why} |", self.render("losses", **changes))

    def test_what_no_table_can_be_made_of_is_said(self):
        for words in ("<!-- bench/tables: figures r -->\nno end",
                      "<!-- bench/tables: nonsense r -->\n<!-- end of table -->",
                      "<!-- bench/tables: figures -->\n<!-- end of table -->",
                      "<!-- bench/tables: rivals r -->\n<!-- end of table -->"):
            with self.assertRaises(tables.Wrong):
                tables.render(words, lambda name: self.RESULT)
        with self.assertRaises(tables.Wrong):
            tables.read_result("no-such-result")

    def test_numbers_have_three_digits_that_count(self):
        self.assertEqual([tables.digits(value)
                          for value in (0, 0.0082, 0.4965, 1, 9.996, 10.57, 4523.4, 1.75e6, 5e-6)],
                         ["0", "0.008", "0.50", "1.00", "10.0", "10.6", "4,523", "1.75 million", "5e-06"])
        self.assertEqual([tables.duration(ns) for ns in (335, 999.7, 1631, 999499, 999700, 1.2e9)],
                         ["335 ns", "1 us", "1.63 us", "999 us", "1 ms", "1.2 s"])


if __name__ == "__main__":
    unittest_xml.main()

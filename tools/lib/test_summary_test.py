#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_summary counts what failed, also where Bazel or the test wrote no result."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path[:0] = [os.path.dirname(os.path.realpath(__file__)), os.path.abspath("tools/lib")]
import test_summary  # noqa: E402
import unittest_xml  # noqa: E402

GTEST = """<testsuites><testsuite name="S">
  <testcase name="good" status="run" result="completed"/>
  <testcase name="bad" status="run"><failure message="1 is not 2"/></testcase>
  <testcase name="left" status="run" result="skipped"><skipped message="a.cc:7&#x0A;no GPU"/></testcase>
</testsuite></testsuites>"""
PROGRAM = '<testsuites><testsuite name="p"><testcase name="p" status="run"/></testsuite></testsuites>'


class SummaryTest(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)

    def _file(self, name, text):
        path = os.path.join(self._folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _summary(self, results, status, not_built=()):
        """`results` is [(bazel's status, test.xml or None, test.log)]; returns (exit status, lines)."""
        events = [json.dumps({"id": {"targetCompleted": {"label": label}}, "completed": {}})
                  for label in not_built]
        for number, (bazel_status, xml, log) in enumerate(results):
            outputs = [{"name": "test.log", "uri": "file://" + self._file(f"{number}.log", log)}]
            if xml:
                outputs.append({"name": "test.xml", "uri": "file://" + self._file(f"{number}.xml", xml)})
            events.append(json.dumps({"id": {"testResult": {"label": f"//t:{number}"}},
                                      "testResult": {"status": bazel_status, "testActionOutput": outputs}}))
        path = self._file("events", "\n".join(events))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = test_summary.main([f"run={path},{status}"])
        return code, printed.getvalue().splitlines()

    def test_counts_cases_and_names_what_failed_and_why(self):
        code, lines = self._summary([("FAILED", GTEST, "")], 3)
        self.assertEqual(code, 1)
        self.assertEqual(lines, ["failed: run: //t:0 S.bad: 1 is not 2",
                                 "skipped: run: //t:0 S.left: a.cc:7: no GPU",
                                 "1 passed, 1 failed, 1 skipped"])

    def test_a_program_that_says_so_was_skipped(self):
        code, lines = self._summary([("PASSED", PROGRAM, "SKIPPED: no QEMU\n"), ("PASSED", PROGRAM, "")], 0)
        self.assertEqual((code, lines[-1]), (0, "1 passed, 0 failed, 1 skipped"))

    def test_a_crash_without_a_result_has_failed(self):
        self.assertEqual(self._summary([("FAILED", None, "")], 3)[1][-1], "0 passed, 1 failed, 0 skipped")

    def test_a_crash_after_cases_that_passed_has_failed(self):
        code, lines = self._summary([("FAILED", PROGRAM, "")], 3)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_a_target_that_was_not_built_has_failed_beside_others(self):
        code, lines = self._summary([("FAILED", GTEST, ""), ("FAILED", None, "")], 1, ["//t:1", "//t:other"])
        self.assertEqual(code, 1)
        self.assertIn("failed: run: //t:other: it was not built; its message is above", lines)
        self.assertEqual(lines[-1], "1 passed, 3 failed, 1 skipped")

    def test_a_timeout_has_failed(self):
        code, lines = self._summary([("TIMEOUT", PROGRAM, "")], 3)
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed, 0 skipped"))

    def test_a_broken_build_has_failed(self):
        code, lines = self._summary([("PASSED", PROGRAM, "")], 1)
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_nothing_run_is_no_success(self):
        code, lines = self._summary([], 4)
        self.assertEqual((code, lines[-1]), (1, "0 passed, 0 failed, 0 skipped"))


if __name__ == "__main__":
    unittest_xml.main()

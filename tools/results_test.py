#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A test that did not run says so in its result, case by case; one that failed, too."""

import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.abspath("tools/lib"))
import unittest_xml  # noqa: E402

NEEDS_VMS = ("tools/vm_test.sh", "tests/vm/vm_test.py", "qemu/vgpu_stub_test.sh")
PYTHON = """
import sys, unittest
sys.path.insert(0, "tools/lib")
import unittest_xml
class T(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail("\\x00 < \\u00e9")
    def test_left(self): self.skipTest("no <GPU>")
    def test_parts(self):
        for part in (1, 2):
            with self.subTest(part=part): self.assertEqual(part, 1)
class NeverSetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("none")
    def test_it(self): pass
unittest_xml.main()
"""
SHELL = """
set -e
. tools/lib/shell_tests.sh
good() { true; }
bad() { false; }
never() { true; }
run_tests good bad never
"""


class Results(unittest.TestCase):
    def run_test(self, *command):
        """Returns its status, and what became of each case."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "test.xml")
            environment = {name: value for name, value in os.environ.items() if not name.startswith("VGPU_")}
            done = subprocess.run(command, env={**environment, "XML_OUTPUT_FILE": path}, capture_output=True,
                                  timeout=60)
            cases = xml.etree.ElementTree.parse(path).getroot().iter("testcase")
            return done.returncode, {case.get("name").split("__main__.")[-1]:
                                     [(child.tag, child.get("message")) for child in case] for case in cases}

    def test_tests_in_vms_are_skipped_with_the_reason(self):
        for test in NEEDS_VMS:
            with self.subTest(test=test):
                status, cases = self.run_test(test)
                self.assertEqual(status, 0)
                self.assertGreater(len(cases), 5)
                for outcome in cases.values():
                    self.assertEqual([tag for tag, _ in outcome], ["skipped"])
                    self.assertIn("VGPU_QEMU", outcome[0][1])

    def test_python(self):
        status, cases = self.run_test(sys.executable, "-c", PYTHON)
        self.assertEqual(status, 1)
        self.assertEqual(cases["T.test_good"], [])
        self.assertEqual(cases["T.test_bad"], [("failure", "? < \u00e9")])
        self.assertEqual(cases["T.test_left"], [("skipped", "no <GPU>")])
        self.assertEqual(cases["T.test_parts (part=2)"], [("failure", "2 != 1")])
        self.assertIn([("skipped", "none")], cases.values())

    def test_shell(self):
        status, cases = self.run_test("bash", "-c", SHELL)
        self.assertEqual(status, 1)
        self.assertEqual(cases, {"good": [], "bad": [("failure", "ended with status 1; see the log")]})


if __name__ == "__main__":
    unittest_xml.main()

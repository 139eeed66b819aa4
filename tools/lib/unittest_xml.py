# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a unittest module under Bazel: verbose output, and a result for each test in $XML_OUTPUT_FILE."""

import os
import sys
import time
import unittest
import xml.etree.ElementTree as xml


class Result(unittest.TextTestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.suite = xml.Element("testsuite", name=os.environ.get("TEST_TARGET", "unittest"))

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def _record(self, test, tag=None, message=""):
        seconds = f"{time.monotonic() - self._began:.3f}"
        case = xml.SubElement(self.suite, "testcase", name=test.id(), time=seconds)
        if tag:
            xml.SubElement(case, tag, message=message)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._record(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, "failure", str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self._began = getattr(self, "_began", time.monotonic())
        self._record(test, "error", str(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, "skipped", reason)


def main(module="__main__"):
    """Ends the process: status 0 if all tests passed."""
    sys.stdout.reconfigure(line_buffering=True)
    program = unittest.main(module, testRunner=unittest.TextTestRunner(verbosity=2, resultclass=Result), exit=False)
    if os.environ.get("XML_OUTPUT_FILE"):
        xml.ElementTree(program.result.suite).write(os.environ["XML_OUTPUT_FILE"])
    sys.exit(0 if program.result.wasSuccessful() else 1)

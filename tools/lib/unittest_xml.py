# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a unittest module under Bazel: verbose output, and a result for each test in
$XML_OUTPUT_FILE."""

import os
import re
import sys
import time
import unittest
import xml.etree.ElementTree as xml

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Result(unittest.TextTestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.suite = xml.Element("testsuite", name=os.environ.get("TEST_TARGET", "unittest"))
        self._began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._began = time.monotonic()

    def _record(self, test, tag=None, message=""):
        seconds = f"{time.monotonic() - self._began:.3f}"
        case = xml.SubElement(self.suite, "testcase", name=NOT_XML.sub("?", test.id()), time=seconds)
        if tag:
            xml.SubElement(case, tag, message=NOT_XML.sub("?", message))

    def addSuccess(self, test):
        super().addSuccess(test)
        self._record(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._record(test, "failure", str(err[1]))

    def addError(self, test, err):
        super().addError(test, err)
        self._record(test, "error", str(err[1]))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._record(test, "skipped", reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._record(subtest, "failure", str(err[1]))


def skip_all(module, reason):
    """Each test of the module is there, and skipped."""
    for case in vars(module).values():
        if isinstance(case, type) and issubclass(case, unittest.TestCase):
            unittest.skip(reason)(case)


def main(module="__main__", lacking=None):
    """Ends the process: status 0 if all tests passed. `lacking`: why none can run here."""
    sys.stdout.reconfigure(line_buffering=True)
    if lacking:
        skip_all(sys.modules[module], lacking)
    program = unittest.main(module, testRunner=unittest.TextTestRunner(verbosity=2, resultclass=Result),
                            exit=False)
    if os.environ.get("XML_OUTPUT_FILE"):
        xml.ElementTree(program.result.suite).write(os.environ["XML_OUTPUT_FILE"], encoding="utf-8")
    sys.exit(0 if program.result.wasSuccessful() else 1)

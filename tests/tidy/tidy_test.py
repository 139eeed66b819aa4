#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of CONTRIBUTING.md that a program can check, over the whole tree."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "tools", "lib")]
import declarations  # noqa: E402
import formatting  # noqa: E402
import layout  # noqa: E402
import operations  # noqa: E402
import source  # noqa: E402
import steps  # noqa: E402
import structure  # noqa: E402
import unittest_xml  # noqa: E402
import words  # noqa: E402


class Tidy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = source.tree()
        cls.product = structure.product(cls.files)
        cls.headers = [file for file in cls.files if file.path.endswith(".h")]
        cls.modules = structure.includes(cls.product)

    def none(self, findings, rule):
        findings = list(findings)
        self.assertFalse(findings, f"{rule}:\n" + "\n".join(findings))

    def test_every_file_names_its_licence(self):
        self.none((found for file in self.files for found in layout.no_licence(file)),
                  "the licence comes first")

    def test_the_table_of_steps_is_true(self):
        document = next(file for file in self.files if file.path == "ARCHITECTURE.md")
        self.none(steps.findings(document, self.files), "files and functions of the steps in ARCHITECTURE.md")

    def test_functions_are_short(self):
        self.none((found for file in self.files for found in layout.long_functions(file)),
                  f"a function fits on a screen: {layout.FUNCTION_LINES} lines")

    def test_folders_form_no_circle(self):
        self.none((" <-> ".join(group) for group in structure.circles(structure.folders(self.modules))),
                  "folders that include each other")

    def test_modules_form_no_circle(self):
        self.none((" <-> ".join(group) for group in structure.circles(self.modules)),
                  "a header and its source are a module; these include each other")

    def test_nobody_has_friends(self):
        self.none((found for file in self.product for found in structure.friends(file)),
                  "a friend reaches into what has one owner")

    def test_operations_are_what_the_specification_says(self):
        self.none(operations.false_words(self.files),
                  "operations/table.h, api/ and docs/spec/operations.md agree")

    def test_operations_are_in_a_table(self):
        self.none(operations.in_no_table(self.files), "a row counts once it is in a table")

    def test_operations_are_known_in_one_folder(self):
        self.none(operations.named_elsewhere(self.product, self.files),
                  "to add an operation, one folder changes")

    def test_memory_orders_are_where_they_belong(self):
        self.none((found for file in self.product for found in structure.memory_orders(file)),
                  "tests/tidy/structure.py says which files may spell memory orders, and for what")
        self.none(structure.orders_unused(self.product),
                  "these need no memory orders any more; take them from that list")

    def test_reserved_names_are_left_alone(self):
        self.none((found for file in self.product for found in structure.reserved_names(file)),
                  "not everybody may write")

    def test_what_is_declared_is_defined(self):
        self.none(declarations.undefined(self.headers, self.files), "declarations without a definition")

    def test_what_is_declared_is_used(self):
        self.none(declarations.unnamed(self.headers, self.files), "functions that nobody needs")

    def test_words_of_the_glossary(self):
        self.none((found for file in self.files for found in words.findings(file)),
                  "CONTRIBUTING.md has the glossary")

    def test_lines_are_not_too_wide(self):
        files = [file for file in self.files if formatting.ON or not file.path.endswith((*source.CPP, ".md"))]
        self.none((found for file in files for found in layout.too_wide(file)),
                  f"a line has at most {layout.WIDTH} columns")

    def test_the_tree_is_formatted(self):
        program, why_not = formatting.tool()
        if not formatting.ON:
            self.skipTest("the tree is not formatted yet")
        if program is None:
            self.skipTest(why_not)
        self.none(formatting.findings(program, source.root(), formatting.paths(self.files)),
                  "clang-format 14")


if __name__ == "__main__":
    unittest_xml.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The simulation has the product's own objects: no source of the daemon is compiled a second time for it."""

import collections
import os
import sys
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.abspath("tools/lib"))
import unittest_xml  # noqa: E402

OWN = "//simulation:"


def compiled():
    """{source: the targets that compile it}, of all that //simulation:simulation is built of."""
    owners = collections.defaultdict(list)
    root = xml.etree.ElementTree.parse("simulation/built").getroot()
    for rule in root.iter("rule"):
        if not rule.get("class", "").startswith("cc_"):
            continue
        for sources in rule.findall("list[@name='srcs']"):
            for label in sources.findall("label"):
                if label.get("value").endswith((".cc", ".c")):
                    owners[label.get("value")].append(rule.get("name"))
    return owners


class OwnObjects(unittest.TestCase):
    def setUp(self):
        self.owners = {source: targets for source, targets in compiled().items()
                       if not source.startswith(OWN)}
        with open("simulation/linked", encoding="utf-8") as file:
            self.linked = {line.strip() for line in file}

    def test_the_daemon_is_there(self):
        for source, target in (("//mediator/lane:dispatcher.cc", "//mediator/lane:lane"),
                               ("//mediator/gpu:gpu_engines.cc", "//mediator/gpu:gpu"),
                               ("//mediator/gpu:engine_pool.cc", "//mediator/gpu:engine_pool"),
                               ("//serve:ring_life.cc", "//serve:serve")):
            self.assertEqual(self.owners.get(source), [target])

    def test_each_source_is_compiled_once(self):
        for source, targets in sorted(self.owners.items()):
            with self.subTest(source=source):
                self.assertEqual(len(targets), 1, targets)

    def test_what_compiles_it_is_linked_into_the_mediator(self):
        for source, targets in sorted(self.owners.items()):
            if source.startswith("//"):
                with self.subTest(source=source):
                    self.assertLessEqual(set(targets), self.linked)

    def test_nothing_of_the_builds_for_tests_is_there(self):
        targets = {target for targets in self.owners.values() for target in targets}
        self.assertEqual([name for name in sorted(targets) if name.endswith(("_crash", "_on"))], [])


if __name__ == "__main__":
    unittest_xml.main()

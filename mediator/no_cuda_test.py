#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CUDA lives in vgpu-worker and nowhere else: by what the mediator is linked of, and by what is in it."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.abspath("tools/lib"))
import unittest_xml  # noqa: E402

# Packages of which the mediator is linked of these targets alone.
ALLOWED = {
    "//engine": {"//engine:protocol"},
    "//gpu": {"//gpu:kernel_abi"},
}
# A function of the driver that a program names which loads it, and a kernel in its image.
NAMES = (b"cuModuleLoadData", b"cuLaunchKernel")


def contents(path):
    with open(path, "rb") as file:
        return file.read()


class NoCuda(unittest.TestCase):
    def test_the_mediator_is_linked_of_no_target_that_loads_cuda(self):
        with open("mediator/linked", encoding="utf-8") as file:
            linked = {line.strip() for line in file}
        self.assertIn("//mediator/gpu:gpu", linked)
        self.assertIn("//engine:protocol", linked)
        for label in sorted(linked):
            package, _, name = label.partition(":")
            if package in ALLOWED and "." not in name:  # files have an ending
                self.assertIn(label, ALLOWED[package])

    def test_the_driver_is_named_in_the_worker_alone(self):
        mediator, worker = contents("mediator/mediator"), contents("mediator/vgpu-worker")
        for name in NAMES:
            self.assertIn(name, worker)
            self.assertNotIn(name, mediator)


if __name__ == "__main__":
    unittest_xml.main()

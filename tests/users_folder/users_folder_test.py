#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files on a command line are meant in the folder in which `bazel run` was called, not in that where it
starts programs."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.abspath("tools/lib"), os.path.abspath("tests/vm")]
import host  # noqa: E402
import unittest_xml  # noqa: E402

BENCHES = [os.path.abspath(f"bench/programs/{name}") for name in ("gates", "gpu", "latency", "ring")]


class UsersFolder(unittest.TestCase):
    def setUp(self):
        folders = [tempfile.TemporaryDirectory() for _ in range(2)]
        for folder in folders:
            self.addCleanup(folder.cleanup)
        self.user, self.bazels = (folder.name for folder in folders)

    def path(self, name):
        return os.path.join(self.user, name)

    def options(self, folder=None):
        return {"cwd": self.bazels, "env": {**os.environ, "BUILD_WORKING_DIRECTORY": folder or self.user}}

    def run_as_bazel(self, *command):
        done = subprocess.run(command, **self.options(), capture_output=True, text=True,
                              timeout=host.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_files_of_mediator_operator_and_client(self):
        with open(self.path("m.toml"), "w", encoding="utf-8") as config:
            config.write("backend = 'cpu'\nworkers = 1\n")
        command = [host.MEDIATOR, "--config", "m.toml", "--socket", "m.sock", "--trace", "t"]
        with open(self.path("log"), "w+", encoding="utf-8") as log:
            mediator = subprocess.Popen(command, **self.options(), stderr=log)
            self.addCleanup(mediator.wait)
            self.addCleanup(mediator.kill)
            host.wait_for("the mediator serves", lambda: mediator.poll() is not None or subprocess.run(
                [host.VGPUCTL, "status", "--socket",
                 self.path("m.sock")], capture_output=True).returncode == 0)
            log.seek(0)
            self.assertIsNone(mediator.poll(), log.read())
        self.assertIn("cpu", self.run_as_bazel(host.VGPUCTL, "status", "--json", "--socket", "m.sock"))
        self.assertEqual(self.run_as_bazel(host.CLIENT, "--socket", "m.sock", "add", "100", "200"),
                         "100 + 200 = 300\n")
        mediator.terminate()
        self.assertEqual(mediator.wait(host.TIMEOUT_S), 0)
        self.assertIn("ring 0 answered", self.run_as_bazel(host.VGPUCTL, "trace", "t"))
        self.assertEqual(os.listdir(self.bazels), [])

    def test_every_program_says_when_it_cannot_go_there(self):
        for program in (host.MEDIATOR, host.VGPUCTL, host.CLIENT, *BENCHES):
            with self.subTest(program=program):
                done = subprocess.run([program, "--help"], **self.options("/no/such/folder"),
                                      capture_output=True, text=True)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("cannot enter /no/such/folder (No such file or directory)", done.stderr)


if __name__ == "__main__":
    unittest_xml.main()

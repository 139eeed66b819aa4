#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/vm, as far as it comes without a VM: what it says to a wrong command line, always with status 125."""

import os
import socket
import subprocess
import tempfile
import unittest

VM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "vm")


def run(*arguments, **options):
    options.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([VM, *arguments], stderr=subprocess.PIPE, text=True, check=False, timeout=60,
                          **options)


class UsageTest(unittest.TestCase):
    def refused(self, arguments, text):
        result = run(*arguments)
        self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)
        self.assertTrue(result.stderr.startswith("tools/vm: "), result.stderr)
        self.assertIn(text, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, "not one line: " + result.stderr)

    def test_seconds_are_finite(self):
        for bad in ("nan", "-nan", "inf", "-1", "1e7", "soon", ""):
            self.refused(["--no-device", f"--boot-timeout={bad}", "--", "true"],
                         f"--boot-timeout: '{bad}' is not a number of seconds from 0 to 1000000")

    def test_integers_have_a_range(self):
        long = "0" * 20 + "9999999999"
        for bad in ("-1", "4294967296", "9" * 30, long, "1_0", " 1", "0x1", "one", "", "1.0"):
            self.refused(["--vm_id", bad, "--", "true"],
                         f"--vm-id: '{bad}' is not a decimal integer from 0 to 4294967295")
        self.refused(["--mem", "1", "--", "true"], "--mem: '1' is not a decimal integer from 64 to ")
        for option in ("--rings", "--entries", "--cpus"):
            self.refused([option, "0", "--", "true"], f"{option}: '0' is not a decimal integer from 1 to ")

    def test_words(self):
        self.refused(["--priority", "urgent", "--", "true"],
                     "--priority: 'urgent' is none of low, medium, high, 0, 1, 2")
        self.refused(["--pool_id", "C", "--", "true"], "'C' is none of A, B")
        self.refused(["--ring", "maybe", "--", "true"], "--ring: 'maybe' is none of on, off")
        self.refused(["--accel", "xen", "--", "true"], "--accel: 'xen' is none of auto, tcg, kvm")
        self.refused(["--no-such", "--", "true"], "unrecognized arguments: --no-such")
        self.refused(["--no-device"], "no COMMAND given")

    def test_both_spellings_and_priorities(self):
        for good in ("--vm_id 7", "--vm-id 7", "--vm_id=7", "--pool_id B", "--pool-id B", "--pool B",
                     "--priority high", "--priority 2", "--boot_timeout 5", "--boot-timeout 5"):
            self.refused([*good.split(), "--socket", "/no/such", "--", "true"],
                         "no mediator answers at /no/such")

    def test_what_is_no_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            for path in (folder, os.path.realpath(__file__)):
                self.refused(["--socket", path, "--", "true"],
                             f"'{path}' is no socket: name the one that the mediator serves")
        self.refused(["--socket", "", "--", "true"], "--socket: the value is empty")

    def test_another_users_mediator(self):
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            path = os.path.join(folder, "s")
            listener.bind(path)
            listener.listen()
            os.chmod(path, 0)
            root = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]  # without its powers
            command = [*(root if os.geteuid() == 0 else []), VM, "--socket", path, "--", "true"]
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(result.returncode, 125)
        self.assertIn("permission denied: the mediator runs as another user; run as root", result.stderr)

    def test_lost_output(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = run("--help", stdout=full)
        self.assertEqual(result.returncode, 125)
        self.assertIn("tools/vm: the output is lost: No space left on device", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()

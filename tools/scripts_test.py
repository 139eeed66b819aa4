#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts do the same whatever the user's shell exports, wherever they are called from and whatever name
they are called by. Bazel, dpkg-query and apt-get are stand-ins that note how they were called; everything
else is real."""

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.abspath("tools/lib"))
import unittest_xml  # noqa: E402

FOLDERS = ("tools", "qemu", "api", "ring", ".ci")
QEMU_FILES = ("qemu/build.sh", "qemu/trace-events", "qemu/vgpu-stub.c", "api/codes.h", "api/window.h",
              "ring/abi.h", "ring/control.h", "ring/event_idx.h", "ring/regs.h")
STAND_INS = {
    "bazel": 'echo "in $PWD: bazel $*" >>"$CALLS"; [ "$1" != info ] || echo "$BAZEL_BIN"',
    "dpkg-query": 'for package; do echo "installed $package"; done',
    "apt-get": 'echo "apt-get $*" >>"$CALLS"; exit 1',
}
# (script, arguments, exit status)
RUNS = ((".ci/run", (), 0), ("qemu/build.sh", (), 0), ("tools/lib/kernel.sh", (), 0),
        ("tools/lib/dpdk.sh", (), 0), ("tools/lib/ganesha.sh", (), 0),
        ("tools/test", ("--only", "gcc", "//some:test"), 0),
        ("tools/install", ("guest", "installed"), 0), ("tools/demo", ("what?",), 2),
        ("tools/gpu-bundle", ("--help",), 0))
HOSTILE = {
    "CDPATH": ".:/tmp:/", "GREP_OPTIONS": "--color=always", "IFS": "/", "POSIXLY_CORRECT": "1",
    "GLOBIGNORE": "*",
    "TAR_OPTIONS": "--no-such-option", "SHELLOPTS": "noglob:noclobber", "LANGUAGE": "de:fr",
    "BASH_FUNC_cd%%": "() { echo hijacked; }", "BASH_FUNC_sed%%": "() { echo hijacked; }",
}


class Scripts(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.checkout = os.path.join(folder.name, "check*out")
        for name in FOLDERS:
            shutil.copytree(name, os.path.join(self.checkout, name))
        # A step of tools/test --full. How it measures is not what is tested here.
        self.write("check*out/simulation/coverage", '#!/bin/sh\necho "coverage $*" >>"$CALLS"\n', 0o755)
        self.elsewhere = os.path.join(folder.name, "else where")
        os.makedirs(os.path.join(self.elsewhere, "links"))
        for name, body in STAND_INS.items():
            self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n", 0o755)
        self.fill_cache()
        os.makedirs(os.path.join(folder.name, "out", "guest"))
        with tarfile.open(os.path.join(folder.name, "out", "guest", "vgpu-guest.tar"), "w") as tar:
            tar.add(os.path.abspath(__file__), "include/vgpu.h")

    def write(self, name, text="", mode=0o644):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def fill_cache(self):
        """What the scripts would fetch and build."""
        self.write("cache/kernel/boot/vmlinuz-1")
        self.write("cache/ganesha/usr/bin/ganesha.nfsd", "", 0o755)
        self.write("cache/dpdk/usr/include/dpdk/rte_ring.h")
        self.write("cache/qemu/source/.vgpu-source", "qemu_7.2\n")
        key = hashlib.sha256(b"qemu_7.2\n")
        for name in QEMU_FILES:
            with open(name, "rb") as file:
                key.update(file.read())
        self.write(f"cache/qemu/bin-{key.hexdigest()[:16]}/qemu-system-x86_64", "", 0o755)

    def run_script(self, script, arguments, where, **environment):
        """Runs it in a folder; returns status, stdout and calls."""
        calls = self.write("calls")
        result = subprocess.run(
            [script, *arguments], cwd=where, capture_output=True, text=True, timeout=60,
            env={"PATH": os.path.join(self.folder, "bin") + ":/usr/bin:/bin", "HOME": self.folder,
                 "CALLS": calls,
                 "BAZEL_BIN": os.path.join(self.folder, "out"),
                 "VGPU_CACHE": os.path.join(self.folder, "cache"), **environment})
        with open(calls, encoding="utf-8") as file:
            # the summary's events lie in a new folder each time
            called = [line for line in file.read().replace("--build_event_json_file=", "\n").splitlines()
                      if not line.startswith(tempfile.gettempdir() + "/tmp.")]
        self.said = result.stderr
        return result.returncode, result.stdout, called

    def plain(self, script, arguments, status):
        """What it does by its relative name, in an environment that has nothing unusual."""
        wanted = self.run_script("./" + script, arguments, self.checkout)
        self.assertEqual(wanted[0], status, self.said)
        return wanted

    def each(self, call):
        for script, arguments, status in RUNS:
            with self.subTest(script=script):
                wanted = self.plain(script, arguments, status)
                self.assertEqual(call(script, arguments), wanted, self.said)

    def test_whatever_the_shell_exports(self):
        noise = self.write("noise", "echo noise\ncd /\nset -f\n")
        hostile = {**HOSTILE, "BASH_ENV": noise, "ENV": noise}
        self.each(lambda script, arguments: self.run_script(script, arguments, self.checkout, **hostile))

    def test_from_another_folder(self):
        self.each(lambda script, arguments: self.run_script(
            os.path.join("..", os.path.basename(self.checkout), script), arguments, self.elsewhere))

    def test_through_a_symbolic_link(self):
        def call(script, arguments):
            link = os.path.join(self.elsewhere, "links", "-" + os.path.basename(script))
            os.symlink(os.path.join(self.checkout, script), link)
            return self.run_script(link, arguments, self.elsewhere)
        self.each(call)

    def test_a_checkout_with_spaces(self):
        """QEMU and the rest need not care; Bazel cannot, and the scripts say so before anything is
        installed."""
        spaced = os.path.join(self.folder, "a  checkout with spaces")
        wanted = {script: self.plain(script, arguments, status) for script, arguments, status in RUNS}
        os.rename(self.checkout, spaced)
        for script, arguments, status in RUNS:
            with self.subTest(script=script):
                got = self.run_script("./" + script, arguments, spaced)
                if script in (".ci/run", "tools/test", "tools/install"):
                    self.assertEqual(got, (1, "", []))
                    self.assertIn("a space in its name; move the checkout: " + spaced, self.said)
                else:
                    self.assertEqual(got, wanted[script])

    def test_python_programs_through_a_link_with_spaces(self):
        link = os.path.join(self.elsewhere, "vm")
        os.symlink(os.path.join(self.checkout, "tools", "vm"), link)
        self.assertEqual(self.run_script(link, ("--help",), self.elsewhere)[0], 0, self.said)

    def test_a_relative_cache_means_the_callers_folder(self):
        script = os.path.join(self.checkout, "tools", "lib", "kernel.sh")
        status, out, _ = self.run_script(script, (), self.folder, VGPU_CACHE="cache")
        self.assertEqual((status, out), (0, os.path.join(self.folder, "cache", "kernel") + "\n"), self.said)

    def test_without_home_the_password_database_decides(self):
        ask = ("-p", "-c", 'set -eu; . tools/lib/common.sh; printf %s "$VGPU_CACHE"')
        status, out, _ = self.run_script("/bin/bash", ask, self.checkout, HOME="", VGPU_CACHE="")
        home = pwd.getpwuid(os.getuid()).pw_dir
        self.assertEqual((status, out), (0, os.path.join(home, ".cache", "vgpu-ring")), self.said)

    def test_what_cannot_be_installed_is_named(self):
        for arguments, text in (((), "no argument is given"),
                                (("what", "d"), "'what' is neither guest nor host"),
                                (("guest",), "no folder DIR is given"),
                                (("guest", ""), "no folder DIR is given"),
                                (("host", "a", "b"), "unexpected argument 'b'")):
            with self.subTest(arguments=arguments):
                status, out, calls = self.run_script("tools/install", arguments, self.checkout)
                self.assertEqual((status, out, calls), (2, "", []), self.said)
                self.assertTrue(self.said.startswith(f"install: {text}\n"), self.said)

    def test_installs_where_the_user_said(self):
        script = os.path.join(self.checkout, "tools", "install")
        status, _, _ = self.run_script(script, ("guest", "new/folder"), self.elsewhere)
        self.assertEqual(status, 0, self.said)
        self.assertTrue(os.path.exists(os.path.join(self.elsewhere, "new", "folder", "include", "vgpu.h")))

    def test_bazel_bin_is_always_the_ordinary_build(self):
        with open(".bazelrc", encoding="utf-8") as file:
            rc = file.read()
        with open(".bazelignore", encoding="utf-8") as file:
            ignored = file.read().splitlines()
        for name in set(re.findall(r"^build:(\w+)", rc, re.MULTILINE)):
            with self.subTest(config=name):
                self.assertIn(f" --symlink_prefix=bazel-{name}-", rc)
                self.assertIn(f"bazel-{name}-bin", ignored)
        os.symlink("/k8-opt-asan/bin", os.path.join(self.checkout, "bazel-bin"))
        status, out, _ = self.run_script("tools/test", ("--only", "asan"), self.checkout)
        self.assertEqual((status, out.splitlines()[-1]), (1, "1 passed, 1 failed, 0 skipped"), self.said)
        self.assertIn("bazel-bin leads to /k8-opt-asan/bin", self.said)

    def test_long_tests_are_asked_for(self):
        for arguments, wanted in ((("--only", "gcc"), False), (("--full", "--only", "gcc"), True)):
            with self.subTest(arguments=arguments):
                status, _, calls = self.run_script("tools/test", (*arguments, "//some:test"), self.checkout)
                self.assertEqual(status, 0, self.said)
                self.assertEqual(any("--test_env=VGPU_FULL=1" in call for call in calls), wanted, calls)
                self.assertEqual(any(call.startswith("coverage") for call in calls), wanted, calls)

    def test_every_script_begins_alike(self):
        """bash -p: without it BASH_ENV and exported functions come first."""
        for folder in ("tools", "tools/lib", "qemu", ".ci"):
            for entry in os.scandir(os.path.join(self.checkout, folder)):
                if entry.is_file() and os.access(entry.path, os.X_OK) and "_test" not in entry.name:
                    with self.subTest(script=entry.name), open(entry.path, encoding="utf-8") as script:
                        self.assertIn(script.readline(), ("#!/bin/bash -p\n", "#!/usr/bin/env python3\n"))


if __name__ == "__main__":
    unittest_xml.main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guest's package, as a stranger uses it: unpacked somewhere, with plain gcc, in a folder that has
nothing else.

The program and the commands that build it are those of docs/migration.md, so that the page stays true.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import unittest

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.abspath("tools/lib"), os.path.abspath("tests/vm")]
import host  # noqa: E402
import unittest_xml  # noqa: E402

PACKAGE, PAGE = (os.path.abspath(path) for path in ("guest/vgpu-guest.tar", "docs/migration.md"))
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
LACKING = [tool for tool in ("gcc", "g++", "pkg-config", "nm", "readelf") if not shutil.which(tool)]


def block_of_page(first_line):
    """The indented block of the page that begins with this line."""
    with open(PAGE, encoding="utf-8") as page:
        lines = page.read().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.strip() == first_line)
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    end = next(i for i in range(begin, len(lines)) if lines[i].strip()
               and not lines[i].startswith(" " * indent))
    return textwrap.dedent("\n".join(lines[begin:end])).strip() + "\n"


@unittest.skipIf(LACKING, f"not installed: {', '.join(LACKING)}; tools/test installs them")
class Package(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.package, self.work = (os.path.join(folder.name, name) for name in ("package", "work"))
        os.mkdir(self.work)
        with tarfile.open(PACKAGE) as tar:
            tar.extractall(self.package)

    def path(self, name):
        return os.path.join(self.package, name)

    def run_here(self, *command, **environment):
        """Runs it in the empty folder; returns what it printed."""
        done = subprocess.run(command, cwd=self.work,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C", **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=host.TIMEOUT_S)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
        return done.stdout

    def write(self, name, text):
        with open(os.path.join(self.work, name), "w", encoding="utf-8") as file:
            file.write(text)

    def pkg_config(self, *flags):
        return self.run_here("pkg-config", *flags, "vgpu", PKG_CONFIG_PATH=self.path("lib/pkgconfig")).split()

    def symbols(self, *arguments):
        return {line.split()[2].split("@")[0]
                for line in self.run_here("nm", "--defined-only", *arguments).splitlines()
                if re.match(r"[0-9a-f]+ [^A] ", line)}

    def test_program_and_commands_of_the_page(self):
        self.write("add.c", block_of_page("/* add.c */"))
        build = block_of_page("export PKG_CONFIG_PATH=DIR/lib/pkgconfig").replace("DIR", self.package)
        self.run_here("sh", "-e", "-c", build)
        self.assertIn("[libvgpu.so.0]", self.run_here("readelf", "-d", "./add"))
        self.assertNotIn("NEEDED", self.run_here("readelf", "-d", "./add-static"))
        mediator = host.Mediator()
        self.addCleanup(mediator.close)
        self.assertEqual(self.run_here("./add", mediator.socket, LD_LIBRARY_PATH=self.path("lib")), "300\n")
        self.assertEqual(self.run_here("./add-static", mediator.socket), "300\n")

    def test_archive_in_an_ordinary_program(self):
        self.write("add.c", block_of_page("/* add.c */"))
        static = [flag for flag in self.pkg_config("--static", "--libs") if flag != "-lvgpu"]
        self.run_here("gcc", *STRICT, *self.pkg_config("--cflags"), "add.c", self.path("lib/libvgpu.a"),
                      *static, "-o", "add")
        mediator = host.Mediator()
        self.addCleanup(mediator.close)
        self.assertEqual(self.run_here("./add", mediator.socket), "300\n")

    def test_archive_beside_another_fmt(self):
        """The library's own copies of C++ libraries are nobody else's business."""
        self.write("other.cc",
                   "namespace fmt::v9::detail { void assert_fail(const char*, int, const char*) {} }\n"
                               "#include <vgpu.h>\n"
                               "int main() { return vgpu_strerror(0) == nullptr; }\n")
        self.run_here("g++", "-std=c++20", *self.pkg_config("--cflags"), "other.cc", "-Wl,--whole-archive",
                      self.path("lib/libvgpu.a"), "-Wl,--no-whole-archive", "-o", "other")
        self.run_here("./other")
        self.assertEqual([name for name in self.symbols("-g", self.path("lib/libvgpu.a"))
                          if not name.startswith("vgpu_")], [])

    def test_header_stands_alone(self):
        for compiler, name in ((["gcc", *STRICT], "alone.c"),
                               (["g++", "-std=c++20", *STRICT[1:]], "alone.cc")):
            self.write(name,
                       "#include <vgpu.h>\n#include <vgpu.h>\nstruct vgpu_options options = "
                       "VGPU_OPTIONS_INIT;\n")
            self.run_here(*compiler, f"-I{self.path('include')}", "-fsyntax-only", name)
        self.assertEqual(os.listdir(self.path("include")), ["vgpu.h"])

    def test_both_libraries_have_the_functions_of_the_header_and_no_others(self):
        with open(self.path("include/vgpu.h"), encoding="utf-8") as header:
            declared = set(re.findall(r"^(?:int|void|const char ?\*)\s*(vgpu_\w+)\(", header.read(),
                                      re.MULTILINE))
        self.assertGreater(len(declared), 10)
        self.assertEqual(self.symbols("-D", self.path("lib/libvgpu.so")), declared)
        self.assertEqual(self.symbols("-g", self.path("lib/libvgpu.a")), declared)

    def test_names_and_versions(self):
        self.assertIn("soname: [libvgpu.so.0]", self.run_here("readelf", "-d", self.path("lib/libvgpu.so")))
        version = self.run_here("pkg-config", "--modversion", "vgpu",
                                PKG_CONFIG_PATH=self.path("lib/pkgconfig")).strip()
        self.assertIn(version, self.run_here(host.MEDIATOR, "--version"))
        self.assertIn("add", self.run_here(self.path("bin/vgpu-client"), "--help"))


if __name__ == "__main__":
    unittest_xml.main()

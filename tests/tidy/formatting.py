# SPDX-License-Identifier: Apache-2.0
"""Is the tree as clang-format would have it? Only release 14 is asked: others decide otherwise."""

import re
import shutil
import subprocess

# Is the tree formatted? From the commit on that did it.
ON = True

# Written in the style of QEMU, into whose tree they are copied.
NOT_FORMATTED = ("qemu/",)


def tool():
    """The path of clang-format 14, or None and why not."""
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path is None:
            continue
        version = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout
        if re.search(r"\bversion 14\.", version):
            return path, ""
    return None, "clang-format 14 is not installed (Debian: clang-format-14; tools/test installs it)"


def paths(files):
    return [file.path for file in files if file.is_cpp and not file.path.startswith(NOT_FORMATTED)]


def findings(program, root, names):
    """One for each of these files, below the folder `root`, that clang-format would change."""
    command = [program, "--style=file", "--dry-run", "--Werror", "--ferror-limit=1"]
    for at in range(0, len(names), 50):
        said = subprocess.run(command + names[at:at + 50], cwd=root, check=False, capture_output=True,
                              text=True).stderr
        for path, line in re.findall(r"^([^\s:]+):(\d+):\d+: error:", said, re.MULTILINE):
            yield f"{path}:{line}: not as clang-format has it; run: clang-format-14 -i {path}"

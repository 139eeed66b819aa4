# SPDX-License-Identifier: Apache-2.0
"""The tree as the checks see it: which files there are, and C++ without its comments and strings."""

import functools
import os
import re
import subprocess

CPP = (".h", ".cc", ".c", ".cu")
# What we did not write, or a program did.
NOT_OURS = ("LICENSES/", "bench/results/", "tests/fuzz/corpus/")


class File:
    """One file of the tree; `path` is from its root."""

    def __init__(self, path, text):
        self.path = path
        self.text = text

    @functools.cached_property
    def lines(self):
        return self.text.split("\n")

    @functools.cached_property
    def code(self):
        """The text of C or C++ with comments and literals blanked; lines and columns stay."""
        return blank(self.text)

    @property
    def is_cpp(self):
        return self.path.endswith(CPP)

    @property
    def folder(self):
        return os.path.dirname(self.path)


# In the order in which they hide each other: a raw string, a comment, a string, a character.
HIDDEN = re.compile(r'R"(\w*)\(.*?\)\1"|//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|'
                    r"(?<![0-9a-fA-F])'(?:[^'\\\n]|\\.)+'", re.DOTALL)


def blank(text):
    def spaces(match):
        hidden = match.group(0)
        kept = hidden[0] + hidden[-1] if hidden[0] in "\"'" else "  "
        return kept[0] + re.sub(r"[^\n]", " ", hidden[1:-1]) + kept[1]

    # The names of included files are strings, and wanted.
    return "\n".join(line for line in HIDDEN.sub(
        lambda match: match.group(0) if included(text, match) else spaces(match), text).split("\n"))


def included(text, match):
    begin = text.rfind("\n", 0, match.start()) + 1
    return match.group(0)[0] == '"' and text[begin:match.start()].strip() == "#include"


def root():
    """Of the source tree, of which Bazel's run of a test has links to single files only."""
    folder = os.path.dirname(os.path.realpath(__file__))
    return os.path.dirname(os.path.dirname(folder))


def paths():
    """Of all files that git knows, or would; without git, of all that are there and were not built."""
    try:
        command = ["git", "-c", "safe.directory=*", "-C", root(), "ls-files", "-z", "--cached", "--others",
                   "--exclude-standard"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        found = []
        for folder, folders, names in os.walk(root()):
            folders[:] = [name for name in folders if not name.startswith((".git", "bazel-", "__pycache__"))]
            found += [os.path.relpath(os.path.join(folder, name), root()) for name in names]
        return found


def tree():
    """All text files that are ours."""
    files = []
    for path in sorted(set(paths())):
        full = os.path.join(root(), path)
        if not path or path.startswith(NOT_OURS) or os.path.islink(full) or not os.path.isfile(full):
            continue
        with open(full, encoding="utf-8") as file:
            try:
                files.append(File(path, file.read()))
            except UnicodeDecodeError:
                continue  # no text
    return files

# SPDX-License-Identifier: Apache-2.0
"""The table of steps in ARCHITECTURE.md: each file that it names exists, and defines the functions there."""

import re

import layout

HEADING = "## Steps"
SCREEN = 50  # rows
NAME = re.compile(r"`([^`]+)`")


def rows(text):
    """The rows of the first table below HEADING, without its two head lines: (line number, cells)."""
    found, below = [], False
    for number, line in enumerate(text.split("\n"), 1):
        if below and line.startswith("|"):
            found.append((number, [cell.strip() for cell in line.strip().strip("|").split("|")]))
        elif found:
            break
        elif line.startswith("#"):
            below = line.strip() == HEADING
    return found[2:]


def places(text):
    """What a row names: [file, its functions]. A name with a slash is a file; its functions follow it."""
    found = []
    for name in NAME.findall(text):
        if "/" in name:
            found.append((name, []))
        elif found:
            found[-1][1].append(name)
        else:
            found.append(("", [name]))
    return found


def defines(file, name):
    """Is there a body of this function in the file? `C::F` may be `C<T>::F` there, or F within class C."""
    wanted = name.split("::")
    for function, _, _ in layout.cpp_functions(file.code):
        there = function.split("::")
        same = min(len(there), len(wanted))
        classes = wanted[:-same]
        named = all(re.search(rf"\b(?:class|struct)\s+{owner}\b", file.code) for owner in classes)
        if there[-same:] == wanted[-same:] and named:
            return True
    return False


def findings(document, files):
    by_path = {file.path: file for file in files}
    table = rows(document.text)
    if not table or len(table) > SCREEN:
        yield f"{document.path}: {len(table)} rows below '{HEADING}'; there are 1 to {SCREEN}, a screen"
    for number, cells in table:
        where = f"{document.path}:{number}"
        named = places(" ".join(cells[1:]))
        if not named and not cells[0].startswith("**"):  # bold: the title of the rows after it
            yield f"{where}: no file"
        for path, functions in named:
            if path not in by_path:
                yield f"{where}: there is no file '{path}'"
                continue
            if not functions:
                yield f"{where}: no function of {path}"
            yield from (f"{where}: {path} does not define {name}" for name in functions
                        if not defines(by_path[path], name))

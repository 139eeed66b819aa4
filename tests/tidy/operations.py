# SPDX-License-Identifier: Apache-2.0
"""The tables in operations/table.h: they are what api/ and the specification say, and nobody else knows an
operation."""

import re

TABLE = "operations/table.h"
SPEC = "docs/spec/operations.md"
# The numbers; the tables; what guests call by name.
MAY_NAME = ("api/", "operations/", "guest/")

ROW = re.compile(r"^struct (\w+) \{\n\s+static constexpr uint32_t kOpcode = (\w+);\n"
                 r'\s+static constexpr const char\* kName = "(\w+)";', re.MULTILINE)
OPCODE = re.compile(r"^#define (VGPU_OP_(\w+)) (0x[0-9a-f]+|[0-9]+)u", re.MULTILINE)
HEADING = re.compile(r"^## (\w+) \((0x[0-9a-f]+|[0-9]+)\)$", re.MULTILINE)


def rows(files):
    """(C++ name, opcode as it is written, name) of each row."""
    return [match.groups() for file in files if file.path == TABLE for match in ROW.finditer(file.text)]


def opcodes(files):
    """What api/ defines: macro -> number."""
    return {match.group(1): int(match.group(3), 0) for file in files if file.path.startswith("api/")
            for match in OPCODE.finditer(file.text)}


def sections(files):
    """Of the specification: name -> opcode."""
    return {match.group(1): int(match.group(2), 0) for file in files if file.path == SPEC
            for match in HEADING.finditer(file.text)}


def false_words(files):
    """Rows that the specification or api/ has otherwise, and sections that are of no opcode."""
    numbers, described = opcodes(files), sections(files)
    found = rows(files)
    if not found:
        yield f"{TABLE}: no rows"
    for _, opcode, name in found:
        if opcode != f"VGPU_OP_{name}" or opcode not in numbers:
            yield f"{TABLE}: {name}'s opcode is VGPU_OP_{name}, and api/ defines it"
        elif described.get(name) != numbers[opcode]:
            yield f"{SPEC}: no section '## {name} ({numbers[opcode]})'"
    for name, number in described.items():
        if numbers.get(f"VGPU_OP_{name}") != number:
            yield f"{SPEC}: {name} ({number}) is not VGPU_OP_{name} of api/"


def in_no_table(files):
    """Rows that somebody wrote and nobody put into a table."""
    code = "".join(file.code for file in files if file.path == TABLE)
    listed = re.findall(r"\w+", " ".join(re.findall(r"^using \w+ = \w+<([^>]*)>;", code, re.MULTILINE)))
    for row, _, name in rows(files):
        if row not in listed:
            yield f"{TABLE}: {name} is in no table"


def named_elsewhere(product, files):
    """Product code that knows one operation of the tables."""
    names = [word for row, opcode, _ in rows(files) for word in (opcode, f"operations::{row}")]
    wanted = re.compile(r"\b(?:" + "|".join(names) + r")\b") if names else None
    for file in product:
        if wanted is None or file.path.startswith(MAY_NAME):
            continue
        for number, line in enumerate(file.code.split("\n"), 1):
            for found in wanted.findall(line):
                yield f"{file.path}:{number}: {found}"

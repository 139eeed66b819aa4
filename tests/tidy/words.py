# SPDX-License-Identifier: Apache-2.0
"""Words that the glossary (CONTRIBUTING.md) has replaced: those of them that mean nothing else here."""

import re

import source

# Are names of files and of code checked, too? Comments and documents are, always.
IDENTIFIERS = True

# word -> what the glossary says instead
REPLACED = {
    "adopt|adopts|adopted|adoption": "promote",
    "broker": "mediator",
    "bury|buries|buried": "reap",
    "chore|chores": "maintenance",
    "deaf": "muted",
    "doze|dozes|dozing": "sleep",
    "errand|errands": "task",
    "gentle|gently": "throttled",
    "heir|heirs": "spare engine, or successor",
    "hiccup|hiccups": "stall",
    "idempotent": "harmless to repeat",
    "standby": "spare engine",
    "stillborn": "failed start",
    "strike|strikes": "stall",
    "suspect|suspects": "isolated",
    "tampered": "replaced",
    "tenant|tenants": "guest",
}
WORD = re.compile(r"(?<![\w.`'\"/*-])(?:" + "|".join(REPLACED) + r")(?![\w`'\"/*(-]|\.\w|::)")
PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # of a name: DeafUntil and deaf_until have the part "deaf"
IN_NAMES = re.compile(r"(?:" + "|".join(REPLACED) + r")\Z")


def instead(word):
    return next(better for words, better in REPLACED.items() if word in words.split("|"))


def findings(file, identifiers=IDENTIFIERS):
    for number, text in prose(file):
        for found in WORD.findall(text):
            yield f"{file.path}:{number}: '{found}': say '{instead(found)}'"
    if identifiers and file.is_cpp:
        for number, line in enumerate(file.code.split("\n"), 1):
            yield from (f"{file.path}:{number}: {name}: say '{better}'" for name, better in in_names(line))
    if identifiers:
        yield from (f"{file.path}: its name: say '{better}'" for _, better in in_names(file.path))


def in_names(text):
    for name in re.findall(r"[A-Za-z_]\w*", text):
        for part in PART.findall(name):
            if IN_NAMES.match(part.lower()):
                yield name, instead(part.lower())


def prose(file):
    """(line number, text) of comments, or of a document without the glossary, which names the words."""
    if file.is_cpp:
        return comments(file.text)
    if file.path.endswith(".md"):
        return document(file)
    if file.path.endswith((".py", ".sh", ".bzl", "BUILD", ".BUILD")) or file.lines[0].startswith("#!"):
        return hashed(file)
    return []


def comments(text):
    for match in source.HIDDEN.finditer(text):
        if match.group(0).startswith("/"):
            first = text.count("\n", 0, match.start()) + 1
            yield from enumerate(match.group(0).split("\n"), first)


def document(file):
    in_block = False
    for number, line in enumerate(file.lines, 1):
        if line.startswith("```"):
            in_block = not in_block
        glossary = file.path == "CONTRIBUTING.md" and line.startswith("|")
        if not in_block and not glossary and not line.startswith("    "):
            yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)


def hashed(file):
    for number, line in enumerate(file.lines, 1):
        comment = re.search(r"(?:^|\s)#\s(.*)$", line)
        in_string = comment and any(line[:comment.start()].count(quote) % 2 for quote in "\"'")
        if comment and not in_string:
            yield number, comment.group(1)

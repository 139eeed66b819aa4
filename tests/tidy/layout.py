# SPDX-License-Identifier: Apache-2.0
"""How a file looks: its width, its licence line, the length of its functions."""

import ast
import re

WIDTH = 110
TABLE_WIDTH = 320  # a row of a table in a document cannot be broken
FUNCTION_LINES = 70
WHOLE_LINES = ("LICENSE", "qemu/trace-events")  # not ours to break


def too_wide(file):
    """Lines beyond WIDTH. An address cannot be broken either, nor what bench/tables reads."""
    if file.path in WHOLE_LINES:
        return
    for number, line in enumerate(file.lines, 1):
        table = file.path.endswith(".md") and line.lstrip().startswith("|")
        whole = re.search(r"https?://\S{40,}|^<!-- bench/tables: ", line)
        if len(line) > (TABLE_WIDTH if table else WIDTH) and not whole:
            yield f"{file.path}:{number}: {len(line)} columns"


def no_licence(file):
    if file.path == "LICENSE" or not file.text.strip():
        return
    if not any("SPDX-License-Identifier: " in line for line in file.lines[:3]):
        yield f"{file.path}:1: no SPDX-License-Identifier in the first three lines"


def long_functions(file):
    if file.is_cpp:
        found = cpp_functions(file.code)
    elif file.path.endswith(".py") or file.lines[0].endswith("python3"):
        found = python_functions(file.text)
    else:
        return
    for name, first, last in found:
        if last - first + 1 > FUNCTION_LINES:
            yield f"{file.path}:{first}: {name} has {last - first + 1} lines"


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


# What stands before the brace of a body: a parameter list and what may follow it.
HEAD = re.compile(r"([\w~]+(?:::[\w~]+)*|operator[^\s\w(]+)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\s*"
                  r"(?:const|noexcept|override|final|mutable|&&?|->\s*[\w:<>,\s*&]+|:\s[^;]*|\s)*$")
CONTROL = {"if", "for", "while", "switch", "catch", "constexpr", "return", "sizeof", "decltype", "alignas",
           "defined"}


def cpp_functions(code):
    """Bodies that do not lie in another body: (name, first line, last line)."""
    opened, statement, line = [], 0, 1
    for at, sign in enumerate(code):
        if sign == "\n":
            line += 1
        elif sign == "{":
            text = code[statement:at]
            head = None if any(opened) or in_expression(text) else head_of(text)
            opened.append((head.group(1), line - text.count("\n", head.start())) if head else None)
            statement = statement if in_expression(text) else at + 1
        elif sign == "}" and opened:
            body = opened.pop()
            if body:
                yield body[0], body[1], line
            if body or balanced(code[statement:at]) and code[at + 1:at + 2] not in (",", ")", " "):
                statement = at + 1
        elif sign == ";" and balanced(code[statement:at]):
            statement = at + 1


def in_expression(text):
    """Is what a brace opens after this text an initialiser, or a lambda among arguments?"""
    return not balanced(text) or not text[-1:].isspace()


def balanced(text):
    return text.count("(") == text.count(")")


def head_of(text):
    match = HEAD.search(text)
    return match if match and match.group(1) not in CONTROL else None

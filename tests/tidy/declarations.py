# SPDX-License-Identifier: Apache-2.0
"""Functions that a header declares and no file defines, and those that nobody names beside that."""

import collections
import re

import layout


class Function:
    """A declaration, or a definition (`body`). `owner`: what stands before its name, or the class around."""

    def __init__(self, opened, name, line, body, overrides=False):
        around = class_around(opened)
        parts = name.split("::")
        self.owner = parts[-2] if len(parts) > 1 else around
        self.name = parts[-1]
        self.line = line
        self.body = body
        self.overrides = overrides
        self.in_class = bool(around)


DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
ACCESS = re.compile(r"\b(?:public|private|protected)\s*:(?!:)")
TEMPLATE_ARGUMENTS = re.compile(r"<[\w\s,:*&]*>(?=::)")  # of a class whose member follows: Class<T>::Member
CLASS = re.compile(r"\b(?:class|struct|union)\s+(?:alignas\s*\([^()]*\)\s*)?([\w:]+)\s*(?:final\s*)?"
                   r"(?::[^:].*)?$", re.DOTALL)
NAMESPACE = re.compile(r'\b(?:namespace\b[\s\w:]*|extern\s*"[^"]*"\s*)$')
# A return type (none of a constructor), a name, parameters, and what may follow them.
DECLARED = re.compile(r"^(?P<type>[^()=]*[\s*&>])?(?P<name>~?\w+)\s*\((?P<parameters>.*)\)\s*"
                      r"(?P<after>(?:const|noexcept|override|final|&&?|->\s*[\w:<>,\s*&]+|\s)*)$", re.DOTALL)
NO_FUNCTION = re.compile(r"\b(?:friend|using|typedef|operator|return|new|delete|throw|static_assert)\b")


def functions(code):
    """Those at the level of namespaces and classes. What lies in bodies is not looked at."""
    code = DIRECTIVE.sub(lambda match: re.sub(r"[^\n]", " ", match.group(0)), code)
    opened, statement = [], 0
    for match in re.finditer(r"[{};]", code):
        at, sign = match.start(), match.group(0)
        text = code[statement:at]
        outside = all(kind != "body" for kind, _ in opened)
        if sign == "{":
            if not layout.in_expression(text):
                kind, name = scope(text) if outside else ("body", "")
                if outside and kind == "body":
                    yield from defined(text, opened, code.count("\n", 0, at) + 1)
                opened.append((kind, name))
                statement = at + 1
            else:
                opened.append(("body", None))  # an initialiser: the statement goes on
        elif sign == "}" and opened:
            _, name = opened.pop()
            if name is not None:
                statement = at + 1
        elif sign == ";" and outside and layout.balanced(text):
            yield from declared(text, opened, code.count("\n", 0, statement) + 1)
            statement = at + 1


def scope(text):
    if NAMESPACE.search(text):
        return "namespace", ""
    found = CLASS.search(text)
    if found and not re.search(r"\benum\b|=", text):
        return "class", found.group(1).split("::")[-1]
    return "body", ""


def class_around(opened):
    return next((name for kind, name in reversed(opened) if kind == "class"), "")


def defined(text, opened, line):
    head = layout.head_of(TEMPLATE_ARGUMENTS.sub("", text))
    if head:
        yield Function(opened, head.group(1), line, body=True, overrides="override" in text)


def declared(text, opened, first):
    def line_of(name):
        return first + text.count("\n", 0, text.find(name))

    plain = " ".join(ACCESS.sub("", TEMPLATE_ARGUMENTS.sub("", text)).split())
    if plain.endswith(("= default", "= delete", "= 0")):  # a body is there, or must not be
        head = layout.head_of(plain.rsplit("=", 1)[0])
        if head:
            yield Function(opened, head.group(1), line_of(head.group(1)), body=True)
        return
    found = DECLARED.match(plain)
    if not found or NO_FUNCTION.search(plain):
        return
    is_constructor = found.group("name").lstrip("~") == class_around(opened)
    if not (found.group("type") or "").strip() and not is_constructor:
        return  # a macro
    name = found.group("name")
    yield Function(opened, name, line_of(name), body=False, overrides="override" in found.group("after"))


def undefined(headers, files):
    """Declarations in these headers to which no body in the files belongs, by class and name."""
    found = {file.path: list(functions(file.code)) for file in files if file.is_cpp}
    classes = {function.owner for each in found.values() for function in each if function.in_class}
    bodies = {(function.owner if function.owner in classes else "", function.name)
              for each in found.values() for function in each if function.body}
    for file in headers:
        for function in found[file.path]:
            if not function.body and (function.owner, function.name) not in bodies:
                yield f"{file.path}:{function.line}: {function.name} is declared and not defined"


def unnamed(headers, files):
    """Functions of these headers whose name stands nowhere but where they are declared and defined."""
    found = {file.path: list(functions(file.code)) for file in files if file.is_cpp}
    own = collections.Counter(function.name for each in found.values() for function in each)
    fixed = {function.name for each in found.values() for function in each
             if function.overrides or function.name.lstrip("~") == function.owner
             or function.name.startswith("operator")}
    words = collections.Counter(word for file in files if file.is_cpp
                                for word in re.findall(r"\w+", file.code))
    for file in headers:
        for function in found[file.path]:
            if function.name not in fixed and words[function.name] <= own[function.name]:
                yield f"{file.path}:{function.line}: nobody calls {function.name}"

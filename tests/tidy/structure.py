# SPDX-License-Identifier: Apache-2.0
"""Who may know whom: includes between folders, circles of modules, friends, memory orders, dead declarations."""

import collections
import os
import re

# What ships. Tests, benchmarks and doubles may reach further.
PRODUCT = ("api", "base", "engine", "gpu", "guest", "mediator", "operations", "ring", "serve", "worker")

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def is_test(path):
    name = os.path.basename(path)
    return path.startswith(("tests/", "bench/")) or "_test." in name or "fake" in path or "harness" in name


def product(files):
    return [file for file in files if file.is_cpp and file.path.split("/")[0] in PRODUCT and not is_test(file.path)]


def module(path):
    """A header and its source are one."""
    return os.path.splitext(path)[0]


def includes(files):
    """module -> modules that it includes, among these files."""
    known = {module(file.path) for file in files}
    graph = {name: set() for name in known}
    for file in files:
        for path in INCLUDE.findall(file.code):
            for candidate in (module(path), module(os.path.join(file.folder, path))):
                if candidate in known and candidate != module(file.path):
                    graph[module(file.path)].add(candidate)
    return graph


def circles(graph):
    """Groups of nodes each of which reaches all others (Tarjan, without recursion)."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []
    for start in sorted(graph):
        work = [(start, iter(sorted(graph[start])))] if start not in index else []
        while work:
            node, edges = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                stack.append(node)
                on_stack.add(node)
            for other in edges:
                if other not in index:
                    work.append((other, iter(sorted(graph[other]))))
                    break
                if other in on_stack:
                    low[node] = min(low[node], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    group = stack[stack.index(node):]
                    del stack[stack.index(node):]
                    on_stack -= set(group)
                    if len(group) > 1:
                        found.append(sorted(group))
    return found


def folders(graph):
    """The same between folders."""
    result = {}
    for name, others in graph.items():
        mine = result.setdefault(os.path.dirname(name), set())
        mine |= {os.path.dirname(other) for other in others} - {os.path.dirname(name)}
    return result


def friends(file):
    for number, line in enumerate(file.code.split("\n"), 1):
        if re.match(r"\s*friend\b", line) and "operator" not in line:
            yield f"{file.path}:{number}: {line.strip()}"


ORDER = re.compile(r"\bmemory_order\w*|\b__ATOMIC_\w+|\batomic_thread_fence\b")


def memory_orders(file):
    for number, line in enumerate(file.code.split("\n"), 1):
        for found in ORDER.findall(line):
            yield f"{file.path}:{number}: {found}"


DECLARED = re.compile(r"^[ \t]*(?!return\b|else\b|throw\b|delete\b|using\b|typedef\b|friend\b|#)"
                      r"(?:[\w:<>,*&\[\]]+[ \t*&]+)+(\w+)\([^;{}=]*\)[^;{}=()]*(?:= 0)?;", re.MULTILINE)


def dead_declarations(files):
    """Functions that a header declares and nobody defines, calls or overrides."""
    words = collections.Counter(word for file in files if file.is_cpp for word in re.findall(r"\w+", file.code))
    for file in files:
        if not file.path.endswith(".h") or file.path.startswith("tests/"):
            continue
        for match in DECLARED.finditer(file.code):
            name = match.group(1)
            if words[name] < 2:
                line = file.code.count("\n", 0, match.start(1)) + 1
                yield f"{file.path}:{line}: {name} is declared and nowhere else"

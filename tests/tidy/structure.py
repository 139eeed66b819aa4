# SPDX-License-Identifier: Apache-2.0
"""Who may know whom: includes between folders, circles of modules, friends, memory orders, reserved names."""

import os
import re

# What ships. Tests, benchmarks and doubles may reach further.
PRODUCT = ("api", "base", "engine", "gpu", "guest", "mediator", "operations", "ring", "serve", "worker")

INCLUDE = re.compile(r'^#include "([^"]+)"', re.MULTILINE)


def is_test(path):
    name = os.path.basename(path)
    named = "_test." in name or name.startswith("test_") or "harness" in name
    return path.startswith(("tests/", "bench/")) or named or "fake" in path


def product(files):
    return [file for file in files if file.is_cpp and file.path.split("/")[0] in PRODUCT
            and not is_test(file.path)]


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


# Which files may spell memory orders and fences, and for what. Everybody else uses what these offer, or the
# default order. A folder ends with a slash.
ORDERS = {
    "base/bus_error_guard.cc": "ranges that a signal handler reads",
    "base/bus_error_guard.h": "the same",
    "base/mapping.cc": "pages that others write to",
    "base/published.h": "numbers that any thread may read",
    "engine/": "the words that mediator, engine and GPU share",
    "gpu/kernels.cu": "the same, on the GPU",
    "guest/host_transport.cc": "the link's state in a region's header",
    "guest/pci_transport.cc": "the same",
    "mediator/gpu/engine_port.cc": "the words that mediator, engine and GPU share",
    "mediator/loop/eventfd.cc": "a queue that the kernel fills",
    "mediator/loop/mailbox.h": "a queue between two threads",
    "ring/": "the words of a ring and of its handshake",
    "serve/journal.h": "what a restart reads",
    "serve/ring_life.cc": "the words of a ring's handshake",
}
ORDER = re.compile(r"\bmemory_order\w*|\b__atomic_\w+|\b__ATOMIC_\w+|\batomic_(?:thread|signal)_fence\b|"
                   r"\b__sync_\w+|\b_mm_[lms]fence\b|\b__threadfence\w*|"
                   r"\b(?:LoadAcquire|StoreRelease|FullFence)\b")


def memory_orders(file):
    if any(file.path == place or place.endswith("/") and file.path.startswith(place) for place in ORDERS):
        return
    for number, line in enumerate(file.code.split("\n"), 1):
        for found in ORDER.findall(line):
            yield f"{file.path}:{number}: {found}"


def orders_unused(files):
    """Places that may spell memory orders and do not: the list is not longer than it must be."""
    for place in ORDERS:
        if not any(file.path.startswith(place) and ORDER.search(file.code) for file in files):
            yield place


# Who may name what lets them change an object that others only read.
RESERVED = {"Placement::Writer": ("mediator/lane/placement.h", "mediator/gpu/placements.h")}


def reserved_names(file):
    for name, places in RESERVED.items():
        if file.path in places:
            continue
        for number, line in enumerate(file.code.split("\n"), 1):
            if re.search(rf"\b{name}\b", line):
                yield f"{file.path}:{number}: {name} is for {places[-1]} alone"

# SPDX-License-Identifier: Apache-2.0
"""Libraries that are built twice: as they ship, and with crash points and mutants (//base:mutant)."""

load("@rules_cc//cc:defs.bzl", "cc_library")

# What has a twin under another rule than "the same name and _crash".
_TWINS = {
    "//base:crash_point": "//base:crash_point_on",
    "//base:mutant": "//base:mutant_on",
}

def twin_library(name, twins = [], deps = [], **kwargs):
    """A cc_library NAME, and NAME_crash for tests only.

    Args:
      name: of what ships.
      twins: dependencies that have a twin.
      deps: the others.
      **kwargs: of both.
    """
    cc_library(name = name, deps = deps + twins, **kwargs)
    cc_library(
        name = name + "_crash",
        testonly = True,
        local_defines = ["VGPU_CRASH_POINTS"],
        deps = deps + [_twin(label) for label in twins],
        **kwargs
    )

def _twin(label):
    if label in _TWINS:
        return _TWINS[label]
    if ":" in label:
        return label + "_crash"
    return label + ":" + label.split("/")[-1] + "_crash"

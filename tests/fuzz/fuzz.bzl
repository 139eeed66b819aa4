# SPDX-License-Identifier: Apache-2.0
"""A fuzz target: replayed by every compiler, searched by clang's libFuzzer."""

def fuzz_target(name, srcs, deps):
    """NAME_replay_test runs the corpus and random inputs; NAME_fuzz searches on.

    To search: mkdir /tmp/found
    bazel run --config=asan //tests/fuzz:NAME_fuzz -- /tmp/found $PWD/tests/fuzz/corpus/NAME
    New inputs go to the first folder.
    """
    native.cc_test(
        name = name + "_replay_test",
        size = "medium",
        srcs = srcs + ["input.h", "replay_test.cc"],
        data = native.glob(["corpus/%s/**" % name]),
        env = {"VGPU_CORPUS": "tests/fuzz/corpus/" + name},
        deps = deps + ["@system//:gtest_main"],
    )
    native.cc_binary(
        name = name + "_fuzz",
        testonly = True,
        srcs = srcs + ["input.h"],
        copts = ["-fsanitize=fuzzer"],
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],  # clang only
        deps = deps,
    )

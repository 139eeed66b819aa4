# SPDX-License-Identifier: Apache-2.0
"""A static library that is whole: Bazel's own hold what one target compiled, without what it depends on."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# One object of everything, so that what is not part of the interface can be hidden: the archive then never
# clashes with a program's own copy of a library. Merged function templates lose their groups first, or the
# linker could throw a hidden one away in favour of the program's. (objcopy hides no unique symbols: they
# become weak ones before.)
_COMMAND = """set -e
"$LD" -r -S --force-group-allocation -o "$OBJECT" --whole-archive "$@"
"$OBJCOPY" $("$NM" "$OBJECT" | awk '$2 == "u" { print "--weaken-symbol=" $3 }') "$OBJECT"
"$OBJCOPY" --wildcard --keep-global-symbol="$KEEP" "$OBJECT"
"$AR" rcsD "$ARCHIVE" "$OBJECT"
"""

def _impl(ctx):
    tools = find_cpp_toolchain(ctx)
    parts = [
        library.pic_static_library or library.static_library
        for dep in ctx.attr.deps
        for linked in dep[CcInfo].linking_context.linker_inputs.to_list()
        for library in linked.libraries
    ]
    object = ctx.actions.declare_file(ctx.label.name + ".o")
    archive = ctx.actions.declare_file(ctx.label.name + ".a")
    ctx.actions.run_shell(
        command = _COMMAND,
        arguments = [part.path for part in parts],
        env = {
            "AR": tools.ar_executable,
            "ARCHIVE": archive.path,
            "KEEP": ctx.attr.keep,
            "LD": tools.ld_executable,
            "NM": tools.nm_executable,
            "OBJCOPY": tools.objcopy_executable,
            "OBJECT": object.path,
        },
        inputs = depset(parts, transitive = [tools.all_files]),
        outputs = [archive, object],
        mnemonic = "WholeArchive",
    )
    return [DefaultInfo(files = depset([archive]))]

whole_archive = rule(
    implementation = _impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "keep": attr.string(doc = "pattern of the symbols that programs see", mandatory = True),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

# SPDX-License-Identifier: Apache-2.0
"""The CUDA toolkit of this machine, if it has one: @cuda//:defs.bzl says so (NVCC is a path, or None)."""

def _cuda_toolkit_impl(repository_ctx):
    home = repository_ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda")
    nvcc = repository_ctx.path(home + "/bin/nvcc")
    version = "none"
    if nvcc.exists:
        said = repository_ctx.execute([str(nvcc), "--version"])
        if said.return_code == 0 and "release " in said.stdout:
            version = said.stdout.split("release ")[1].split(",")[0]
    if version == "none":
        # buildifier: disable=print
        print("no CUDA toolkit at %s: built without GPU code (set CUDA_HOME to change that)" % home)
    found = version != "none"
    repository_ctx.file("BUILD", "")
    repository_ctx.file("defs.bzl", "NVCC = %s\nCUDA_VERSION = %s\n" % (
        repr(str(nvcc)) if found else "None",
        repr(version) if found else "None",
    ))

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    environ = ["CUDA_HOME"],
    local = True,
)

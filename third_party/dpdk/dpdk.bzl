# SPDX-License-Identifier: Apache-2.0
"""DPDK's ring, if it is here: @dpdk//:defs.bzl says so (DPDK_MISSING is None, or what is missing).

Its headers come from the cache of tools/lib/dpdk.sh, since Debian's package of them needs 200 others; its
library is installed like any other.
"""

def _dpdk_impl(repository_ctx):
    environ = repository_ctx.os.environ
    caches = environ.get("XDG_CACHE_HOME") or environ.get("HOME", "") + "/.cache"
    cache = environ.get("VGPU_CACHE") or caches + "/vgpu-ring"
    headers = repository_ctx.path(cache + "/dpdk/usr/include")
    ring_h = repository_ctx.path(cache + "/dpdk/usr/include/dpdk/rte_ring.h")
    library = repository_ctx.path("/usr/lib/x86_64-linux-gnu/librte_ring.so.23")
    missing = [what for what, path in [
        ("its headers (tools/lib/dpdk.sh fetches them)", ring_h),
        ("its library (apt-get install librte-ring23)", library),
    ] if not path.exists]
    if missing:
        # buildifier: disable=print
        print("DPDK lacks %s: benchmarks are built without this rival" % " and ".join(missing))
        repository_ctx.file("BUILD", 'cc_library(name = "ring", visibility = ["//visibility:public"])\n')
    else:
        repository_ctx.symlink(headers, "include")
        repository_ctx.file("BUILD", """
cc_library(
    name = "ring",
    hdrs = glob(["include/**/*.h"]),
    includes = [  # as a system's: with what it warns of
        "include/dpdk",
        "include/x86_64-linux-gnu/dpdk",
    ],
    linkopts = ["-l:librte_ring.so.23"],
    visibility = ["//visibility:public"],
)
""")
    words = repr(" and ".join(missing)) if missing else "None"
    repository_ctx.file("defs.bzl", "DPDK_MISSING = %s\n" % words)

dpdk = repository_rule(
    implementation = _dpdk_impl,
    environ = ["HOME", "VGPU_CACHE", "XDG_CACHE_HOME"],
    local = True,
)

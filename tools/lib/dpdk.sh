#!/bin/bash -p
# SPDX-License-Identifier: Apache-2.0
#
# Fetches DPDK's headers into the cache, where the build finds them (third_party/dpdk), and prints the folder
# that then holds usr/include/dpdk. They are not installed: Debian's package of them depends on 200 others.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

fetch() {
  local dir=$1 work=$1.new
  unpack_packages "$work" "$VGPU_CACHE/dpdk.log" libdpdk-dev
  rm -rf "${work:?}/usr/lib" "${work:?}/usr/share"
  rm -rf "$dir"
  mv "$work" "$dir"
}

main() {
  local dir=$VGPU_CACHE/dpdk
  if [ ! -e "$dir/usr/include/dpdk/rte_ring.h" ]; then
    take_lock dpdk
    [ -e "$dir/usr/include/dpdk/rte_ring.h" ] || fetch "$dir"
  fi
  printf '%s\n' "$dir"
}

main "$@"

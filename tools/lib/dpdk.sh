#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Fetches DPDK's headers into the cache, where the build finds them (third_party/dpdk), and prints the folder that then
# holds usr/include/dpdk. They are not installed: Debian's package of them depends on 200 others.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

fetch() {
  local dir=$1 work=$1.new
  rm -rf "$work"
  mkdir -p "$work"
  note "fetching the headers of libdpdk-dev"
  (cd "$work" && private_apt apt-get -q download libdpdk-dev >"$VGPU_CACHE/dpdk.log" 2>&1) ||
    die "cannot fetch libdpdk-dev (see $VGPU_CACHE/dpdk.log); remove $VGPU_CACHE/apt and try again"
  dpkg -x "$work"/libdpdk-dev_*.deb "$work"
  rm -rf "$work"/*.deb "${work:?}/usr/lib" "${work:?}/usr/share"
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

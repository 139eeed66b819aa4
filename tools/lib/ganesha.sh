#!/bin/bash -p
# SPDX-License-Identifier: Apache-2.0
#
# Fetches the NFS server of the old system (nfs-ganesha) into the cache and prints the folder that then holds
# usr/bin/ganesha.nfsd. It is not installed: Debian's package would start a service for the whole machine.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly PACKAGES=(nfs-ganesha nfs-ganesha-vfs)

fetch() {
  local dir=$1 work=$1.new
  unpack_packages "$work" "$VGPU_CACHE/ganesha.log" "${PACKAGES[@]}"
  rm -rf "$dir"
  mv "$work" "$dir"
}

# The server finds mounted file systems there. Every Debian that has booted has it; a minimal chroot has not.
need_mtab() {
  [ -e /etc/mtab ] || [ ! -w /etc ] || { note "making /etc/mtab" && ln -s ../proc/self/mounts /etc/mtab; }
}

main() {
  local dir=$VGPU_CACHE/ganesha
  need_packages nfs
  need_mtab
  if [ ! -x "$dir/usr/bin/ganesha.nfsd" ]; then
    take_lock ganesha
    [ -x "$dir/usr/bin/ganesha.nfsd" ] || fetch "$dir"
  fi
  printf '%s\n' "$dir"
}

main "$@"

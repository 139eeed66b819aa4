#!/bin/bash -p
# SPDX-License-Identifier: Apache-2.0
#
# Fetches Debian's cloud kernel into the cache, without installing it, and prints the folder that then holds
# boot/vmlinuz-VERSION and lib/modules/VERSION.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/common.sh"

readonly META=linux-image-cloud-amd64

fetch() {
  local dir=$1 work=$1.new package
  package=$(private_apt apt-cache depends "$META" | awk '$1 == "Depends:" && !seen++ { print $2 }')
  [ -n "$package" ] || die "no package $META in this system's archives; remove $VGPU_CACHE/apt and try again"
  unpack_packages "$work" "$VGPU_CACHE/kernel.log" "$package"
  rm -rf "$dir"
  mv "$work" "$dir"
}

main() {
  local dir=$VGPU_CACHE/kernel
  if [ ! -d "$dir/boot" ]; then
    take_lock kernel
    [ -d "$dir/boot" ] || fetch "$dir"
  fi
  printf '%s\n' "$dir"
}

main "$@"

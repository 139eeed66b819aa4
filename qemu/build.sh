#!/bin/bash -p
# SPDX-License-Identifier: Apache-2.0
#
# Builds QEMU with the vgpu-stub device and prints the path of qemu-system-x86_64; qemu-system-i386 lies
# beside it. See qemu/README.md.
#
#   qemu/build.sh                 Debian's QEMU, fetched once and kept in the cache
#   qemu/build.sh --source DIR    the QEMU tree DIR: the device is added to it, the build stays outside of it
#   qemu/build.sh --update        fetch Debian's QEMU anew first
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../tools/lib/common.sh"

readonly HEADERS=(api/codes.h api/window.h ring/abi.h ring/control.h ring/event_idx.h ring/regs.h)
readonly PROGRAMS=(qemu-system-x86_64 qemu-system-i386)
readonly CONFIGURE=("--target-list=x86_64-softmmu,i386-softmmu" --without-default-features --enable-system
  --enable-kvm --enable-tcg --enable-slirp --enable-fdt=system --disable-docs --disable-werror
  --audio-drv-list= --disable-install-blobs)
readonly QEMU_CACHE=$VGPU_CACHE/qemu
readonly KEPT_BUILDS=3

usage() { sed -n '4,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

hash_of() { sha256sum | cut -c 1-16; }

# The files that decide what is built, apart from QEMU's own source.
our_files() {
  printf '%s\n' "$VGPU_ROOT/qemu/build.sh" "$VGPU_ROOT/qemu/trace-events" "$VGPU_ROOT/qemu/vgpu-stub.c" \
    "${HEADERS[@]/#/$VGPU_ROOT/}"
}

build_key() { # SOURCE_ID
  local -a files
  mapfile -t files < <(our_files)
  { echo "$1"; cat -- "${files[@]}"; } | hash_of
}

fetch_debian_source() { # TREE
  local tree=$1 work=$1.new
  rm -rf "$work"
  mkdir -p "$work"
  note "fetching Debian's QEMU source (about 25 MB)"
  (cd "$work" &&
    private_apt apt-get -q source --download-only --only-source qemu >"$QEMU_CACHE/fetch.log" 2>&1) ||
    die "cannot fetch QEMU's source (see $QEMU_CACHE/fetch.log); remove $VGPU_CACHE/apt and try again"
  note "unpacking it"
  # apt-get has checked the archive's signature and sums.
  (cd "$work" && dpkg-source --no-check -x ./*.dsc tree >"$QEMU_CACHE/unpack.log" 2>&1) ||
    die "cannot unpack QEMU's source; see $QEMU_CACHE/unpack.log"
  (cd "$work" && basename ./*.dsc .dsc >tree/.vgpu-source)
  rm -rf "$tree"
  mv "$work/tree" "$tree"
  rm -rf "$work"
}

# put_file FROM TO: copies what differs, and leaves the time of what does not, so that ninja builds only what
# changed.
put_file() {
  cmp -s "$1" "$2" || cp "$1" "$2"
}

# put_block FILE LINES: LINES stand once at the end of FILE, between two marks; FILE is not touched where they
# do.
put_block() {
  local file=$1 begin='# vgpu-stub: begin' end='# vgpu-stub: end' new
  new=$(mktemp)
  { sed "/^$begin\$/,/^$end\$/d" "$file" && printf '%s\n' "$begin" "$2" "$end"; } >"$new"
  put_file "$new" "$file"
  rm -f "$new"
}

add_device() { # TREE
  local tree=$1 header set=system_ss
  [ -f "$tree/hw/misc/meson.build" ] || die "$tree is no QEMU source tree (it has no hw/misc/meson.build)"
  grep -q '^softmmu_ss' "$tree/hw/misc/meson.build" && set=softmmu_ss # QEMU before 8.1
  mkdir -p "$tree/include/hw/misc/vgpu"
  for header in "${HEADERS[@]}"; do
    put_file "$VGPU_ROOT/$header" "$tree/include/hw/misc/vgpu/${header##*/}"
  done
  put_file "$VGPU_ROOT/qemu/vgpu-stub.c" "$tree/hw/misc/vgpu-stub.c"
  put_block "$tree/hw/misc/meson.build" "$set.add(when: 'CONFIG_VGPU_STUB', if_true: files('vgpu-stub.c'))"
  put_block "$tree/hw/misc/Kconfig" "$(printf '%s\n' 'config VGPU_STUB' '    bool' \
    '    default y if PCI_DEVICES' '    depends on PCI && LINUX && MSI_NONBROKEN')"
  put_block "$tree/hw/misc/trace-events" "$(cat "$VGPU_ROOT/qemu/trace-events")"
}

configure() { # TREE BUILD
  local tree=$1 build=$2 key
  key=$({ echo "$tree"; cat "$tree/VERSION"; printf '%s\n' "${CONFIGURE[@]}"; } | hash_of)
  [ "$(cat "$build/.vgpu-configured" 2>/dev/null)" = "$key" ] && [ -f "$build/build.ninja" ] && return 0
  rm -rf "$build"
  mkdir -p "$build"
  run_long "configuring QEMU" "$QEMU_CACHE/configure.log" \
    env -C "$build" nice -n 10 "$tree/configure" "${CONFIGURE[@]}"
  echo "$key" >"$build/.vgpu-configured"
}

compile() { # BUILD
  local build=$1
  note "building QEMU (about 5 minutes on 2 cores the first time, seconds later)"
  run_long "building QEMU" "$QEMU_CACHE/ninja.log" nice -n 10 ninja -C "$build" "${PROGRAMS[@]}"
}

# Copies the programs into DIR in one step, so that DIR is complete or absent, and drops the oldest builds.
publish() { # BUILD DIR
  local build=$1 dir=$2 program
  rm -rf "$dir.new"
  mkdir -p "$dir.new"
  for program in "${PROGRAMS[@]}"; do
    strip --strip-debug -o "$dir.new/$program" "$build/$program"
  done
  rm -rf "$dir"
  mv "$dir.new" "$dir"
  find "$QEMU_CACHE" -maxdepth 1 -name 'bin-*' -printf '%T@ %p\n' | sort -rn | tail -n +$((KEPT_BUILDS + 1)) |
    cut -d ' ' -f 2- | xargs -r rm -rf
}

build_debian() {
  local tree=$QEMU_CACHE/source dir
  if [ -f "$tree/.vgpu-source" ] && [ -z "$update" ]; then
    dir=$QEMU_CACHE/bin-$(build_key "$(cat "$tree/.vgpu-source")")
    if [ -x "$dir/qemu-system-x86_64" ]; then
      printf '%s\n' "$dir/qemu-system-x86_64"
      return
    fi
  fi
  need_packages qemu
  take_lock qemu
  if [ -n "$update" ] || [ ! -f "$tree/.vgpu-source" ]; then
    fetch_debian_source "$tree"
  fi
  build_tree "$tree" "$QEMU_CACHE/build" "$QEMU_CACHE/bin-$(build_key "$(cat "$tree/.vgpu-source")")"
}

build_named() { # SOURCE
  local tree id
  tree=$(cd "$1" 2>/dev/null && pwd) || die "there is no folder $1"
  id=$(echo "$tree" | hash_of)
  need_packages qemu
  take_lock qemu
  build_tree "$tree" "$QEMU_CACHE/build-$id" "$QEMU_CACHE/named-$id"
}

build_tree() { # TREE BUILD DIR
  add_device "$1"
  configure "$1" "$2"
  compile "$2"
  publish "$2" "$3"
  printf '%s\n' "$3/qemu-system-x86_64"
}

main() {
  local source=''
  update=''
  while [ $# -gt 0 ]; do
    case $1 in
      --source) source=${2:?--source needs a folder}; shift 2 ;;
      --update) update=1; shift ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; exit 2 ;;
    esac
  done
  mkdir -p "$QEMU_CACHE"
  if [ -n "$source" ]; then build_named "$source"; else build_debian; fi
}

main "$@"

#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# An old guest that knows only the register page: finds the device by its ids, writes one vector add (two
# parameters) into the window, rings the doorbell, polls STATUS and prints the sum. Uses nothing of this
# project.
set -eu
device=''
for candidate in /sys/bus/pci/devices/*; do
  [ "$(cat "$candidate/vendor")" = 0x1af4 ] && [ "$(cat "$candidate/device")" = 0x1111 ] && device=$candidate
done
[ -n "$device" ] || { echo "no device 1af4:1111"; exit 3; }
echo 1 >"$device/enable"
read -r bar0 rest <"$device/resource"

reg() { devmem $((bar0 + $1)) 32 ${2:+"$2"}; }
number() { printf '%d' "$1"; }

[ "$(number "$(reg 0x020)")" = 65536 ] || { echo "PROTOCOL_VER is $(reg 0x020)"; exit 4; }
[ "$(number "$(reg 0x024)")" = 1 ] || { echo "CAPABILITIES is $(reg 0x024)"; exit 4; }

off=0x040
for word in 0x00010000 1 0 2 0 0 0 0 "$1" "$2"; do
  reg "$off" "$word"
  off=$((off + 4))
done
reg 0x018 40
reg 0x000 1
status=1
while [ "$status" = 1 ]; do
  status=$(number "$(reg 0x004)")
done
[ "$status" = 2 ] || { echo "STATUS $status, ERROR_CODE $(reg 0x014)"; exit 1; }
echo "sum $(number "$(reg 0x460)"), ring_caps $(number "$(reg 0x840)")"

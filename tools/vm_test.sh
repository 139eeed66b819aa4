#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tools/vm in real VMs, without the device: what it passes through, and how it fails.
set -euo pipefail

# shellcheck source=tools/lib/shell_tests.sh
. tools/lib/shell_tests.sh

readonly TESTS=(passes_streams_and_status_through passes_any_byte_and_a_mebibyte passes_arguments_unchanged
  streams_live_and_ends_by_signal ends_with_what_the_command_left_running reports_failures_of_the_vm
  refuses_bad_input)
if [ -z "${VGPU_QEMU:-}" ] || [ -z "${VGPU_KERNEL:-}" ]; then
  skip_tests "VGPU_QEMU and VGPU_KERNEL are not set; run tools/test" "${TESTS[@]}"
fi

readonly VM=$PWD/tools/vm
cd "$(mktemp -d)"
trap 'end_tests; rm -rf "$PWD"' EXIT

fail() {
  echo "FAILED: $*" >&2
  tail -n 20 out err >&2
  exit 1
}

# run STATUS ARGUMENT...: tools/vm must end with STATUS; its output is in ./out and ./err.
run() {
  local want=$1 status=0
  shift
  "$VM" "$@" >out 2>err || status=$?
  [ "$status" = "$want" ] || fail "status $status instead of $want: tools/vm $*"
}

says() { grep -qF -- "$2" "$1" || fail "'$2' is not in $1"; }

passes_streams_and_status_through() {
  # Reopening /dev/stderr is what a shell script does; the channels must allow it.
  # shellcheck disable=SC2016  # for the guest's shell
  run 7 --no-device -- sh -c 'echo "to $0"; echo one >&2; echo two >/dev/stderr; exit 7' out
  cmp out <(echo 'to out') || fail "stdout is not the command's alone"
  cmp err <(printf 'one\ntwo\n') || fail "stderr is not the command's alone"
}

passes_any_byte_and_a_mebibyte() {
  head -c 1048576 /dev/urandom >bytes
  run 0 --no-device --copy bytes -- cat bytes
  cmp out bytes || fail "the guest's bytes arrived changed"
}

passes_arguments_unchanged() {
  local odd=$'a "b" \'c\' $HOME\n* \\'
  run 0 --no-device -- printf '%s|' "$odd" '' -x
  cmp out <(printf '%s|' "$odd" '' -x) || fail "the arguments arrived changed"
}

streams_live_and_ends_by_signal() {
  local child qemu status=0
  mkfifo live
  "$VM" --no-device --qemu-arg=-pidfile --qemu-arg="$PWD/pid" -- sh -c 'echo ready; sleep 1000' >live 2>err &
  child=$!
  read -r line <live
  [ "$line" = ready ] || fail "the first line is '$line'"
  qemu=$(cat pid)
  kill -TERM "$child"
  wait "$child" || status=$?
  [ "$status" = 143 ] || fail "status $status after SIGTERM"
  ! kill -0 "$qemu" 2>/dev/null || fail "QEMU outlived tools/vm"
}

ends_with_what_the_command_left_running() {
  run 0 --no-device -- sh -c 'sleep 1000 & echo done'
  says out 'done'
}

reports_failures_of_the_vm() {
  run 127 --no-device -- /no/such/program
  run 125 --no-device -- sh -c 'echo c >/proc/sysrq-trigger; sleep 1000'
  says err "kernel panicked"
  run 125 --no-device -- poweroff -f
  says err "switched off before COMMAND ended"
  run 125 --no-device --qemu-arg=-no-such-option -- true
  says err "invalid option"
  run 125 --no-device --boot-timeout 0.01 -- true
  says err "did not start within"
}

refuses_bad_input() {
  run 125 --socket "$PWD/none.sock" -- true
  says err "no mediator answers at $PWD/none.sock"
  run 125 --no-device
  says err "no COMMAND given"
  run 125 --no-device --copy /no/such/file -- true
  says err "cannot read /no/such/file"
  run 125 --no-device --qemu /no/such/qemu -- true
  says err "cannot start /no/such/qemu"
  run 125 --no-device --module no_such -- true
  says err "no module no_such"
  VGPU_ACCEL=abacus run 125 --no-device -- true
  says err "VGPU_ACCEL is 'abacus'"
}

run_tests "${TESTS[@]}"

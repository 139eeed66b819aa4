# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the scripts of tools/ share. Source it; it sets these variables:
#   VGPU_ROOT   the checkout
#   VGPU_CACHE  what is fetched and built once, outside the checkout (given by the user, or under ~/.cache)
# and takes out of the environment what would change the meaning of a script, here and in the programs that it
# starts. (A script that begins with `bash -p` has not read BASH_ENV, nor functions, nor SHELLOPTS of the
# environment.)
# Progress and errors go to stderr, so that stdout carries a script's result alone.

unset BASH_ENV CDPATH ENV GLOBIGNORE GREP_OPTIONS LANGUAGE POSIXLY_CORRECT TAR_OPTIONS
export LC_ALL=C.UTF-8 # what apt and others print is read
[ -n "${HOME:-}" ] || { unset HOME && export HOME=~; }

VGPU_ROOT=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
VGPU_CACHE=$(realpath -ms -- "${VGPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vgpu-ring}")
export VGPU_CACHE # a script that is started from another folder has the same

note() { printf '== %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# need_bazel: before a script does anything else that takes a while.
need_bazel() {
  [[ $VGPU_ROOT != *' '* ]] ||
    die "Bazel does not work in a folder with a space in its name; move the checkout: $VGPU_ROOT"
}

# need_packages PURPOSE...: the Debian packages listed in tools/lib/deps/PURPOSE are installed afterwards.
# Installs only what is missing, and only as root; anyone else is told the command.
need_packages() {
  local -a wanted missing
  local package
  command -v dpkg-query >/dev/null || die "this needs a Debian 12 system (dpkg-query is not there)"
  mapfile -t wanted < <(cd "$VGPU_ROOT/tools/lib/deps" && sed -e '/^#/d' -e '/^$/d' -- "$@" | sort -u)
  mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}") \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
      sed -n 's/^installed //p' | sort -u))
  [ "${#missing[@]}" -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    die "packages are missing; run: sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  note "installing ${#missing[@]} packages: ${missing[*]}"
  install_packages "${missing[@]}"
  for package in "${missing[@]}"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      die "apt-get did not install $package; run: apt-get install $package"
  done
}

install_packages() {
  local -a apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  export DEBIAN_FRONTEND=noninteractive
  mkdir -p "$VGPU_CACHE"
  run_long "apt-get update" "$VGPU_CACHE/apt.log" "${apt[@]}" update
  run_long "apt-get install" "$VGPU_CACHE/apt.log" "${apt[@]}" install --no-install-recommends "$@"
}

# run_long WHAT LOG COMMAND...: runs COMMAND with its output in LOG and a line of progress every 20 s; shows
# the end of LOG and exits when COMMAND fails. An interrupt ends COMMAND too.
run_long() {
  local what=$1 log=$2 began=$SECONDS shown=$SECONDS child status=0
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  child=$!
  # shellcheck disable=SC2064  # the child of now
  trap "kill $child 2>/dev/null; wait $child; exit 130" INT TERM
  while kill -0 "$child" 2>/dev/null; do
    sleep 0.2
    if ((SECONDS - shown >= 20)); then
      shown=$SECONDS
      note "$what: $((SECONDS - began)) s, $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-90)"
    fi
  done
  wait "$child" || status=$?
  trap - INT TERM
  [ "$status" = 0 ] && return 0
  tail -n 30 "$log" >&2
  die "$what failed (status $status); the whole log is $log"
}

# A fresh clone builds nothing that another clone has built already.
bazel_cache() { printf -- '--disk_cache=%s\n' "$VGPU_CACHE/bazel"; }

# take_lock NAME: waits for every other script that holds this lock of the cache. It ends with the calling
# script.
take_lock() {
  local file=$VGPU_CACHE/$1.lock lock
  mkdir -p "$VGPU_CACHE"
  exec {lock}>"$file"
  if ! flock -n "$lock"; then
    note "waiting for another run, which holds $file"
    flock "$lock"
  fi
}

# private_apt COMMAND ARG...: apt with package lists of our own, with the sources (deb-src) of the system's
# own archives enabled. Works without root, and touches none of the system's lists. Call it in a subshell: it
# takes a lock.
private_apt() {
  local dir=$VGPU_CACHE/apt
  take_lock apt
  if [ ! -e "$dir/ready" ]; then
    make_private_apt "$dir"
    run_long "apt-get update (private lists, with sources)" "$dir/update.log" \
      env "APT_CONFIG=$dir/apt.conf" apt-get -q update
    touch "$dir/ready"
  fi
  APT_CONFIG="$dir/apt.conf" "$@"
}

# unpack_packages DIR LOG PACKAGE...: downloads packages of Debian's and unpacks them in DIR, which is made
# anew. Nothing is installed.
unpack_packages() {
  local dir=$1 log=$2 package
  shift 2
  rm -rf "$dir"
  mkdir -p "$dir"
  note "fetching $*"
  (cd "$dir" && private_apt apt-get -q download "$@" >"$log" 2>&1) ||
    die "cannot fetch $* (see $log); remove $VGPU_CACHE/apt and try again"
  for package in "$dir"/*.deb; do
    dpkg -x "$package" "$dir"
    rm -f "$package"
  done
}

make_private_apt() {
  local dir=$1 file
  rm -rf "$dir"
  mkdir -p "$dir/sources.list.d" "$dir/lists/partial" "$dir/cache/archives/partial"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] && sed 's/^Types:.*/Types: deb deb-src/' "$file" >"$dir/sources.list.d/${file##*/}"
  done
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] &&
      sed -n 's/^deb[[:space:]]\(.*\)/deb \1\ndeb-src \1/p' "$file" >"$dir/sources.list.d/${file##*/}"
  done
  [ -e "$dir/sources.list.d/sources.list" ] &&
    mv "$dir/sources.list.d/sources.list" "$dir/sources.list.d/main.list"
  cat >"$dir/apt.conf" <<CONF
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$dir/sources.list.d";
Dir::State::lists "$dir/lists";
Dir::Cache "$dir/cache";
APT::Sandbox::User "root";
CONF
}

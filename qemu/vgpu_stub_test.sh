#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the device's test where Python is; it says itself what else it lacks.
set -euo pipefail
if ! command -v python3 >/dev/null; then
  echo "SKIPPED: there is no python3; install the package python3"
  exit 0
fi
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/vgpu_stub_test.py" "$@"

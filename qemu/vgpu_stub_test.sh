#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs the device's test where Python is; it says itself what else it lacks.
set -euo pipefail
if ! command -v python3 >/dev/null; then
  . tools/lib/shell_tests.sh
  skip_tests "there is no python3; install the package python3" vgpu_stub_test
fi
exec python3 -B "$(dirname "${BASH_SOURCE[0]}")/vgpu_stub_test.py" "$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles device code and writes it as C++ (gpu/kernels.h): OUT NVCC VERSION SOURCE OPTION... Without NVCC:
# an empty image.
set -euo pipefail
out=$1 nvcc=$2 version=$3 source=$4
shift 4
{
  echo '#include "gpu/kernels.h"'
  echo 'namespace vgpu::gpu {'
  if [ -n "$nvcc" ]; then
    image=$(mktemp)
    trap 'rm -f "$image"' EXIT
    "$nvcc" -std=c++17 -I. -Werror all-warnings --fatbin "$@" "$source" -o "$image" >&2
    echo 'alignas(16) const unsigned char kKernels[] = {'
    od -An -v -tx1 "$image" | sed 's/ \(..\)/0x\1,/g'
    echo '};'
    echo 'const size_t kKernelsBytes = sizeof kKernels;'
    echo "const int kKernelsVersion = $((${version%.*} * 1000 + ${version#*.} * 10));"
  else
    echo 'const unsigned char kKernels[] = {0};'
    echo 'const size_t kKernelsBytes = 0;'
    echo 'const int kKernelsVersion = 0;'
  fi
  echo '}  // namespace vgpu::gpu'
} >"$out"

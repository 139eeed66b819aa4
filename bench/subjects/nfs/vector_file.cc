// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/vector_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <stdexcept>

#include "bench/subjects/nfs/text_file.h"

namespace vgpu::bench::nfs {

void WriteWhole(int file, const std::string& path, const void* from, size_t bytes) {
  const auto* next = static_cast<const char*>(from);
  for (size_t done = 0; done < bytes;) {
    const ssize_t put = pwrite(file, next + done, bytes - done, static_cast<off_t>(done));
    if (put < 0) Fail("cannot write " + path);
    done += static_cast<size_t>(put);
  }
}

void ReadWhole(int file, const std::string& path, void* to, size_t bytes) {
  auto* next = static_cast<char*>(to);
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = pread(file, next + done, bytes - done, static_cast<off_t>(done));
    if (got < 0) Fail("cannot read " + path);
    if (got == 0) throw std::runtime_error(fmt::format("{} has {} bytes instead of {}", path, done, bytes));
    done += static_cast<size_t>(got);
  }
}

void Sync(int file, const std::string& path) {
  if (fsync(file) != 0) Fail("cannot write " + path);
}

}  // namespace vgpu::bench::nfs

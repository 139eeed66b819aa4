// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/text_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"

namespace vgpu::bench::nfs {

void Fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

base::UniqueFd Open(const std::string& path, int flags) {
  base::UniqueFd file(open(path.c_str(), flags | O_CLOEXEC, 0666));
  if (!file) Fail("cannot open " + path);
  return file;
}

void WriteLine(const std::string& path, const std::string& line) {
  WriteLine(Open(path, O_WRONLY | O_CREAT | O_TRUNC).get(), path, line);
}

std::string ReadLine(const std::string& path) { return ReadLine(Open(path, O_RDONLY).get(), path); }

void Empty(const std::string& path) { Open(path, O_WRONLY | O_CREAT | O_TRUNC); }

void WriteLine(int file, const std::string& path, const std::string& line) {
  if (pwrite(file, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()))
    Fail("cannot write " + path);
  if (fsync(file) != 0) Fail("cannot write " + path);
}

std::string ReadLine(int file, const std::string& path) {
  std::array<char, 256> bytes;
  const ssize_t got = pread(file, bytes.data(), bytes.size(), 0);
  if (got < 0) Fail("cannot read " + path);
  std::string line(bytes.data(), static_cast<size_t>(got));
  return line.ends_with('\n') ? line : "";
}

}  // namespace vgpu::bench::nfs

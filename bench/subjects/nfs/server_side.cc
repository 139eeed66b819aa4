// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/server_side.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "bench/subjects/nfs/text_file.h"
#include "bench/subjects/nfs/vector_file.h"

namespace vgpu::bench::nfs {

namespace fs = std::filesystem;

std::string ServerSide::PathOf(uint32_t vm_id, const char* file) const {
  return fmt::format("{}/vm{}/{}", folder_, vm_id, file);
}

void ServerSide::Poll() {
  std::vector<std::pair<fs::file_time_type, Request>> found;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const auto vm_id = VmIdOf(entry.path().filename().string());
    if (!vm_id) continue;
    const std::string path = PathOf(*vm_id, kRequestFile);
    std::error_code none;
    const fs::file_time_type written = fs::last_write_time(path, none);
    if (none) continue;
    const std::string line = ReadLine(path);
    if (line.empty()) continue;
    Empty(path);
    if (const auto request = ParseRequest(line, *vm_id)) {
      found.emplace_back(written, *request);
    } else {
      WriteLine(PathOf(*vm_id, kResponseFile), fmt::format("ERROR: {}\n", request.error()));
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [written, request] : found) queue_.Push(request);
}

bool ServerSide::ServeOne() {
  const auto request = queue_.Pop();
  if (!request) return false;
  WriteLine(PathOf(request->vm_id, kResponseFile), Compute(*request));
  return true;
}

std::string ServerSide::Compute(const Request& request) {
  if (request.vector == 0) return fmt::format("{}\n", request.sum());
  try {
    AddVectors(request);
    return fmt::format("{}\n", request.vector);
  } catch (const std::exception& error) {
    return fmt::format("ERROR: {}\n", error.what());
  }
}

// Through memory of its own, not mapped: a guest may cut a file short at any time.
void ServerSide::AddVectors(const Request& request) {
  const size_t bytes = request.vector * sizeof(uint32_t);
  for (const auto& [name, operand] : {std::pair(kFileOfA, &a_), std::pair(kFileOfB, &b_)}) {
    operand->resize(std::max<size_t>(operand->size(), request.vector));
    const std::string path = PathOf(request.vm_id, name);
    ReadWhole(Open(path, O_RDONLY).get(), name, operand->data(), bytes);
  }
  for (uint64_t i = 0; i < request.vector; ++i) a_[i] += b_[i];
  const std::string path = PathOf(request.vm_id, kFileOfSums);
  WriteWhole(Open(path, O_WRONLY | O_CREAT).get(), path, a_.data(), bytes);
}

}  // namespace vgpu::bench::nfs

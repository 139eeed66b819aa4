// SPDX-License-Identifier: Apache-2.0
#include "bench/subjects/nfs/mount.h"

#include <sstream>

namespace vgpu::bench::nfs {
namespace {

bool Contains(const std::string& point, const std::string& folder) {
  return point == "/" || folder == point || folder.starts_with(point + "/");
}

}  // namespace

std::string MountOf(const std::string& folder, const std::string& mounts) {
  std::istringstream lines(mounts);
  std::string best;
  size_t longest = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string device, point;
    words >> device >> point;
    if (!Contains(point, folder) || point.size() < longest) continue;  // a later one hides an earlier one
    longest = point.size();
    best = line;
  }
  return best;
}

}  // namespace vgpu::bench::nfs

// SPDX-License-Identifier: Apache-2.0
// For tests: a folder that ends with its test. In /tmp, because a socket's path is at most 107 bytes long and
// Bazel's own folders are deeper than that.
#ifndef VGPU_GUEST_TEMP_FOLDER_H_
#define VGPU_GUEST_TEMP_FOLDER_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace vgpu::guest {

class TempFolder {
 public:
  TempFolder() {
    std::string name = "/tmp/vgpu-test-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_TEMP_FOLDER_H_

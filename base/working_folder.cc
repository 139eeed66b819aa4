// SPDX-License-Identifier: Apache-2.0
#include "base/working_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace vgpu::base {

bool EnterUsersFolder() {
  constexpr char kVariable[] = "BUILD_WORKING_DIRECTORY";
  const char* value = getenv(kVariable);
  if (value == nullptr) return true;
  const std::string folder = value;  // unsetenv takes it away
  unsetenv(kVariable);
  if (folder.empty() || chdir(folder.c_str()) == 0) return true;
  std::fprintf(stderr,
               "cannot enter %s (%s), the folder in which `bazel run` was called according to %s; call it "
               "from another folder, or unset the variable\n",
               folder.c_str(), std::strerror(errno), kVariable);
  return false;
}

}  // namespace vgpu::base

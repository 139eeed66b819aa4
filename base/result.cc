// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace vgpu::base {

tl::unexpected<std::string> SystemError(const char* what) {
  return tl::make_unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
}

}  // namespace vgpu::base

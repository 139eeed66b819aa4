// SPDX-License-Identifier: Apache-2.0
// What the commands of vgpuctl share. A command is a function here and a line in vgpuctl.cc's table.
#ifndef VGPU_TOOLS_CTL_H_
#define VGPU_TOOLS_CTL_H_

#include <cstdint>
#include <string>

#include "guest/error.h"

namespace vgpu::ctl {

using guest::Error;
using guest::Result;

struct Arguments {
  std::string socket;
  bool json = false;
  std::string trace;  // file
  uint32_t vm_id = 0;
};

// Each runs one command and prints its result.
Result<void> Status(const Arguments& arguments);
Result<void> PrintTrace(const Arguments& arguments);
Result<void> Quarantine(const Arguments& arguments);
Result<void> Release(const Arguments& arguments);

}  // namespace vgpu::ctl

#endif  // VGPU_TOOLS_CTL_H_

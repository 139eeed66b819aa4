// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_BASE_CLI_EXIT_H_
#define VGPU_BASE_CLI_EXIT_H_

namespace vgpu::cli {

// What all programs mean by their exit status; a program may have more.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;    // the command line is wrong: nothing was done
inline constexpr int kExitNobody = 3;   // nobody to ask: no device, no mediator, or no permission for it
inline constexpr int kExitTimeout = 4;  // no answer in time

}  // namespace vgpu::cli

#endif  // VGPU_BASE_CLI_EXIT_H_

// SPDX-License-Identifier: Apache-2.0
// Checks before the start what the daemon needs of the system. Then a sandbox that refuses a call is named at
// once, and does not show later as a loop that never sleeps, or as a refusal with another cause.
#ifndef VGPU_MEDIATOR_PROCESS_SYSTEM_CHECK_H_
#define VGPU_MEDIATOR_PROCESS_SYSTEM_CHECK_H_

#include "base/result.h"

namespace vgpu::mediator {

base::Result<void> CheckSystem();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_PROCESS_SYSTEM_CHECK_H_

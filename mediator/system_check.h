// SPDX-License-Identifier: Apache-2.0
// What the daemon needs of the system, looked at before it starts: a sandbox that refuses a call is named at once, not met
// later as a loop that never sleeps or a refusal with another cause.
#ifndef VGPU_MEDIATOR_SYSTEM_CHECK_H_
#define VGPU_MEDIATOR_SYSTEM_CHECK_H_

#include "base/result.h"


namespace vgpu::mediator {

base::Result<void> CheckSystem();

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_SYSTEM_CHECK_H_

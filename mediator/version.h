// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_MEDIATOR_VERSION_H_
#define VGPU_MEDIATOR_VERSION_H_

#include "base/version.h"

namespace vgpu::mediator {

using base::kVersion;

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_VERSION_H_

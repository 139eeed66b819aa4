// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_MEDIATOR_VERSION_H_
#define VGPU_MEDIATOR_VERSION_H_

namespace vgpu::mediator {

inline constexpr char kVersion[] = "0.1.0";  // the topmost release of CHANGELOG.md

}  // namespace vgpu::mediator

#endif  // VGPU_MEDIATOR_VERSION_H_

// SPDX-License-Identifier: Apache-2.0
#ifndef VGPU_BASE_VERSION_H_
#define VGPU_BASE_VERSION_H_

namespace vgpu::base {

inline constexpr char kVersion[] = "0.1.0";  // of every program: the topmost release of CHANGELOG.md

}  // namespace vgpu::base

#endif  // VGPU_BASE_VERSION_H_

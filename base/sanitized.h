// SPDX-License-Identifier: Apache-2.0
// Is this a sanitizer's build? It is slower, and has memory, threads and descriptors of its own: a test that
// measures those says that it is skipped.
#ifndef VGPU_BASE_SANITIZED_H_
#define VGPU_BASE_SANITIZED_H_

#ifndef __has_feature  // clang's
#define __has_feature(feature) 0
#endif

namespace vgpu::base {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace vgpu::base

#endif  // VGPU_BASE_SANITIZED_H_

// SPDX-License-Identifier: Apache-2.0
// For tests: how often this program has allocated. Linking it replaces the global operator new.
#ifndef VGPU_GUEST_ALLOCATION_COUNTER_H_
#define VGPU_GUEST_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace vgpu::guest {

// Any thread.
uint64_t AllocationCount();

// Not under ThreadSanitizer, which has operators of its own.
bool AllocationsAreCounted();

}  // namespace vgpu::guest

#endif  // VGPU_GUEST_ALLOCATION_COUNTER_H_

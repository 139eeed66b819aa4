/* SPDX-License-Identifier: Apache-2.0 */
/* The event-index formula: the one place that decides whether a sleeper must be woken. C11 and C++20. */
#ifndef VGPU_RING_EVENT_IDX_H_
#define VGPU_RING_EVENT_IDX_H_

#include <stdint.h>

/*
 * The peer asked to be woken when the count passes `event`. The count has just gone from `old_idx` to
 * `new_idx` (free-running, modulo 2^32, at most 2^31 apart). Nonzero if `event` lies in [old_idx, new_idx).
 * The unsigned differences make it right across the wrap.
 */
static inline int vgpu_need_event(uint32_t event, uint32_t new_idx, uint32_t old_idx) {
  return (uint32_t)(new_idx - event - 1u) < (uint32_t)(new_idx - old_idx);
}

#endif /* VGPU_RING_EVENT_IDX_H_ */

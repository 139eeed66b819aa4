/* SPDX-License-Identifier: Apache-2.0 */
/* The wire's headers as C11: that this compiles is half of the test; abi_test.cc compares with C++. */
#include "ring/abi_c_test.h"
#include "api/device_info.h"

#include "ring/abi.h"
#include "ring/control.h"
#include "ring/event_idx.h"
#include "ring/regs.h"

const struct vgpu_c_sizes vgpu_c_sizes = {
    .slot = sizeof(struct vgpu_slot),
    .ring_control = sizeof(struct vgpu_ring_control),
    .region_header = sizeof(struct vgpu_region_header),
    .device_info = sizeof(struct vgpu_device_info),
    .journal = sizeof(struct vgpu_journal),
    .private_header = sizeof(struct vgpu_private_header),
    .msg_header = sizeof(struct vgpu_msg_header),
    .msg_hello = sizeof(struct vgpu_msg_hello),
    .msg_attach = sizeof(struct vgpu_msg_attach),
    .msg_ring = sizeof(struct vgpu_msg_ring),
    .msg_grant = sizeof(struct vgpu_msg_grant),
    .msg_state = sizeof(struct vgpu_msg_state),
    .msg_error = sizeof(struct vgpu_msg_error),
    .window_request = sizeof(struct vgpu_window_request),
    .window_response = sizeof(struct vgpu_window_response),
};

uint32_t vgpu_c_tag(uint32_t epoch, uint32_t idx, uint32_t entries_log2) {
  return vgpu_tag(epoch, idx, entries_log2);
}

int vgpu_c_need_event(uint32_t event, uint32_t new_idx, uint32_t old_idx) {
  return vgpu_need_event(event, new_idx, old_idx);
}

int vgpu_c_layout_make(uint64_t region_bytes, uint32_t ring_count, uint32_t entries,
                       struct vgpu_layout* out) {
  return vgpu_layout_make(region_bytes, ring_count, entries, out);
}

void vgpu_c_rings_piece(const struct vgpu_layout* layout, uint32_t ring, struct vgpu_rings_piece* out) {
  *out = vgpu_rings_piece_of(layout, ring);
}

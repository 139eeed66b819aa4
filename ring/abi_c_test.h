/* SPDX-License-Identifier: Apache-2.0 */
/* What abi_c_test.c, compiled as C11, sees of the wire. */
#ifndef VGPU_RING_ABI_C_TEST_H_
#define VGPU_RING_ABI_C_TEST_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vgpu_layout;

struct vgpu_c_sizes {
  size_t slot, ring_control, region_header, device_info, journal, private_header;
  size_t msg_header, msg_hello, msg_attach, msg_ring, msg_grant, msg_state, msg_error;
  size_t window_request, window_response;
};

extern const struct vgpu_c_sizes vgpu_c_sizes;
uint32_t vgpu_c_tag(uint32_t epoch, uint32_t idx, uint32_t entries_log2);
int vgpu_c_need_event(uint32_t event, uint32_t new_idx, uint32_t old_idx);
struct vgpu_rings_piece;
void vgpu_c_rings_piece(const struct vgpu_layout* layout, uint32_t ring, struct vgpu_rings_piece* out);
int vgpu_c_layout_make(uint64_t region_bytes, uint32_t ring_count, uint32_t entries, struct vgpu_layout* out);

#ifdef __cplusplus
}
#endif

#endif /* VGPU_RING_ABI_C_TEST_H_ */

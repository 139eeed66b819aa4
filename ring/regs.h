/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device as a guest sees it: PCI identity, BAR0 registers, and the register window's messages. C11 and
 * C++20. docs/spec/registers.md is the page for people; qemu/vgpu-stub.c implements it.
 */
#ifndef VGPU_RING_REGS_H_
#define VGPU_RING_REGS_H_

#include <stdint.h>

#include "abi.h"

#define VGPU_PCI_VENDOR_ID 0x1af4u
#define VGPU_PCI_DEVICE_ID 0x1111u
#define VGPU_PCI_CLASS 0x1200u /* processing accelerator */
#define VGPU_PCI_REVISION 0x03u

#define VGPU_BAR_REGS 0u
#define VGPU_BAR_REGION 2u
#define VGPU_BAR_MSIX 4u /* BAR2 is 64 bits wide and takes BAR3 too */
#define VGPU_BAR0_BYTES 0x10000u

/* Page 0: 32-bit registers. */
#define VGPU_REG_DOORBELL 0x000u
#define VGPU_REG_STATUS 0x004u
#define VGPU_REG_POOL_ID 0x008u
#define VGPU_REG_PRIORITY 0x00cu
#define VGPU_REG_VM_ID 0x010u
#define VGPU_REG_ERROR_CODE 0x014u
#define VGPU_REG_REQUEST_LEN 0x018u
#define VGPU_REG_RESPONSE_LEN 0x01cu
#define VGPU_REG_PROTOCOL_VER 0x020u
#define VGPU_REG_CAPABILITIES 0x024u
#define VGPU_REG_INTERRUPT_CTRL 0x028u
#define VGPU_REG_INTERRUPT_STATUS 0x02cu
#define VGPU_REG_REQUEST_ID 0x030u
#define VGPU_REG_TIMESTAMP_LO 0x034u
#define VGPU_REG_TIMESTAMP_HI 0x038u
#define VGPU_REG_SCRATCH 0x03cu
#define VGPU_REG_REQUEST_BUF 0x040u
#define VGPU_REG_RESPONSE_BUF 0x440u
#define VGPU_REG_RING_CAPS 0x840u
#define VGPU_REG_RING_COUNT 0x844u
#define VGPU_REG_RING_STATE 0x848u
#define VGPU_REG_REFUSAL \
  0x84cu /* VGPU_ERR_* of the last refusal; 0: none since the last grant, or an older device */

/* Page 1 + q: the first word kicks ring q. */
#define VGPU_DOORBELL_PAGE_BYTES 0x1000u
#define VGPU_DOORBELL_OFF(q) ((1u + (q)) * VGPU_DOORBELL_PAGE_BYTES)

#define VGPU_STATUS_IDLE 0u
#define VGPU_STATUS_BUSY 1u
#define VGPU_STATUS_DONE 2u
#define VGPU_STATUS_ERROR 3u

#define VGPU_CAPABILITIES_WINDOW 1u
#define VGPU_RING_CAPS_RING 1u
#define VGPU_RING_CAPS_INTERRUPTS 2u

#define VGPU_RING_STATE_NO_MEDIATOR 0u
#define VGPU_RING_STATE_ATTACHED 1u
#define VGPU_RING_STATE_FENCED 2u
#define VGPU_RING_STATE_QUARANTINED 3u

/* MSI-X: vector 0 is the register window and "state changed", vector 1 + q the completions of ring q. */
#define VGPU_VECTOR_WINDOW 0u
#define VGPU_VECTOR_RING(q) (1u + (q))

/* ---- the register window's messages ---- */

#define VGPU_WINDOW_VERSION 0x00010000u

#define VGPU_WINDOW_OP_NOP 0u
#define VGPU_WINDOW_OP_VECTOR_ADD 1u /* two params in, one result out: the sum */
#define VGPU_WINDOW_OP_ALLOC 2u      /* 2, 3, 4 and 6 are reserved: code 8 */
#define VGPU_WINDOW_OP_FREE 3u
#define VGPU_WINDOW_OP_COPY 4u
#define VGPU_WINDOW_OP_DEVICE_INFO 5u
#define VGPU_WINDOW_OP_SYNCHRONIZE 6u

/* Followed by param_count u32, then by data. data_offset counts from the start of the message. */
struct vgpu_window_request {
  uint32_t version;
  uint32_t opcode;
  uint32_t flags;
  uint32_t param_count;
  uint32_t data_offset;
  uint32_t data_length;
  uint32_t reserved[2];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_window_request) == 32, "wire");

/* Followed by result_count u32, then by data. */
struct vgpu_window_response {
  uint32_t version;
  uint32_t status; /* VGPU_OK or VGPU_ERR_* */
  uint32_t result_count;
  uint32_t data_offset;
  uint32_t data_length;
  uint32_t exec_time_us;
  uint32_t reserved[2];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_window_response) == 32, "wire");

#endif /* VGPU_RING_REGS_H_ */

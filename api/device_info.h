/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest may know of where its requests run. C11 and C++20. */
#ifndef VGPU_API_DEVICE_INFO_H_
#define VGPU_API_DEVICE_INFO_H_

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* arg[0] = arena offset, arg[1] = room in bytes; done.data = bytes written */
#define VGPU_OP_DEVICE_INFO 5u

#define VGPU_BACKEND_CPU 0u
#define VGPU_BACKEND_CUDA 1u

/* What DEVICE_INFO writes. Strings end with a zero byte. */
struct vgpu_device_info {
  uint32_t abi_version;
  uint32_t backend; /* VGPU_BACKEND_* */
  uint32_t vm_id;
  uint32_t pool;         /* ASCII 'A' or 'B', as granted */
  uint32_t priority;     /* 0 low, 1 medium, 2 high, as granted */
  uint32_t entries;      /* slots of each ring */
  uint64_t memory_bytes; /* of the GPU; of the host on the CPU backend */
  uint64_t vector_max;   /* no VECTOR_ADD can have more elements; of 8 bytes, half as many */
  char name[96];         /* of the GPU, or of the CPU */
  char driver[64];       /* the version of the GPU's driver; "none" on the CPU backend */
  uint64_t pad[7];
};
static_assert(sizeof(struct vgpu_device_info) == 256, "wire");
static_assert(offsetof(struct vgpu_device_info, memory_bytes) == 24, "wire");
static_assert(offsetof(struct vgpu_device_info, name) == 40, "wire");
static_assert(offsetof(struct vgpu_device_info, driver) == 136, "wire");

#endif /* VGPU_API_DEVICE_INFO_H_ */

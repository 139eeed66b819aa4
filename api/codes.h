/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a request ended: in slots, in the register window, on the control socket and in the C library alike. A
 * slot has 8 bits for it. docs/spec/operations.md says what to do about each. C11 and C++20.
 *
 * 5 and 10 are reserved: nothing in this release sends them.
 */
#ifndef VGPU_API_CODES_H_
#define VGPU_API_CODES_H_

#define VGPU_OK 0u
#define VGPU_ERR_INVALID_REQUEST 1u
#define VGPU_ERR_TOO_LARGE 2u
#define VGPU_ERR_UNAVAILABLE 3u
#define VGPU_ERR_TIMEOUT 4u
#define VGPU_ERR_CUDA 5u
#define VGPU_ERR_INVALID_POOL 6u
#define VGPU_ERR_QUEUE_FULL 7u
#define VGPU_ERR_UNSUPPORTED 8u
#define VGPU_ERR_INVALID_LENGTH 9u
#define VGPU_ERR_RATE_LIMITED 10u
#define VGPU_ERR_QUARANTINED 11u
#define VGPU_ERR_INTERRUPTED 12u
#define VGPU_ERR_FENCED 13u
#define VGPU_ERR_RESET 14u
#define VGPU_ERR_CANCELLED 15u

#endif /* VGPU_API_CODES_H_ */

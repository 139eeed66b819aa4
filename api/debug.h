/* SPDX-License-Identifier: Apache-2.0 */
/* What breaks a GPU, for tests: builds that ship refuse these as unknown. C11 and C++20. */
#ifndef VGPU_API_DEBUG_H_
#define VGPU_API_DEBUG_H_

#define VGPU_OP_DEBUG_FAULT 0x1eu /* an illegal address on the GPU */
#define VGPU_OP_DEBUG_HANG 0x1fu  /* never ends on the GPU */

#endif /* VGPU_API_DEBUG_H_ */

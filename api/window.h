/* SPDX-License-Identifier: Apache-2.0 */
/* The register window's request, in the window ring only: a message of ring/regs.h. C11 and C++20. */
#ifndef VGPU_API_WINDOW_H_
#define VGPU_API_WINDOW_H_

#define VGPU_OP_WINDOW 0x100u /* window ring only: arg[0] = request bytes; done.data = response bytes */

#endif /* VGPU_API_WINDOW_H_ */

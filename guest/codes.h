/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes that arise in the guest itself and never travel: above the 8 bits that a slot has for one. The others
 * are in api/codes.h. C11 and C++20.
 */
#ifndef VGPU_GUEST_CODES_H_
#define VGPU_GUEST_CODES_H_

#define VGPU_ERR_NO_DEVICE 0x100u     /* no vgpu-stub in this machine */
#define VGPU_ERR_NO_PERMISSION 0x101u /* it is there, but this user may not open it */
#define VGPU_ERR_RING_BUSY 0x102u     /* another process owns the ring */
#define VGPU_ERR_VERSION 0x103u       /* device, region or mediator speak another version */
#define VGPU_ERR_BAD_ARGUMENT 0x104u  /* the caller's mistake; nothing was sent */
#define VGPU_ERR_NO_ARENA 0x105u      /* no room for this buffer in the ring's arena */
#define VGPU_ERR_SYSTEM 0x106u        /* the operating system refused something; the text says what */
#define VGPU_ERR_DEVICE_GONE 0x107u   /* the device no longer answers: unplugged, or not decoded */

#endif /* VGPU_GUEST_CODES_H_ */

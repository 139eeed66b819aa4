/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vgpu-ring for C programs: open a ring, submit, poll, wait, keep buffers in the arena. C11 and C++20.
 *
 *   struct vgpu_options options = VGPU_OPTIONS_INIT;
 *   struct vgpu_handle *vgpu;
 *   int32_t sum;
 *   char why[256];
 *   if (vgpu_open(&options, &vgpu, why, sizeof why) != VGPU_OK) { fprintf(stderr, "%s\n", why); exit(1); }
 *   if (vgpu_add(vgpu, 100, 200, &sum) != VGPU_OK) fprintf(stderr, "%s\n", vgpu_last_error(vgpu));
 *   vgpu_close(vgpu);
 *
 * Every function that returns int returns VGPU_OK, or VGPU_ERR_* of api/codes.h and guest/codes.h (both are
 * part of the installed header); vgpu_poll also VGPU_PENDING. Threads: a handle is used by one thread at a
 * time, without locks inside; different handles are independent. vgpu_strerror may be called from anywhere.
 * No function is for signal handlers.
 */
#ifndef VGPU_GUEST_VGPU_H_
#define VGPU_GUEST_VGPU_H_

#include <stddef.h>
#include <stdint.h>

#include "api/codes.h"
#include "api/device_info.h"
#include "api/vector.h"
#include "guest/codes.h"
#include "ring/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VGPU_PENDING (-1)

/* An open ring. */
struct vgpu_handle;

struct vgpu_options {
  const char* device;  /* PCI address; NULL: $VGPU_DEVICE, else the first vgpu-stub */
  const char* socket;  /* the mediator's control socket: act as a guest from the host; NULL: use the device */
  uint32_t ring;       /* which ring, from 0 */
  uint32_t timeout_ms; /* for opening, and for the calls below that have no time of their own */
  uint32_t vm_id;      /* with a socket only; 0: the process's id */
  uint32_t pool;       /* with a socket only; 'A' or 'B' */
  uint32_t priority;   /* with a socket only; 0 low, 1 medium, 2 high */
};
#define VGPU_OPTIONS_INIT \
  { NULL, NULL, 0, 5000, 0, 'A', 1 }

/* Opens a ring. On failure *out is NULL, and `why` (unless NULL) gets the cause and the remedy in words. */
int vgpu_open(const struct vgpu_options* options, struct vgpu_handle** out, char* why, size_t why_bytes);

/* Closes the ring and frees everything that came from it. Outstanding requests are finished or cancelled.
 * NULL is allowed. Takes at most options.timeout_ms. */
void vgpu_close(struct vgpu_handle* vgpu);

/* Stages a request; *idx is how to ask for its answer. It is sent by the next vgpu_flush or vgpu_wait.
 * VGPU_ERR_QUEUE_FULL: take answers first. VGPU_ERR_BAD_ARGUMENT: more than VGPU_SLOT_ARGS arguments. */
int vgpu_submit(struct vgpu_handle* vgpu, uint32_t opcode, uint32_t type, const uint64_t* args, uint32_t n,
                uint32_t* idx);

/* Sends what is staged, together. Never blocks. */
void vgpu_flush(struct vgpu_handle* vgpu);

/* VGPU_PENDING: no answer yet. Else the answer's code, and its small result in *data (unless NULL).
 * Each answer is given once. Never blocks. */
int vgpu_poll(struct vgpu_handle* vgpu, uint32_t idx, uint32_t* data);

/* Sends what is staged, then waits for the answer for at most `timeout_ns`; as vgpu_poll otherwise. A request
 * whose wait ended with VGPU_ERR_TIMEOUT is still outstanding: vgpu_last_error tells that from an answer. */
int vgpu_wait(struct vgpu_handle* vgpu, uint32_t idx, uint64_t timeout_ns, uint32_t* data);

/* A buffer in the ring's arena, aligned to 64 bytes: its address here, and the offset that requests name. */
int vgpu_alloc(struct vgpu_handle* vgpu, uint64_t bytes, void** data, uint64_t* offset);

/* Frees the buffer at `offset`. No outstanding request may name it. */
int vgpu_free(struct vgpu_handle* vgpu, uint64_t offset);

/* Whole calls: submit, wait, take. */
int vgpu_add(struct vgpu_handle* vgpu, int32_t a, int32_t b, int32_t* sum);
int vgpu_vector_add(struct vgpu_handle* vgpu, uint32_t type, uint64_t count, uint64_t a_off, uint64_t b_off,
                    uint64_t c_off);
int vgpu_info(struct vgpu_handle* vgpu, struct vgpu_device_info* info);

/* Why the last call on this handle that failed did so: cause and remedy. "" before the first. Valid until the
 * next call on the handle. */
const char* vgpu_last_error(const struct vgpu_handle* vgpu);

/* What a code means, and what to do next. Static. */
const char* vgpu_strerror(int code);

#ifdef __cplusplus
}
#endif

#endif /* VGPU_GUEST_VGPU_H_ */

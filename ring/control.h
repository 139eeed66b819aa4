/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a Unix stream socket on which the owner of a region (QEMU, or a host process) attaches
 * it to the mediator, and an operator asks for status. Messages are a header and `size` bytes; descriptors
 * travel by SCM_RIGHTS with any byte of their message. Little-endian. C11 and C++20. docs/spec/control.md
 * explains it.
 *
 * Owner:     HELLO, ATTACH, RING x ring_count, START             later RESET, DETACH
 * Mediator:  HELLO                                 GRANT or ERROR  later STATE, RESET_DONE
 * Operator:  HELLO, STATUS          Mediator: HELLO, STATUS_REPLY
 *            HELLO, QUARANTINE or RELEASE      HELLO, DONE
 *
 * After ERROR the mediator closes the connection. Nothing of an attach lasts longer than its connection.
 */
#ifndef VGPU_RING_CONTROL_H_
#define VGPU_RING_CONTROL_H_

#include <stdint.h>

#include "abi.h"

#define VGPU_CONTROL_MAGIC 0x54434756u /* "VGCT" in memory order */
#define VGPU_CONTROL_VERSION 1u
#define VGPU_CONTROL_PAYLOAD_MAX 4096u            /* bytes, of every message but STATUS_REPLY */
#define VGPU_CONTROL_STATUS_BYTES_MAX (16u << 20) /* bytes of a STATUS_REPLY */
#define VGPU_CONTROL_FDS_MAX 5u                   /* descriptors of one message */

#define VGPU_MSG_HELLO 1u /* vgpu_msg_hello, both ways; first on every connection */
/* vgpu_msg_attach; descriptors: private file, window kick and call; if ring_count > 0, region, rings file */
#define VGPU_MSG_ATTACH 2u
#define VGPU_MSG_RING 3u  /* vgpu_msg_ring; descriptors: kick, call */
#define VGPU_MSG_START 4u /* empty */
#define VGPU_MSG_GRANT 5u /* vgpu_msg_grant */
/*
 * vgpu_msg_state: where the session stands. Sent after GRANT if it is fenced, when it becomes fenced or
 * quarantined, and when a RESET is done, before RESET_DONE (of one that came before START: not). The
 * connection stays.
 */
#define VGPU_MSG_STATE 6u
/* empty: the device was reset. The mediator cancels everything and closes all rings but the window ring. */
#define VGPU_MSG_RESET 7u
#define VGPU_MSG_RESET_DONE 8u    /* empty: nothing of before the reset is in flight any more */
#define VGPU_MSG_DETACH 9u        /* empty; the mediator closes the connection when the region is unmapped */
#define VGPU_MSG_STATUS 10u       /* empty */
#define VGPU_MSG_STATUS_REPLY 11u /* JSON text, UTF-8, no zero byte at the end */
#define VGPU_MSG_ERROR 12u        /* vgpu_msg_error */
#define VGPU_MSG_QUARANTINE 13u   /* vgpu_msg_vm: fences this VM and keeps it out until it is released */
#define VGPU_MSG_RELEASE 14u      /* vgpu_msg_vm: ends that, and forgets the VM's stalls */
#define VGPU_MSG_DONE 15u         /* empty: QUARANTINE or RELEASE is carried out */

struct vgpu_msg_header {
  uint32_t magic;
  uint16_t version; /* VGPU_CONTROL_VERSION */
  uint16_t type;    /* VGPU_MSG_* */
  uint32_t size;    /* bytes after this header */
  uint32_t reserved;
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_header) == 16, "wire");

#define VGPU_ROLE_DEVICE 0u  /* QEMU */
#define VGPU_ROLE_PROCESS 1u /* a host process that acts as a guest */
#define VGPU_ROLE_OPERATOR 2u

struct vgpu_msg_hello {
  uint32_t abi_version; /* VGPU_ABI_VERSION */
  uint32_t role;        /* VGPU_ROLE_*; the mediator answers 0 */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_hello) == 8, "wire");

struct vgpu_msg_attach {
  uint32_t vm_id;
  uint32_t pool;       /* ASCII */
  uint32_t priority;   /* 0 low, 1 medium, 2 high */
  uint32_t ring_count; /* 0: no region (ring=off); the window ring is always there */
  uint32_t entries;    /* of each ring; 0 with ring_count 0 */
  uint32_t reserved;
  uint64_t region_bytes; /* 0 with ring_count 0 */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_attach) == 32, "wire");

struct vgpu_msg_ring {
  uint32_t ring;
  uint32_t reserved;
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_ring) == 8, "wire");

/* What the owner asked for is a claim; this is what it got. */
struct vgpu_msg_grant {
  uint32_t vm_id;
  uint32_t pool;
  uint32_t priority;
  uint32_t reserved;
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_grant) == 16, "wire");

struct vgpu_msg_state {
  uint32_t ring_state; /* VGPU_RING_STATE_* */
  uint32_t code;       /* VGPU_ERR_* */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_state) == 8, "wire");

struct vgpu_msg_vm {
  uint32_t vm_id;
  uint32_t reserved;
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_vm) == 8, "wire");

struct vgpu_msg_error {
  uint32_t code; /* VGPU_ERR_* */
  uint32_t reserved;
  char text[248]; /* cause and remedy, ends with a zero byte */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_msg_error) == 256, "wire");

#endif /* VGPU_RING_CONTROL_H_ */

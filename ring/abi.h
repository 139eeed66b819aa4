/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire: what a guest and the mediator share, byte for byte. C11 and C++20.
 *
 * All values are little-endian. Every word that crosses a CPU, VM or GPU border is an aligned 8-byte
 * word that carries 32 bits of data (low half) and 32 bits of sequence (high half), or is payload
 * that is followed by a release store of such a word. Each word has one writer; words of different
 * writers never share a 128-byte line, except inside a slot, which is handed back and forth.
 *
 * docs/spec/ring.md explains the protocol; ring/memory.h the ordering.
 */
#ifndef VGPU_RING_ABI_H_
#define VGPU_RING_ABI_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define VGPU_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define VGPU_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#define VGPU_REGION_MAGIC 0x31474e5255504756ull  /* "VGPURNG1" in memory order */
#define VGPU_PRIVATE_MAGIC 0x3156495250475056ull /* "VPGPRIV1" in memory order */
#define VGPU_ABI_VERSION 0x00010000u             /* major << 16 | minor; a new major is another wire */

#define VGPU_PAGE_BYTES 4096u
#define VGPU_LINE_BYTES 128u /* two cache lines: the adjacent-line prefetcher pairs them */
#define VGPU_RINGS_MAX 8u
#define VGPU_ENTRIES_MIN 2u
#define VGPU_ENTRIES_MAX 4096u
#define VGPU_ENTRIES_DEFAULT 256u
#define VGPU_REGION_BYTES_MIN (64u << 10)
#define VGPU_REGION_BYTES_MAX (64ull << 30)

/* ---- words: 32 bits of data, 32 bits of sequence ---- */

static inline uint64_t vgpu_word(uint32_t data, uint32_t seq) { return (uint64_t)seq << 32 | data; }
static inline uint32_t vgpu_word_data(uint64_t word) { return (uint32_t)word; }
static inline uint32_t vgpu_word_seq(uint64_t word) { return (uint32_t)(word >> 32); }

/*
 * The tag of a request: which epoch and which lap around the ring it belongs to, in 24 bits. Zeroed memory
 * holds no valid tag, because the low byte of an epoch is never 0 (vgpu_epoch_next). A slot is used once a
 * lap, so a tag tells apart 65,536 uses of one slot, and 255 epochs.
 */
static inline uint32_t vgpu_tag(uint32_t epoch, uint32_t idx, uint32_t entries_log2) {
  return (epoch & 0xffu) << 16 | ((idx >> entries_log2) & 0xffffu);
}
static inline uint32_t vgpu_epoch_next(uint32_t epoch) {
  ++epoch;
  return (epoch & 0xffu) ? epoch : epoch + 1;
}

/* ---- slot: one cache line, request and response in place ---- */

/*
 * submit (guest writes): data = opcode (16 bits) | type (8 bits) | zero (8 bits); seq = tag << 8 | zero (8).
 * done (mediator or GPU writes): data = the small result; seq = tag << 8 | code (8 bits).
 * The guest fills arg[] first and stores submit with release order; the responder stores a vector's payload
 * first and done with release order. Both fields carry the tag of the same request.
 */
struct vgpu_slot {
  uint64_t submit;
  uint64_t done;
  uint64_t arg[6];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_slot) == 64, "a slot is one cache line");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_slot, done) == 8, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_slot, arg) == 16, "wire");

#define VGPU_SLOT_ARGS 6u

static inline uint64_t vgpu_submit_word(uint32_t opcode, uint32_t type, uint32_t tag) {
  return vgpu_word((opcode & 0xffffu) | (type & 0xffu) << 16, tag << 8);
}
static inline uint64_t vgpu_done_word(uint32_t data, uint32_t tag, uint32_t code) {
  return vgpu_word(data, tag << 8 | (code & 0xffu));
}
static inline uint32_t vgpu_submit_tag(uint64_t submit) { return (uint32_t)(submit >> 40); }
static inline uint32_t vgpu_done_tag(uint64_t done) { return (uint32_t)(done >> 40); }
static inline uint32_t vgpu_done_code(uint64_t done) { return (uint32_t)(done >> 32) & 0xffu; }

/* ---- ring control: one writer per line ---- */

/* The data half of epoch_req and epoch_ack. */
#define VGPU_EPOCH_CLOSED 0u
#define VGPU_EPOCH_OPEN 1u
#define VGPU_EPOCH_FENCED 2u /* epoch_ack only: the mediator ended this session (code 13) */

struct vgpu_ring_control {
  uint64_t epoch_req; /* guest: seq = epoch, data = VGPU_EPOCH_OPEN or _CLOSED; always followed by a kick */
  uint64_t pad0[15];
  uint64_t call_event; /* guest: data = completions it has reaped, seq = epoch: "call me at the next one" */
  uint64_t pad1[15];
  uint64_t epoch_ack; /* mediator: the last epoch_req that it carried out */
  uint64_t pad2[15];
  uint64_t kick_event; /* mediator: data = index it waits for, seq = epoch: "kick me for this one" */
  uint64_t pad3[15];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_ring_control) == 4 * VGPU_LINE_BYTES, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_ring_control, call_event) == 128, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_ring_control, epoch_ack) == 256, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_ring_control, kick_event) == 384, "wire");

#define VGPU_SLOTS_OFF 512u /* from the start of a ring */

/* ---- region header: page 0 of BAR2 ---- */

/* Who owns the region (QEMU, or a host process) fills this once, before anybody else sees it. */
struct vgpu_region_header {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t header_bytes; /* sizeof(struct vgpu_region_header) */
  uint64_t region_bytes;
  uint32_t ring_count;
  uint32_t entries;     /* slots of each ring, a power of two */
  uint64_t ring_off;    /* of ring 0, from the start of the region */
  uint64_t ring_stride; /* from one ring to the next; a ring is this long */
  uint64_t slots_off;   /* from the start of a ring */
  uint64_t arena_off;   /* from the start of a ring */
  uint64_t arena_bytes;
  uint64_t features; /* none yet: 0 */
  uint64_t pad0[6];
  uint64_t link_state; /* owner: data = VGPU_RING_STATE_*, seq = how many times it changed */
  uint64_t pad1[15];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_region_header) == 256, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_region_header, region_bytes) == 16, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_region_header, ring_off) == 32, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_region_header, features) == 72, "wire");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_region_header, link_state) == 128, "wire");

/* ---- layout: the one place that turns sizes into offsets ---- */

struct vgpu_layout {
  uint64_t region_bytes;
  uint64_t ring_off;
  uint64_t ring_stride;
  uint64_t arena_off; /* from the start of a ring */
  uint64_t arena_bytes;
  uint32_t ring_count;
  uint32_t entries;
};

static inline uint64_t vgpu_round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/* Returns 0, or -1 when the sizes do not make a region (a size that is no power of two or out of range, too
 * many rings or entries, rings that do not fit). Nothing of *out is valid then. */
static inline int vgpu_layout_make(uint64_t region_bytes, uint32_t ring_count, uint32_t entries,
                                   struct vgpu_layout* out) {
  if (region_bytes < VGPU_REGION_BYTES_MIN || region_bytes > VGPU_REGION_BYTES_MAX ||
      (region_bytes & (region_bytes - 1)) != 0) {
    return -1;
  }
  if (ring_count < 1 || ring_count > VGPU_RINGS_MAX) {
    return -1;
  }
  if (entries < VGPU_ENTRIES_MIN || entries > VGPU_ENTRIES_MAX || (entries & (entries - 1)) != 0) {
    return -1;
  }
  out->region_bytes = region_bytes;
  out->ring_count = ring_count;
  out->entries = entries;
  out->ring_off = VGPU_PAGE_BYTES;
  out->ring_stride = (region_bytes - VGPU_PAGE_BYTES) / ring_count / VGPU_PAGE_BYTES * VGPU_PAGE_BYTES;
  out->arena_off =
      vgpu_round_up(VGPU_SLOTS_OFF + (uint64_t)entries * sizeof(struct vgpu_slot), VGPU_PAGE_BYTES);
  if (out->ring_stride < out->arena_off + VGPU_PAGE_BYTES) {
    return -1;
  }
  out->arena_bytes = out->ring_stride - out->arena_off;
  return 0;
}

/* Fills the header of a fresh, zeroed region. */
static inline void vgpu_region_header_fill(struct vgpu_region_header* header,
                                           const struct vgpu_layout* layout) {
  header->magic = VGPU_REGION_MAGIC;
  header->abi_version = VGPU_ABI_VERSION;
  header->header_bytes = (uint32_t)sizeof(struct vgpu_region_header);
  header->region_bytes = layout->region_bytes;
  header->ring_count = layout->ring_count;
  header->entries = layout->entries;
  header->ring_off = layout->ring_off;
  header->ring_stride = layout->ring_stride;
  header->slots_off = VGPU_SLOTS_OFF;
  header->arena_off = layout->arena_off;
  header->arena_bytes = layout->arena_bytes;
  header->features = 0;
}

/* ---- the rings file: what of a region is not arena ---- */

/*
 * The owner keeps page 0 of the region and the ring pages (control lines and slots) in a small sealed memfd
 * of their own, and lays it over the region's mapping, part by part. Every process that maps the region does
 * the same. Then a hole that is punched into the region's file stalls nobody who reads ring lines. The
 * mapping looks the same with and without it.
 *
 * A part is the pages of one ring; that of ring 0 begins with page 0. The parts lie in the file one after
 * another.
 */
struct vgpu_rings_piece {
  uint64_t file_off;
  uint64_t region_off;
  uint64_t bytes;
};

/* Part `ring` of layout->ring_count. */
static inline struct vgpu_rings_piece vgpu_rings_piece_of(const struct vgpu_layout* layout, uint32_t ring) {
  struct vgpu_rings_piece piece;
  if (ring == 0) {
    piece.file_off = 0;
    piece.region_off = 0;
    piece.bytes = layout->ring_off + layout->arena_off;
  } else {
    piece.file_off = layout->ring_off + ring * layout->arena_off;
    piece.region_off = layout->ring_off + ring * layout->ring_stride;
    piece.bytes = layout->arena_off;
  }
  return piece;
}

static inline uint64_t vgpu_rings_bytes(const struct vgpu_layout* layout) {
  return layout->ring_off + layout->ring_count * layout->arena_off;
}

/* Of 8 rings of 4096 slots. */
#define VGPU_RINGS_BYTES_MAX                                                                             \
  (VGPU_PAGE_BYTES + VGPU_RINGS_MAX * ((VGPU_SLOTS_OFF + VGPU_ENTRIES_MAX * 64u + VGPU_PAGE_BYTES - 1) / \
                                       VGPU_PAGE_BYTES * VGPU_PAGE_BYTES))

/* ---- the private file: window ring and journal; the guest never sees it ---- */

/*
 * The owner of the region makes this second sealed memfd of VGPU_PRIVATE_BYTES, zeroed but for the header,
 * and sends it at every attach. The window ring lets QEMU submit the register window's requests; each of its
 * slots has a request and a response buffer of VGPU_WINDOW_BUF_BYTES in the ring's arena, at
 * slot * 2 * VGPU_WINDOW_BUF_BYTES and one buffer later. The journal is memory of the mediator, and outlives
 * it.
 */
#define VGPU_WINDOW_ENTRIES 8u
#define VGPU_WINDOW_BUF_BYTES 1024u
#define VGPU_WINDOW_RING_OFF 4096u
#define VGPU_WINDOW_ARENA_OFF 4096u /* from the start of the window ring */
#define VGPU_WINDOW_ARENA_BYTES (VGPU_WINDOW_ENTRIES * 2u * VGPU_WINDOW_BUF_BYTES)
#define VGPU_WINDOW_RING_BYTES (VGPU_WINDOW_ARENA_OFF + VGPU_WINDOW_ARENA_BYTES)
#define VGPU_WINDOW_EPOCH 1u /* the window ring is opened once, with this epoch, when the file is made */
#define VGPU_JOURNAL_OFF 32768u
#define VGPU_JOURNAL_STRIDE 20480u
#define VGPU_PRIVATE_BYTES (256u << 10)

struct vgpu_private_header {
  uint64_t magic; /* VGPU_PRIVATE_MAGIC */
  uint32_t abi_version;
  uint32_t bytes; /* VGPU_PRIVATE_BYTES */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_private_header) == 16, "wire");

/* Journal of one ring; index VGPU_RINGS_MAX is the window ring's. Only the mediator writes it. */
struct vgpu_journal {
  uint64_t epoch; /* as epoch_ack */
  uint32_t cons;  /* next index to take from the ring */
  uint32_t pad0[13];
  uint32_t
      started[VGPU_ENTRIES_MAX]; /* tag << 8 | 1: this slot's request, not harmless to repeat, has begun */
};
VGPU_STATIC_ASSERT(offsetof(struct vgpu_journal, started) == 64, "wire");
VGPU_STATIC_ASSERT(sizeof(struct vgpu_journal) <= VGPU_JOURNAL_STRIDE, "fits its stride");
VGPU_STATIC_ASSERT(VGPU_WINDOW_RING_OFF + VGPU_WINDOW_RING_BYTES <= VGPU_JOURNAL_OFF,
                   "fits before the journal");
VGPU_STATIC_ASSERT(VGPU_JOURNAL_OFF + (VGPU_RINGS_MAX + 1) * VGPU_JOURNAL_STRIDE <= VGPU_PRIVATE_BYTES,
                   "fits the file");
VGPU_STATIC_ASSERT(VGPU_SLOTS_OFF + VGPU_WINDOW_ENTRIES * sizeof(struct vgpu_slot) <= VGPU_WINDOW_ARENA_OFF,
                   "slots end before the arena");

/* Fills a fresh, zeroed private file: its header, and the request to open the window ring. */
static inline void vgpu_private_fill(void* file) {
  struct vgpu_private_header* header = (struct vgpu_private_header*)file;
  struct vgpu_ring_control* window = (struct vgpu_ring_control*)((char*)file + VGPU_WINDOW_RING_OFF);
  header->magic = VGPU_PRIVATE_MAGIC;
  header->abi_version = VGPU_ABI_VERSION;
  header->bytes = VGPU_PRIVATE_BYTES;
  window->epoch_req = vgpu_word(VGPU_EPOCH_OPEN, VGPU_WINDOW_EPOCH);
}

#endif /* VGPU_RING_ABI_H_ */

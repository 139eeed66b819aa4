/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vgpu-stub: a PCI device that gives a guest rings to the host's vgpu-ring mediator.
 *
 * BAR0 holds the control registers and one doorbell page per ring, BAR2 is the memory
 * that holds the rings, BAR4 has the MSI-X vectors. The device owns the memory and the
 * eventfds and hands them to the mediator over a Unix socket, at every attach; after that
 * neither kicks, requests nor answers pass through QEMU. Only the register window does:
 * for it QEMU is the producer of a small ring in a private file.
 *
 * docs/spec/registers.md is the guest's view; the headers in hw/misc/vgpu/ are the words on
 * the wire. All but the thread that makes memory present runs under the big QEMU lock, and
 * nothing waits under it.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitops.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/event_notifier.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/memfd.h"
#include "qemu/module.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qemu/accel.h"
#include "chardev/char.h"
#include "chardev/char-fe.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_bus.h"
#include "hw/pci/pcie.h"
#include "migration/blocker.h"
#include "trace.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "hw/misc/vgpu/abi.h"
#include "hw/misc/vgpu/codes.h"
#include "hw/misc/vgpu/control.h"
#include "hw/misc/vgpu/regs.h"
#include "hw/misc/vgpu/window.h"

/* One source for QEMU 7.2 to 11: what moved or changed its signature in between. */
#if __has_include("system/kvm.h")
#include "system/hostmem.h"
#include "system/kvm.h"
#include "system/tcg.h"
#include "system/xen.h"
#else
#include "sysemu/hostmem.h"
#include "sysemu/kvm.h"
#include "sysemu/tcg.h"
#include "sysemu/xen.h"
#endif
#if __has_include("hw/core/boards.h")
#include "hw/core/boards.h"
#else
#include "hw/boards.h"
#endif
#if __has_include("hw/pci/pci_device.h")
#include "hw/pci/pci_device.h"
#endif
#if __has_include("hw/core/qdev-properties.h")
#include "hw/core/qdev-properties.h"
#include "hw/core/qdev-properties-system.h"
#else
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#endif

#define VGPU_QEMU_AT_LEAST(major, minor)                                                 \
    (QEMU_VERSION_MAJOR > (major) ||                                                     \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

#if VGPU_QEMU_AT_LEAST(10, 2)
typedef CharFrontend VgpuChardev;
#else
typedef CharBackend VgpuChardev;
#endif
#if VGPU_QEMU_AT_LEAST(10, 1)
#define VGPU_CLASS_DATA const void
#else
#define VGPU_CLASS_DATA void
#endif
#if VGPU_QEMU_AT_LEAST(10, 0)
#define VGPU_PROPERTY const Property
#else
#define VGPU_PROPERTY Property
#endif
#if !VGPU_QEMU_AT_LEAST(9, 2)
#define device_class_set_legacy_reset(dc, handler) ((dc)->reset = (handler))
#endif
#ifndef kvm_ioeventfd_any_length_enabled
#define kvm_ioeventfd_any_length_enabled() (true) /* newer QEMU requires it of KVM */
#endif

#if HOST_BIG_ENDIAN
#error "vgpu-stub: the rings are little-endian, this host is big-endian"
#endif

#define TYPE_VGPU_STUB "vgpu-stub"
OBJECT_DECLARE_SIMPLE_TYPE(VgpuStub, VGPU_STUB)

#define VGPU_REGION_DEFAULT_BYTES (16 * MiB)
#define VGPU_REGION_SEALS         (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
/* Memory is made present in pieces; between them the thread that does it can be stopped. */
#define VGPU_PRESENT_PIECE_BYTES (4 * MiB)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
/* A VM that is refused asks again, less and less often. */
#define VGPU_RETRY_MIN_MS 500
#define VGPU_RETRY_MAX_MS 10000
/* Different reports between two grants; what comes after them is not worth a log. */
#define VGPU_REPORTS_MAX 32
/* The longest message that a mediator sends to us. */
#define VGPU_RX_BYTES (sizeof(struct vgpu_msg_header) + sizeof(struct vgpu_msg_error))

/* How far the attach to the mediator has come. */
typedef enum VgpuLink {
    VGPU_LINK_DOWN,    /* no connection */
    VGPU_LINK_DROPPED, /* given up by us, closed at the next turn of the main loop */
    VGPU_LINK_HELLO,   /* HELLO sent, the mediator's is awaited */
    VGPU_LINK_MEMORY,  /* the memory is made present; nothing is awaited */
    VGPU_LINK_GRANT,   /* everything sent, GRANT is awaited */
    VGPU_LINK_UP,
} VgpuLink;

typedef struct VgpuRing {
    VgpuStub *dev;
    unsigned q;
    EventNotifier kick; /* guest to mediator: written by KVM or by BAR0's handler */
    EventNotifier call; /* mediator to guest: read by KVM or by the main loop */
    int virq;           /* KVM route of this ring's vector, or -1 */
    bool irqfd;         /* call is bound to virq */
} VgpuRing;

struct VgpuStub {
    PCIDevice parent_obj;

    /* properties */
    VgpuChardev chr;
    HostMemoryBackend *memdev;
    uint64_t size;
    uint32_t vm_id;
    uint32_t rings_wanted;
    uint32_t entries;
    char *pool_id;
    char *priority;
    OnOffAuto ring;
    uint16_t vendor_id;
    uint16_t device_id;

    /* what they ask the mediator for, and what it granted (until then: what is asked for) */
    struct vgpu_msg_attach claim;
    struct vgpu_msg_grant granted;

    /* BAR0 */
    MemoryRegion bar0;
    MemoryRegion regs;
    MemoryRegion doorbells;

    /* BAR2; no region and no rings with ring=off */
    MemoryRegion own_region;
    MemoryRegion *region;
    int rings_fd;     /* the rings file, which lies over the region; -1: none */
    struct vgpu_layout layout;
    VgpuRing rings[VGPU_RINGS_MAX];
    unsigned ring_count;

    /* registers */
    uint32_t status;
    uint32_t error_code;
    uint32_t request_len;
    uint32_t response_len;
    uint32_t interrupt_ctrl;
    uint32_t interrupt_status;
    uint32_t request_id;
    uint32_t scratch;
    uint32_t ring_state;
    uint64_t timestamp_us;
    bool raising; /* an interrupt message is on its way */
    uint8_t request[VGPU_WINDOW_BUF_BYTES];
    uint8_t response[VGPU_WINDOW_BUF_BYTES];

    /* the window ring, in the private file */
    int private_fd;
    uint8_t *private_map;
    EventNotifier window_kick;
    EventNotifier window_call;
    uint32_t window_prod; /* free-running index of the next request */
    uint32_t window_tag;  /* of the request in flight, while BUSY */
    uint32_t window_tags[VGPU_WINDOW_ENTRIES]; /* of each slot's last request, or 0 */

    /* the control socket */
    VgpuLink link;
    QEMUBH *drop_bh;
    uint32_t link_changes; /* sequence of the header's link_state */
    bool reset_unanswered; /* RESET sent, no RESET_DONE yet */
    bool reset_due;        /* another RESET is to be sent as soon as it may be */
    GHashTable *reports;   /* what was said since the last grant */
    uint32_t refusal;      /* code of the last refusal; VGPU_OK: none since the last grant */
    uint32_t refusals;     /* in a row */
    int64_t retry_ms;      /* a connection before this time is not used */
    uint32_t rx_bytes;
    uint8_t rx[VGPU_RX_BYTES] QEMU_ALIGNED(8);

    /* the thread that makes the memory present before an attach */
    QemuThread present_thread;
    QEMUBH *present_bh;
    bool present_runs;  /* started, and its end not yet seen by present_bh */
    bool present_stop;  /* it should end; atomic */
    int present_errno;  /* what it ended with */

    Error *migration_blocker;
};

/* ---- eventfds that the mediator has, too ---- */

/*
 * O_NONBLOCK belongs to the open file, so the mediator may clear it at any time, and drain
 * or fill the counter: a plain read or write would then hold up the whole VM. These wait
 * for nothing.
 */

/* True: it was signalled, and is not any more. */
static bool vgpu_stub_event_take(EventNotifier *event)
{
    int fd = event_notifier_get_fd(event);
    uint64_t count;
    struct iovec piece = { .iov_base = &count, .iov_len = sizeof(count) };
    struct pollfd watched = { .fd = fd, .events = POLLIN };
    ssize_t got = preadv2(fd, &piece, 1, -1, RWF_NOWAIT);

    if (got < 0 && errno != EAGAIN && poll(&watched, 1, 0) == 1) {
        /* Linux before 5.8, or a sandbox: next best, with a gap after the look. */
        got = read(fd, &count, sizeof(count));
    }
    return got == sizeof(count);
}

/*
 * The kernel itself signals an eventfd when an asynchronous read has ended, whether there
 * is room in the counter or not. So: a read of nothing from /dev/null, which ends within
 * io_submit. False: the kernel has no asynchronous I/O, or a sandbox forbids it.
 */
static bool vgpu_stub_event_set_async(int fd)
{
    static aio_context_t context; /* of this process, for good */
    static int null_fd = -1;
    struct iocb nothing = { .aio_lio_opcode = IOCB_CMD_PREAD,
                            .aio_flags = IOCB_FLAG_RESFD,
                            .aio_resfd = fd };
    struct iocb *reads[] = { &nothing };
    struct timespec at_once = { 0 };
    struct io_event done[4];

    if (null_fd < 0) {
        null_fd = qemu_open_old("/dev/null", O_RDONLY);
        if (null_fd < 0 || syscall(SYS_io_setup, 8, &context) != 0) {
            context = 0;
        }
    }
    if (context == 0) {
        return false;
    }
    nothing.aio_fildes = null_fd;
    if (syscall(SYS_io_submit, context, 1, reads) != 1) {
        return false;
    }
    syscall(SYS_io_getevents, context, 0, ARRAY_SIZE(done), done, &at_once);
    return true;
}

static void vgpu_stub_event_set(EventNotifier *event)
{
    struct pollfd watched = { .fd = event_notifier_get_fd(event), .events = POLLOUT };

    if (vgpu_stub_event_set_async(watched.fd)) {
        return;
    }
    /* Next best, with a gap after the look. One that is full is signalled already. */
    if (poll(&watched, 1, 0) == 1 && (watched.revents & POLLOUT)) {
        event_notifier_set(event);
    }
}

/* ---- interrupts ---- */

static void vgpu_stub_raise(VgpuStub *s, unsigned vector)
{
    if (msix_enabled(PCI_DEVICE(s))) {
        s->raising = true;
        msix_notify(PCI_DEVICE(s), vector);
        s->raising = false;
    }
}

/*
 * A guest may aim our interrupt messages anywhere, at our own doorbells, too. They would
 * come back while we are at work: such a write changes nothing.
 */
static bool vgpu_stub_own_message(VgpuStub *s)
{
    if (s->raising) {
        qemu_log_mask(LOG_GUEST_ERROR,
                      "vgpu-stub: an interrupt message of the device is aimed at the "
                      "device itself\n");
    }
    return s->raising;
}

/* The mediator calls ring q, and no irqfd takes the call straight to the guest. */
static void vgpu_stub_ring_called(EventNotifier *call)
{
    VgpuRing *ring = container_of(call, VgpuRing, call);

    if (vgpu_stub_event_take(call)) {
        vgpu_stub_raise(ring->dev, VGPU_VECTOR_RING(ring->q));
    }
}

/* False: there is no irqfd, or KVM has no route left; the main loop can always do it. */
static bool vgpu_stub_irqfd_bind(VgpuRing *ring, MSIMessage msg)
{
    PCIDevice *pdev = PCI_DEVICE(ring->dev);

    if (!kvm_msi_via_irqfd_enabled()) {
        return false;
    }
    if (ring->virq < 0) {
        KVMRouteChange change = kvm_irqchip_begin_route_changes(kvm_state);

        ring->virq = kvm_irqchip_add_msi_route(&change, VGPU_VECTOR_RING(ring->q), pdev);
        if (ring->virq < 0) {
            return false;
        }
        kvm_irqchip_commit_route_changes(&change);
    } else {
        if (kvm_irqchip_update_msi_route(kvm_state, ring->virq, msg, pdev) < 0) {
            return false;
        }
        kvm_irqchip_commit_routes(kvm_state);
    }
    ring->irqfd =
        kvm_irqchip_add_irqfd_notifier_gsi(kvm_state, &ring->call, NULL, ring->virq) == 0;
    return ring->irqfd;
}

/*
 * The vector may fire from now on: give the call eventfd a reader. A call that was made
 * before is not lost: the eventfd is still readable, and both readers look. Never fails,
 * because a guest can bring us here at will.
 */
static int vgpu_stub_vector_unmask(PCIDevice *pdev, unsigned vector, MSIMessage msg)
{
    VgpuStub *s = VGPU_STUB(pdev);

    if (vector >= VGPU_VECTOR_RING(0)) {
        VgpuRing *ring = &s->rings[vector - VGPU_VECTOR_RING(0)];

        if (!vgpu_stub_irqfd_bind(ring, msg)) {
            event_notifier_set_handler(&ring->call, vgpu_stub_ring_called);
        }
        trace_vgpu_stub_vector_unmask(s->vm_id, vector, ring->irqfd);
    }
    return 0;
}

/* A call that comes now stays in its eventfd; vgpu_stub_vector_poll() looks at it. */
static void vgpu_stub_ring_unbind(VgpuRing *ring)
{
    if (ring->irqfd) {
        kvm_irqchip_remove_irqfd_notifier_gsi(kvm_state, &ring->call, ring->virq);
        ring->irqfd = false;
    } else {
        event_notifier_set_handler(&ring->call, NULL);
    }
}

static void vgpu_stub_vector_mask(PCIDevice *pdev, unsigned vector)
{
    VgpuStub *s = VGPU_STUB(pdev);

    if (vector >= VGPU_VECTOR_RING(0)) {
        vgpu_stub_ring_unbind(&s->rings[vector - VGPU_VECTOR_RING(0)]);
        trace_vgpu_stub_vector_mask(s->vm_id, vector);
    }
}

/* The guest reads the pending bits: move there what masked vectors have collected. */
static void vgpu_stub_vector_poll(PCIDevice *pdev, unsigned int start, unsigned int end)
{
    VgpuStub *s = VGPU_STUB(pdev);
    unsigned vector;

    for (vector = MAX(start, VGPU_VECTOR_RING(0));
         vector < MIN(end, VGPU_VECTOR_RING(s->ring_count)); vector++) {
        if (msix_is_masked(pdev, vector) &&
            vgpu_stub_event_take(&s->rings[vector - VGPU_VECTOR_RING(0)].call)) {
            msix_set_pending(pdev, vector);
        }
    }
}

static void vgpu_stub_msix_enable(VgpuStub *s)
{
    msix_set_vector_notifiers(PCI_DEVICE(s), vgpu_stub_vector_unmask,
                              vgpu_stub_vector_mask, vgpu_stub_vector_poll);
}

/*
 * Safe to repeat. MSI-X may be off already, in which case QEMU has not masked the vectors
 * for us.
 */
static void vgpu_stub_msix_disable(VgpuStub *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    unsigned q;

    if (!pdev->msix_vector_use_notifier) {
        return;
    }
    msix_unset_vector_notifiers(pdev);
    for (q = 0; q < s->ring_count; q++) {
        VgpuRing *ring = &s->rings[q];

        vgpu_stub_ring_unbind(ring);
        if (ring->virq >= 0) {
            kvm_irqchip_release_virq(kvm_state, ring->virq);
            ring->virq = -1;
        }
    }
}

/* ---- the region's header and RING_STATE ---- */

static struct vgpu_region_header *vgpu_stub_header(VgpuStub *s)
{
    return memory_region_get_ram_ptr(s->region);
}

static void vgpu_stub_publish_link_state(VgpuStub *s)
{
    if (s->region) {
        qatomic_store_release(&vgpu_stub_header(s)->link_state,
                              vgpu_word(s->ring_state, s->link_changes));
    }
}

/* The guest may have written anything there: its next owner finds the header as new. */
static void vgpu_stub_header_renew(VgpuStub *s)
{
    if (s->region) {
        memset(vgpu_stub_header(s), 0, s->layout.ring_off);
        vgpu_region_header_fill(vgpu_stub_header(s), &s->layout);
        vgpu_stub_publish_link_state(s);
    }
}

/*
 * Every change wakes every sleeper of this VM: vector 0 says "state changed", the rings'
 * users look again.
 */
static void vgpu_stub_set_ring_state(VgpuStub *s, uint32_t state)
{
    unsigned q;

    if (state == s->ring_state) {
        return;
    }
    s->ring_state = state;
    s->link_changes++;
    trace_vgpu_stub_ring_state(s->vm_id, state, s->link_changes);
    vgpu_stub_publish_link_state(s);
    vgpu_stub_raise(s, VGPU_VECTOR_WINDOW);
    for (q = 0; msix_enabled(PCI_DEVICE(s)) && q < s->ring_count; q++) {
        vgpu_stub_event_set(&s->rings[q].call);
    }
}

/* ---- register window: QEMU is the producer of a ring in the private file ---- */

static struct vgpu_slot *vgpu_stub_window_slot(VgpuStub *s, uint32_t idx)
{
    struct vgpu_slot *slots =
        (void *)(s->private_map + VGPU_WINDOW_RING_OFF + VGPU_SLOTS_OFF);

    return &slots[idx & (VGPU_WINDOW_ENTRIES - 1)];
}

/* The request buffer of a slot; its response buffer is the next one. */
static uint8_t *vgpu_stub_window_buf(VgpuStub *s, uint32_t idx)
{
    return s->private_map + VGPU_WINDOW_RING_OFF + VGPU_WINDOW_ARENA_OFF +
           (idx & (VGPU_WINDOW_ENTRIES - 1)) * 2 * VGPU_WINDOW_BUF_BYTES;
}

/* The request is answered, by the mediator or by us: the guest sees DONE or ERROR. */
static void vgpu_stub_window_finish(VgpuStub *s, uint32_t code, uint32_t response_len)
{
    s->status = code == VGPU_OK ? VGPU_STATUS_DONE : VGPU_STATUS_ERROR;
    s->error_code = code;
    s->response_len = response_len;
    s->timestamp_us = qemu_clock_get_us(QEMU_CLOCK_REALTIME);
    s->interrupt_status |= 1;
    trace_vgpu_stub_window_finish(s->vm_id, s->request_id, code, response_len);
    if (s->interrupt_ctrl & 1) {
        vgpu_stub_raise(s, VGPU_VECTOR_WINDOW);
    }
}

/*
 * Takes the answer to the request in flight, if there is one. Pairs with the mediator's
 * release of slot->done.
 */
static void vgpu_stub_window_poll(VgpuStub *s)
{
    uint32_t idx = s->window_prod - 1;
    uint32_t len;
    uint64_t done;

    if (s->status != VGPU_STATUS_BUSY) {
        return;
    }
    done = qatomic_load_acquire(&vgpu_stub_window_slot(s, idx)->done);
    if (vgpu_done_tag(done) != s->window_tag) {
        return;
    }
    len = MIN(vgpu_word_data(done), VGPU_WINDOW_BUF_BYTES);
    memcpy(s->response, vgpu_stub_window_buf(s, idx) + VGPU_WINDOW_BUF_BYTES, len);
    memset(s->response + len, 0, sizeof(s->response) - len);
    vgpu_stub_window_finish(s, vgpu_done_code(done), len);
}

static void vgpu_stub_window_called(EventNotifier *call)
{
    VgpuStub *s = container_of(call, VgpuStub, window_call);

    if (vgpu_stub_event_take(call)) {
        vgpu_stub_window_poll(s);
    }
}

/* Why the request that the registers hold cannot be submitted; VGPU_OK if it can. */
static uint32_t vgpu_stub_window_check(VgpuStub *s)
{
    uint32_t last_tag = s->window_tags[s->window_prod & (VGPU_WINDOW_ENTRIES - 1)];
    uint64_t done = qatomic_load_acquire(&vgpu_stub_window_slot(s, s->window_prod)->done);

    if (s->request_len == 0) {
        return VGPU_ERR_INVALID_LENGTH;
    }
    if (s->request_len > VGPU_WINDOW_BUF_BYTES) {
        return VGPU_ERR_TOO_LARGE;
    }
    switch (s->ring_state) {
    case VGPU_RING_STATE_ATTACHED:
        break;
    case VGPU_RING_STATE_FENCED:
        return VGPU_ERR_FENCED;
    case VGPU_RING_STATE_QUARANTINED:
        return VGPU_ERR_QUARANTINED;
    default:
        return VGPU_ERR_UNAVAILABLE;
    }
    /*
     * Requests that a device reset abandoned keep their slots until the mediator has
     * answered them.
     */
    if (last_tag != 0 && vgpu_done_tag(done) != last_tag) {
        return VGPU_ERR_QUEUE_FULL;
    }
    return VGPU_OK;
}

static void vgpu_stub_window_submit(VgpuStub *s)
{
    uint32_t idx = s->window_prod;
    struct vgpu_slot *slot = vgpu_stub_window_slot(s, idx);
    uint32_t code;

    if (s->status == VGPU_STATUS_BUSY) {
        qemu_log_mask(LOG_GUEST_ERROR, "vgpu-stub: DOORBELL written while BUSY\n");
        return;
    }
    code = vgpu_stub_window_check(s);
    if (code != VGPU_OK) {
        vgpu_stub_window_finish(s, code, 0);
        return;
    }
    s->status = VGPU_STATUS_BUSY;
    s->error_code = VGPU_OK;
    s->response_len = 0;
    s->window_tag = vgpu_tag(VGPU_WINDOW_EPOCH, idx, ctz32(VGPU_WINDOW_ENTRIES));
    s->window_tags[idx & (VGPU_WINDOW_ENTRIES - 1)] = s->window_tag;
    s->window_prod++;
    memcpy(vgpu_stub_window_buf(s, idx), s->request, s->request_len);
    slot->arg[0] = s->request_len;
    /* Pairs with the mediator's load-acquire: it sees the request with the word. */
    qatomic_store_release(&slot->submit,
                          vgpu_submit_word(VGPU_OP_WINDOW, 0, s->window_tag));
    trace_vgpu_stub_window_submit(s->vm_id, s->request_id, idx, s->request_len);
    vgpu_stub_event_set(&s->window_kick);
}

/* ---- BAR0 ---- */

static uint32_t vgpu_stub_reg_read(VgpuStub *s, hwaddr reg)
{
    switch (reg) {
    case VGPU_REG_STATUS:
        /* A polling guest need not wait for our main loop. */
        vgpu_stub_window_poll(s);
        return s->status;
    case VGPU_REG_POOL_ID:
        return s->granted.pool;
    case VGPU_REG_PRIORITY:
        return s->granted.priority;
    case VGPU_REG_VM_ID:
        return s->granted.vm_id;
    case VGPU_REG_ERROR_CODE:
        return s->error_code;
    case VGPU_REG_REQUEST_LEN:
        return s->request_len;
    case VGPU_REG_RESPONSE_LEN:
        return s->response_len;
    case VGPU_REG_PROTOCOL_VER:
        return VGPU_WINDOW_VERSION;
    case VGPU_REG_CAPABILITIES:
        return VGPU_CAPABILITIES_WINDOW;
    case VGPU_REG_INTERRUPT_CTRL:
        return s->interrupt_ctrl;
    case VGPU_REG_INTERRUPT_STATUS:
        return s->interrupt_status;
    case VGPU_REG_REQUEST_ID:
        return s->request_id;
    case VGPU_REG_TIMESTAMP_LO:
        return s->timestamp_us;
    case VGPU_REG_TIMESTAMP_HI:
        return s->timestamp_us >> 32;
    case VGPU_REG_SCRATCH:
        return s->scratch;
    case VGPU_REG_REQUEST_BUF ... VGPU_REG_RESPONSE_BUF - 4:
        return ldl_le_p(s->request + (reg - VGPU_REG_REQUEST_BUF));
    case VGPU_REG_RESPONSE_BUF ... VGPU_REG_RING_CAPS - 4:
        return ldl_le_p(s->response + (reg - VGPU_REG_RESPONSE_BUF));
    case VGPU_REG_RING_CAPS:
        return (s->region ? VGPU_RING_CAPS_RING : 0) |
               (msix_present(PCI_DEVICE(s)) ? VGPU_RING_CAPS_INTERRUPTS : 0);
    case VGPU_REG_RING_COUNT:
        return s->ring_count;
    case VGPU_REG_RING_STATE:
        return s->ring_state;
    case VGPU_REG_REFUSAL:
        return s->refusal;
    default: /* DOORBELL and reserved places */
        return 0;
    }
}

/*
 * An enabled interrupt whose cause is already there fires at once: the guest may have
 * enabled it a moment late.
 */
static void vgpu_stub_interrupt_ctrl_write(VgpuStub *s, uint32_t value)
{
    bool was_enabled = s->interrupt_ctrl & 1;

    s->interrupt_ctrl = value & 1;
    if (!was_enabled && (s->interrupt_ctrl & s->interrupt_status & 1)) {
        vgpu_stub_raise(s, VGPU_VECTOR_WINDOW);
    }
}

/* The bits in mask get the values that they have in bits; the others keep theirs. */
static void vgpu_stub_reg_write(VgpuStub *s, hwaddr reg, uint32_t bits, uint32_t mask)
{
    switch (reg) {
    case VGPU_REG_DOORBELL:
        if (bits & 1) {
            vgpu_stub_window_submit(s);
        }
        break;
    case VGPU_REG_REQUEST_LEN:
        s->request_len = (s->request_len & ~mask) | bits;
        break;
    case VGPU_REG_INTERRUPT_CTRL:
        vgpu_stub_interrupt_ctrl_write(s, (s->interrupt_ctrl & ~mask) | bits);
        break;
    case VGPU_REG_INTERRUPT_STATUS:
        s->interrupt_status &= ~bits;
        break;
    case VGPU_REG_REQUEST_ID:
        s->request_id = (s->request_id & ~mask) | bits;
        break;
    case VGPU_REG_SCRATCH:
        s->scratch = (s->scratch & ~mask) | bits;
        break;
    case VGPU_REG_REQUEST_BUF ... VGPU_REG_RESPONSE_BUF - 4: {
        uint8_t *word = s->request + (reg - VGPU_REG_REQUEST_BUF);

        stl_le_p(word, (ldl_le_p(word) & ~mask) | bits);
        break;
    }
    default:
        qemu_log_mask(LOG_GUEST_ERROR,
                      "vgpu-stub: write to read-only or reserved register 0x%" HWADDR_PRIx
                      "\n",
                      reg);
        break;
    }
}

static uint64_t vgpu_stub_regs_read(void *opaque, hwaddr addr, unsigned size)
{
    VgpuStub *s = opaque;
    uint32_t value =
        extract32(vgpu_stub_reg_read(s, addr & ~3ull), (addr & 3) * 8, size * 8);

    trace_vgpu_stub_reg_read(s->vm_id, addr, size, value);
    return value;
}

static void vgpu_stub_regs_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    VgpuStub *s = opaque;
    unsigned shift = (addr & 3) * 8;
    uint32_t mask = MAKE_64BIT_MASK(shift, size * 8);

    trace_vgpu_stub_reg_write(s->vm_id, addr, size, value);
    if (vgpu_stub_own_message(s)) {
        return;
    }
    vgpu_stub_reg_write(s, addr & ~3ull, (value << shift) & mask, mask);
}

/* Smaller accesses reach the bytes they name; 8 bytes are two registers, low one first. */
static const MemoryRegionOps vgpu_stub_regs_ops = {
    .read = vgpu_stub_regs_read,
    .write = vgpu_stub_regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 4 },
};

static uint64_t vgpu_stub_doorbells_read(void *opaque, hwaddr addr, unsigned size)
{
    VgpuStub *s = opaque;

    trace_vgpu_stub_reg_read(s->vm_id, VGPU_DOORBELL_OFF(0) + addr, size, 0);
    return 0;
}

/*
 * What KVM's ioeventfds leave over: doorbell writes that they do not match, all of them
 * without KVM, and places that are no doorbell.
 */
static void vgpu_stub_doorbells_write(void *opaque, hwaddr addr, uint64_t value,
                                      unsigned size)
{
    VgpuStub *s = opaque;
    unsigned q = addr / VGPU_DOORBELL_PAGE_BYTES;

    if (vgpu_stub_own_message(s)) {
        return;
    }
    if (q < s->ring_count && addr % VGPU_DOORBELL_PAGE_BYTES < 4) {
        trace_vgpu_stub_doorbell(s->vm_id, q, size);
        vgpu_stub_event_set(&s->rings[q].kick);
        return;
    }
    qemu_log_mask(LOG_GUEST_ERROR,
                  "vgpu-stub: write to reserved place 0x%" HWADDR_PRIx " of BAR0\n",
                  VGPU_DOORBELL_OFF(0) + addr);
}

static const MemoryRegionOps vgpu_stub_doorbells_ops = {
    .read = vgpu_stub_doorbells_read,
    .write = vgpu_stub_doorbells_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

/* ---- memory that is present ---- */

/* Linux before 5.14. Exchanging a byte for itself is a write that nobody notices. */
static void vgpu_stub_touch(uint8_t *memory, uint64_t bytes)
{
    uint64_t off;

    for (off = 0; off < bytes; off += VGPU_PAGE_BYTES) {
        uint8_t byte = qatomic_read(memory + off);

        qatomic_cmpxchg(memory + off, byte, byte);
    }
}

static int vgpu_stub_populate(VgpuStub *s, uint8_t *memory, uint64_t bytes)
{
    uint64_t off;

    for (off = 0; off < bytes && !qatomic_read(&s->present_stop);
         off += VGPU_PRESENT_PIECE_BYTES) {
        uint64_t piece = MIN(bytes - off, VGPU_PRESENT_PIECE_BYTES);

        if (madvise(memory + off, piece, MADV_POPULATE_WRITE) == 0) {
            continue;
        }
        if (errno != EINVAL) {
            return errno;
        }
        vgpu_stub_touch(memory + off, piece);
    }
    return 0;
}

/*
 * The mediator takes no memory with missing pages, because it would be charged for them:
 * this VM's own group pays. Returns 0 or an errno. Some 0.3 ms a MiB for missing pages,
 * hardly anything for those that are there.
 */
static int vgpu_stub_make_present(VgpuStub *s)
{
    int err = vgpu_stub_populate(s, s->private_map, VGPU_PRIVATE_BYTES);

    if (err == 0 && s->region) {
        err = vgpu_stub_populate(s, memory_region_get_ram_ptr(s->region), s->size);
    }
    return err;
}

static void *vgpu_stub_present_thread(void *opaque)
{
    VgpuStub *s = opaque;

    s->present_errno = vgpu_stub_make_present(s);
    qemu_bh_schedule(s->present_bh);
    return NULL;
}

/*
 * Realize has made everything present; this is for what has gone since. One that still runs
 * for a connection that is gone does as well.
 */
static void vgpu_stub_present_start(VgpuStub *s)
{
    if (!s->present_runs) {
        s->present_runs = true;
        qemu_thread_create(&s->present_thread, "vgpu-present", vgpu_stub_present_thread, s,
                           QEMU_THREAD_JOINABLE);
    }
}

/* For the end of the device: waits for one piece at most. */
static void vgpu_stub_present_stop(VgpuStub *s)
{
    if (s->present_runs) {
        qatomic_set(&s->present_stop, true);
        qemu_thread_join(&s->present_thread);
        s->present_runs = false;
    }
    qemu_bh_delete(s->present_bh);
    qatomic_set(&s->present_stop, false);
}

/* ---- control socket: sending ---- */

/* Says each thing once, not at every reconnect. Some of it is the mediator's: one line. */
static void G_GNUC_PRINTF(2, 3) vgpu_stub_report(VgpuStub *s, const char *fmt, ...)
{
    va_list args;
    char *text, *c;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    for (c = text; *c; c++) {
        *c = g_ascii_iscntrl(*c) ? '?' : *c;
    }
    if (g_hash_table_contains(s->reports, text) ||
        g_hash_table_size(s->reports) >= VGPU_REPORTS_MAX) {
        g_free(text);
        return;
    }
    error_report("vgpu-stub: vm_id=%" PRIu32 ": %s", s->vm_id, text);
    g_hash_table_add(s->reports, text);
}

/*
 * Chardev callbacks may not close their own connection: this runs at the next turn of the
 * main loop.
 */
static void vgpu_stub_drop_bh(void *opaque)
{
    VgpuStub *s = opaque;

    qemu_chr_fe_disconnect(&s->chr);
}

/* A VM that was refused because it is quarantined knows what it waits for. */
static void vgpu_stub_set_unattached(VgpuStub *s)
{
    vgpu_stub_set_ring_state(s, s->refusal == VGPU_ERR_QUARANTINED ?
                                    VGPU_RING_STATE_QUARANTINED :
                                    VGPU_RING_STATE_NO_MEDIATOR);
}

static void vgpu_stub_drop(VgpuStub *s)
{
    s->link = VGPU_LINK_DROPPED;
    vgpu_stub_set_unattached(s);
    qemu_bh_schedule(s->drop_bh);
}

/*
 * The session has ended, or the VM was refused: a request that the mediator has not
 * answered never will be.
 */
static void vgpu_stub_window_abort(VgpuStub *s, uint32_t code)
{
    vgpu_stub_window_poll(s);
    if (s->status == VGPU_STATUS_BUSY) {
        vgpu_stub_window_finish(s, code, 0);
    }
    s->error_code = code;
}

/*
 * This VM and this mediator do not come together, and trying again changes little: not at
 * once, and later and later.
 */
static void vgpu_stub_refused(VgpuStub *s, uint32_t code)
{
    uint32_t pause_ms = MIN(VGPU_RETRY_MIN_MS << MIN(s->refusals, 16), VGPU_RETRY_MAX_MS);

    s->refusals++;
    s->retry_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + pause_ms;
    s->refusal = code == VGPU_OK ? VGPU_ERR_INVALID_REQUEST : code; /* it may say anything */
    vgpu_stub_window_abort(s, s->refusal);
    vgpu_stub_drop(s);
}

/*
 * Never waits. The few hundred bytes that one attach sends always fit into an empty
 * socket; if a message does not, the mediator has stopped reading, and this connection
 * ends.
 */
static bool vgpu_stub_send(VgpuStub *s, uint16_t type, const void *payload, uint32_t size,
                           int *fds, int fd_count)
{
    struct vgpu_msg_header header = {
        .magic = VGPU_CONTROL_MAGIC,
        .version = VGPU_CONTROL_VERSION,
        .type = type,
        .size = size,
    };
    uint8_t message[sizeof(header) + sizeof(struct vgpu_msg_attach)];
    int bytes = sizeof(header) + size;

    assert(bytes <= sizeof(message));
    memcpy(message, &header, sizeof(header));
    if (size > 0) {
        memcpy(message + sizeof(header), payload, size);
    }
    trace_vgpu_stub_send(s->vm_id, type, size, fd_count);
    if ((fd_count == 0 || qemu_chr_fe_set_msgfds(&s->chr, fds, fd_count) == 0) &&
        qemu_chr_fe_write(&s->chr, message, bytes) == bytes) {
        return true;
    }
    /* A link that is down: the write met a hang-up, and CHR_EVENT_CLOSED came already. */
    if (s->link != VGPU_LINK_DOWN) {
        vgpu_stub_report(s, "the mediator does not read its control socket; "
                            "the connection is dropped");
        vgpu_stub_drop(s);
    }
    return false;
}

static bool vgpu_stub_send_rings(VgpuStub *s)
{
    unsigned q;

    for (q = 0; q < s->ring_count; q++) {
        struct vgpu_msg_ring msg = { .ring = q };
        int fds[] = { event_notifier_get_fd(&s->rings[q].kick),
                      event_notifier_get_fd(&s->rings[q].call) };

        if (!vgpu_stub_send(s, VGPU_MSG_RING, &msg, sizeof(msg), fds, ARRAY_SIZE(fds))) {
            return false;
        }
    }
    return true;
}

static void vgpu_stub_send_attach(VgpuStub *s)
{
    int fds[] = {
        s->private_fd,
        event_notifier_get_fd(&s->window_kick),
        event_notifier_get_fd(&s->window_call),
        s->region ? memory_region_get_fd(s->region) : -1,
        s->rings_fd,
    };
    int fd_count = !s->region ? 3 : s->rings_fd < 0 ? 4 : 5;

    if (vgpu_stub_send(s, VGPU_MSG_ATTACH, &s->claim, sizeof(s->claim), fds, fd_count) &&
        vgpu_stub_send_rings(s) && vgpu_stub_send(s, VGPU_MSG_START, NULL, 0, NULL, 0)) {
        s->link = VGPU_LINK_GRANT;
    }
}

static void vgpu_stub_present_bh(void *opaque)
{
    VgpuStub *s = opaque;

    qemu_thread_join(&s->present_thread); /* it has nothing more to do */
    s->present_runs = false;
    if (s->link != VGPU_LINK_MEMORY) {
        return;
    }
    if (s->present_errno != 0) {
        vgpu_stub_report(s,
                         "no memory for the rings (%s), so that the device is not attached; "
                         "give this VM's group more memory, or the device a smaller size",
                         strerror(s->present_errno));
        vgpu_stub_refused(s, VGPU_ERR_TOO_LARGE);
        return;
    }
    vgpu_stub_send_attach(s);
}

/* One RESET is under way at a time: a guest that resets all the time floods no socket. */
static void vgpu_stub_send_reset(VgpuStub *s)
{
    s->reset_due =
        s->link == VGPU_LINK_GRANT || (s->link == VGPU_LINK_UP && s->reset_unanswered);
    if (s->link == VGPU_LINK_UP && !s->reset_due) {
        s->reset_unanswered = vgpu_stub_send(s, VGPU_MSG_RESET, NULL, 0, NULL, 0);
    }
}

/* ---- control socket: receiving ---- */

static void G_GNUC_PRINTF(2, 3) vgpu_stub_refuse(VgpuStub *s, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start(args, fmt);
    what = g_strdup_vprintf(fmt, args);
    va_end(args);
    vgpu_stub_report(s,
                     "bad message from the mediator: %s; the connection is dropped. "
                     "Check that the chardev's socket is a mediator's and that both are "
                     "of the same release",
                     what);
    vgpu_stub_drop(s);
}

static void vgpu_stub_on_hello(VgpuStub *s, const void *payload)
{
    const struct vgpu_msg_hello *msg = payload;

    if (msg->abi_version >> 16 != VGPU_ABI_VERSION >> 16) {
        vgpu_stub_report(s,
                         "the mediator speaks ABI version 0x%08" PRIx32 ", this device "
                         "0x%08x; install a mediator and a QEMU of the same release",
                         msg->abi_version, VGPU_ABI_VERSION);
        vgpu_stub_refused(s, VGPU_ERR_UNSUPPORTED);
        return;
    }
    s->link = VGPU_LINK_MEMORY;
    vgpu_stub_present_start(s);
}

static void vgpu_stub_on_grant(VgpuStub *s, const void *payload)
{
    const struct vgpu_msg_grant *msg = payload;

    if ((msg->pool != 'A' && msg->pool != 'B') || msg->priority > 2) {
        vgpu_stub_refuse(s, "GRANT of pool %" PRIu32 ", priority %" PRIu32, msg->pool,
                         msg->priority);
        return;
    }
    g_hash_table_remove_all(s->reports);
    s->refusal = VGPU_OK;
    s->refusals = 0;
    s->granted = *msg;
    s->link = VGPU_LINK_UP;
    vgpu_stub_set_ring_state(s, VGPU_RING_STATE_ATTACHED);
    if (s->reset_due) {
        vgpu_stub_send_reset(s);
    }
}

static void vgpu_stub_on_state(VgpuStub *s, const void *payload)
{
    const struct vgpu_msg_state *msg = payload;

    switch (msg->ring_state) {
    case VGPU_RING_STATE_ATTACHED:
        break;
    case VGPU_RING_STATE_FENCED:
        vgpu_stub_window_abort(s, msg->code == VGPU_OK ? VGPU_ERR_FENCED : msg->code);
        break;
    case VGPU_RING_STATE_QUARANTINED:
        vgpu_stub_window_abort(s, msg->code == VGPU_OK ? VGPU_ERR_QUARANTINED : msg->code);
        break;
    default:
        vgpu_stub_refuse(s, "STATE %" PRIu32, msg->ring_state);
        return;
    }
    vgpu_stub_set_ring_state(s, msg->ring_state);
}

static void vgpu_stub_on_reset_done(VgpuStub *s, const void *payload)
{
    s->reset_unanswered = false;
    if (s->reset_due) {
        vgpu_stub_send_reset(s);
    }
}

static void vgpu_stub_on_error(VgpuStub *s, const void *payload)
{
    const struct vgpu_msg_error *msg = payload;

    vgpu_stub_report(s, "the mediator refuses this VM (code %" PRIu32 "): %.*s",
                     msg->code, (int)sizeof(msg->text), msg->text);
    vgpu_stub_refused(s, msg->code);
}

/* What may come from the mediator, how long it is, and when. */
static const struct {
    void (*handle)(VgpuStub *s, const void *payload);
    uint32_t size;
    VgpuLink link; /* the only one in which it is expected; VGPU_LINK_DOWN: any */
} vgpu_stub_messages[] = {
    [VGPU_MSG_HELLO] = { vgpu_stub_on_hello, sizeof(struct vgpu_msg_hello),
                         VGPU_LINK_HELLO },
    [VGPU_MSG_GRANT] = { vgpu_stub_on_grant, sizeof(struct vgpu_msg_grant),
                         VGPU_LINK_GRANT },
    [VGPU_MSG_STATE] = { vgpu_stub_on_state, sizeof(struct vgpu_msg_state),
                         VGPU_LINK_UP },
    [VGPU_MSG_RESET_DONE] = { vgpu_stub_on_reset_done, 0, VGPU_LINK_UP },
    [VGPU_MSG_ERROR] = { vgpu_stub_on_error, sizeof(struct vgpu_msg_error),
                         VGPU_LINK_DOWN },
};

/*
 * Handles the message at the start of rx, if it is all there. True: it was, and there may
 * be another.
 */
static bool vgpu_stub_parse(VgpuStub *s)
{
    const struct vgpu_msg_header *header = (const void *)s->rx;
    uint32_t bytes;

    if (s->rx_bytes < sizeof(*header)) {
        return false;
    }
    if (header->magic != VGPU_CONTROL_MAGIC || header->version != VGPU_CONTROL_VERSION) {
        vgpu_stub_refuse(s, "magic 0x%08" PRIx32 ", version %u (expected 0x%08x, %u)",
                         header->magic, header->version, VGPU_CONTROL_MAGIC,
                         VGPU_CONTROL_VERSION);
        return false;
    }
    if (header->type >= ARRAY_SIZE(vgpu_stub_messages) ||
        !vgpu_stub_messages[header->type].handle ||
        header->size != vgpu_stub_messages[header->type].size) {
        vgpu_stub_refuse(s, "type %u of %" PRIu32 " bytes", header->type, header->size);
        return false;
    }
    if (vgpu_stub_messages[header->type].link != VGPU_LINK_DOWN &&
        vgpu_stub_messages[header->type].link != s->link) {
        vgpu_stub_refuse(s, "type %u out of turn", header->type);
        return false;
    }
    bytes = sizeof(*header) + header->size;
    if (s->rx_bytes < bytes) {
        return false;
    }
    trace_vgpu_stub_receive(s->vm_id, header->type, header->size);
    vgpu_stub_messages[header->type].handle(s, header + 1);
    s->rx_bytes -= bytes;
    memmove(s->rx, s->rx + bytes, s->rx_bytes);
    return true;
}

static int vgpu_stub_can_receive(void *opaque)
{
    VgpuStub *s = opaque;

    return sizeof(s->rx) - s->rx_bytes;
}

static void vgpu_stub_receive(void *opaque, const uint8_t *buf, int size)
{
    VgpuStub *s = opaque;

    assert(size <= vgpu_stub_can_receive(s));
    memcpy(s->rx + s->rx_bytes, buf, size);
    s->rx_bytes += size;
    while (s->link > VGPU_LINK_DROPPED && vgpu_stub_parse(s)) {
        continue;
    }
    if (s->link <= VGPU_LINK_DROPPED) {
        s->rx_bytes = 0;
    }
}

static void vgpu_stub_chr_event(void *opaque, QEMUChrEvent event)
{
    VgpuStub *s = opaque;
    struct vgpu_msg_hello hello = { .abi_version = VGPU_ABI_VERSION,
                                    .role = VGPU_ROLE_DEVICE };

    switch (event) {
    case CHR_EVENT_OPENED:
        trace_vgpu_stub_link(s->vm_id, "up");
        s->link = VGPU_LINK_HELLO;
        s->rx_bytes = 0;
        s->reset_unanswered = false;
        s->reset_due = false;
        if (qemu_clock_get_ms(QEMU_CLOCK_REALTIME) < s->retry_ms) {
            vgpu_stub_drop(s); /* the chardev comes again */
            break;
        }
        vgpu_stub_send(s, VGPU_MSG_HELLO, &hello, sizeof(hello), NULL, 0);
        break;
    case CHR_EVENT_CLOSED: /* perhaps from inside a write: nothing may be sent here */
        trace_vgpu_stub_link(s->vm_id, "down");
        s->link = VGPU_LINK_DOWN;
        qemu_bh_cancel(s->drop_bh);
        vgpu_stub_set_unattached(s);
        break;
    default:
        break;
    }
}

/* ---- realize ---- */

static bool vgpu_stub_check_claim(VgpuStub *s, Error **errp)
{
    static const char *const priorities[] = { "low", "medium", "high" };
    uint32_t priority = 0;

    if (!qemu_chr_fe_backend_connected(&s->chr)) {
        error_setg(errp,
                   "vgpu-stub needs the mediator's control socket: add chardev=ID and "
                   "-chardev socket,id=ID,path=PATH,reconnect=1");
        return false;
    }
    if (!qemu_chr_has_feature(qemu_chr_fe_get_driver(&s->chr),
                              QEMU_CHAR_FEATURE_FD_PASS)) {
        error_setg(errp,
                   "vgpu-stub: chardev '%s' cannot pass descriptors; use a Unix socket: "
                   "-chardev socket,id=ID,path=PATH,reconnect=1",
                   qemu_chr_fe_get_driver(&s->chr)->label);
        return false;
    }
    if (s->pool_id && strcmp(s->pool_id, "A") != 0 && strcmp(s->pool_id, "B") != 0) {
        error_setg(errp, "vgpu-stub: pool_id='%s' is no pool; use pool_id=A or pool_id=B",
                   s->pool_id);
        return false;
    }
    while (s->priority && priority < ARRAY_SIZE(priorities) &&
           strcmp(s->priority, priorities[priority]) != 0) {
        priority++;
    }
    if (priority == ARRAY_SIZE(priorities)) {
        error_setg(errp, "vgpu-stub: priority='%s' is unknown; use low, medium or high",
                   s->priority);
        return false;
    }
    s->claim = (struct vgpu_msg_attach) {
        .vm_id = s->vm_id,
        .pool = s->pool_id ? s->pool_id[0] : 'A',
        .priority = s->priority ? priority : 1,
    };
    s->granted = (struct vgpu_msg_grant) {
        .vm_id = s->claim.vm_id,
        .pool = s->claim.pool,
        .priority = s->claim.priority,
    };
    return true;
}

/* A file that may shrink could kill the mediator, so it accepts sealed memory only. */
static bool vgpu_stub_check_memdev(VgpuStub *s, Error **errp)
{
    const char *id = object_get_canonical_path_component(OBJECT(s->memdev));
    MemoryRegion *mr = host_memory_backend_get_memory(s->memdev);
    int fd = memory_region_get_fd(mr);
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

    if (host_memory_backend_is_mapped(s->memdev)) {
        error_setg(errp,
                   "vgpu-stub: memdev '%s' is in use; give each device a "
                   "memory-backend-memfd of its own",
                   id);
        return false;
    }
    if (seals < 0) {
        error_setg(errp,
                   "vgpu-stub: memdev '%s' is not a memfd; use "
                   "-object memory-backend-memfd,id=%s,size=SIZE,share=on,seal=on",
                   id, id);
        return false;
    }
    if (!memory_region_is_ram(mr) || !qemu_ram_is_shared(mr->ram_block)) {
        error_setg(
            errp,
            "vgpu-stub: memdev '%s' is private to QEMU; add share=on to its -object", id);
        return false;
    }
    if ((seals & VGPU_REGION_SEALS) != VGPU_REGION_SEALS) {
        error_setg(
            errp,
            "vgpu-stub: memdev '%s' is not sealed; use memory-backend-memfd with seal=on",
            id);
        return false;
    }
    if (s->size != VGPU_REGION_DEFAULT_BYTES && s->size != memory_region_size(mr)) {
        error_setg(errp, "vgpu-stub: size is not that of memdev '%s'; leave size out",
                   id);
        return false;
    }
    s->size = memory_region_size(mr);
    return true;
}

static bool vgpu_stub_check_layout(VgpuStub *s, Error **errp)
{
    g_autofree char *size = size_to_str(s->size);

    if (s->rings_wanted < 1 || s->rings_wanted > VGPU_RINGS_MAX) {
        error_setg(errp, "vgpu-stub: rings=%" PRIu32 " is out of range; use 1 to %u",
                   s->rings_wanted, VGPU_RINGS_MAX);
        return false;
    }
    if (!is_power_of_2(s->entries) || s->entries < VGPU_ENTRIES_MIN ||
        s->entries > VGPU_ENTRIES_MAX) {
        error_setg(errp,
                   "vgpu-stub: entries=%" PRIu32 " is not a power of two from %u to %u",
                   s->entries, VGPU_ENTRIES_MIN, VGPU_ENTRIES_MAX);
        return false;
    }
    if (!is_power_of_2(s->size) || s->size < VGPU_REGION_BYTES_MIN ||
        s->size > VGPU_REGION_BYTES_MAX) {
        error_setg(errp,
                   "vgpu-stub: size of %s is not a power of two from 64K to 64G; use for "
                   "example size=16M",
                   size);
        return false;
    }
    if (vgpu_layout_make(s->size, s->rings_wanted, s->entries, &s->layout) < 0) {
        error_setg(errp,
                   "vgpu-stub: %" PRIu32 " rings of %" PRIu32 " entries do not fit into "
                   "%s; use a larger size, or fewer rings or entries",
                   s->rings_wanted, s->entries, size);
        return false;
    }
    return true;
}

/* Maps a part of a file in the place of what the region has there. */
static bool vgpu_stub_lay(VgpuStub *s, int fd, uint64_t file_off,
                          const struct vgpu_rings_piece *piece)
{
    uint8_t *base = memory_region_get_ram_ptr(s->region);
    void *at = base + piece->region_off;

    if (mmap(at, piece->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
             file_off) == MAP_FAILED) {
        return false;
    }
    /* What QEMU asks for with all memory. */
    madvise(at, piece->bytes, MADV_DONTFORK);
    if (!machine_dump_guest_core(current_machine)) {
        madvise(at, piece->bytes, MADV_DONTDUMP);
    }
    return true;
}

/*
 * Whoever reads memory from which a hole is being punched sleeps for the whole punch. The
 * mediator must not, so the ring pages are in a small file of their own, which lies over
 * the region. Neither the guest nor QEMU see a difference.
 */
static bool vgpu_stub_lay_rings(VgpuStub *s, Error **errp)
{
    uint32_t q;

    if (qemu_ram_pagesize(s->region->ram_block) != qemu_real_host_page_size()) {
        return true; /* nothing smaller can lie over a huge page */
    }
    s->rings_fd = qemu_memfd_create("vgpu-rings", vgpu_rings_bytes(&s->layout), false, 0,
                                    VGPU_REGION_SEALS, errp);
    if (s->rings_fd < 0) {
        return false;
    }
    for (q = 0; q < s->layout.ring_count; q++) {
        struct vgpu_rings_piece piece = vgpu_rings_piece_of(&s->layout, q);

        if (!vgpu_stub_lay(s, s->rings_fd, piece.file_off, &piece)) {
            error_setg_errno(errp, errno, "vgpu-stub: cannot map the ring pages");
            return false;
        }
    }
    return true;
}

/* A memdev outlives the device: what lay over it goes. */
static void vgpu_stub_lift_rings(VgpuStub *s)
{
    uint32_t q;

    for (q = 0; s->memdev && s->rings_fd >= 0 && q < s->layout.ring_count; q++) {
        struct vgpu_rings_piece piece = vgpu_rings_piece_of(&s->layout, q);

        if (!vgpu_stub_lay(s, memory_region_get_fd(s->region), piece.region_off, &piece)) {
            error_report("vgpu-stub: memdev '%s' keeps the ring pages of a device that is "
                         "gone: %s",
                         object_get_canonical_path_component(OBJECT(s->memdev)),
                         strerror(errno));
        }
    }
    if (s->rings_fd >= 0) {
        close(s->rings_fd);
        s->rings_fd = -1;
    }
}

/*
 * Memory that was used before (a memdev of an unplugged device) starts clean: its journal
 * is new, too.
 */
static void vgpu_stub_region_clear(VgpuStub *s)
{
    uint8_t *base = memory_region_get_ram_ptr(s->region);
    unsigned q;

    for (q = 0; q < s->layout.ring_count; q++) {
        memset(base + s->layout.ring_off + q * s->layout.ring_stride, 0,
               s->layout.arena_off);
    }
    vgpu_stub_header_renew(s);
}

static bool vgpu_stub_own_region(VgpuStub *s, Error **errp)
{
    Error *err = NULL;
    int fd = qemu_memfd_create("vgpu-region", s->size, false, 0, VGPU_REGION_SEALS, errp);

    if (fd < 0) {
        return false;
    }
    memory_region_init_ram_from_fd(&s->own_region, OBJECT(s), "vgpu-stub-region", s->size,
                                   RAM_SHARED, fd, 0, &err);
    if (err) {
        error_propagate(errp, err);
        close(fd);
        return false;
    }
    s->region = &s->own_region; /* which closes fd when it goes */
    return true;
}

/*
 * TCG leaves out a guest's memory barriers, and makes its atomic operations plain ones,
 * where only one vCPU can ever run at a time. It cannot know of the mediator, another
 * processor that shares the region: without barriers, both sides may miss each other's
 * store and sleep for ever.
 */
static bool vgpu_stub_check_barriers(Error **errp)
{
    g_autofree char *thread = NULL;

    if (!tcg_enabled()) {
        return true;
    }
    thread = object_property_get_str(OBJECT(current_accel()), "thread", NULL);
    if (current_machine->smp.max_cpus > 1 && g_strcmp0(thread, "multi") == 0) {
        return true;
    }
    error_setg(errp, "vgpu-stub: with this accelerator setting the guest has no memory "
                     "barriers, which the ring needs; use -accel tcg,thread=multi and "
                     "-smp N,maxcpus=M with an M of 2 or more, or ring=off");
    return false;
}

static bool vgpu_stub_init_region(VgpuStub *s, Error **errp)
{
    if (xen_enabled() && s->ring == ON_OFF_AUTO_ON) {
        error_setg(
            errp,
            "vgpu-stub: ring=on is not possible under Xen; use ring=auto or ring=off");
        return false;
    }
    if (s->ring == ON_OFF_AUTO_OFF || xen_enabled()) {
        return true;
    }
    if (!vgpu_stub_check_barriers(errp) ||
        (s->memdev && !vgpu_stub_check_memdev(s, errp)) ||
        !vgpu_stub_check_layout(s, errp)) {
        return false;
    }
    if (s->memdev) {
        s->region = host_memory_backend_get_memory(s->memdev);
        host_memory_backend_set_mapped(s->memdev, true);
    } else if (!vgpu_stub_own_region(s, errp)) {
        return false;
    }
    s->ring_count = s->layout.ring_count;
    s->claim.ring_count = s->layout.ring_count;
    s->claim.entries = s->layout.entries;
    s->claim.region_bytes = s->layout.region_bytes;
    if (!vgpu_stub_lay_rings(s, errp)) {
        return false;
    }
    vgpu_stub_region_clear(s);
    return true;
}

static bool vgpu_stub_init_private(VgpuStub *s, Error **errp)
{
    void *map;

    s->private_fd = qemu_memfd_create("vgpu-private", VGPU_PRIVATE_BYTES, false, 0,
                                      VGPU_REGION_SEALS, errp);
    if (s->private_fd < 0) {
        return false;
    }
    map = mmap(NULL, VGPU_PRIVATE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
               s->private_fd, 0);
    if (map == MAP_FAILED) {
        error_setg_errno(errp, errno, "vgpu-stub: cannot map the window ring");
        return false;
    }
    s->private_map = map;
    vgpu_private_fill(map);
    return true;
}

/*
 * Before the VM runs, where it may take its time; a device that is plugged later holds up
 * its VM, as any memory does that is plugged and present.
 */
static bool vgpu_stub_init_present(VgpuStub *s, Error **errp)
{
    int err = vgpu_stub_make_present(s);

    if (err != 0) {
        error_setg_errno(errp, err,
                         "vgpu-stub: no memory for the rings; give this VM's group more "
                         "memory (or huge pages, if memdev has them), or use a smaller size");
    }
    return err == 0;
}

static bool vgpu_stub_init_event(EventNotifier *event, Error **errp)
{
    int ret = event_notifier_init(event, 0);

    if (ret < 0) {
        error_setg_errno(errp, -ret,
                         "vgpu-stub: cannot make an eventfd; if too many files are open, "
                         "raise ulimit -n");
    }
    return ret >= 0;
}

static bool vgpu_stub_init_events(VgpuStub *s, Error **errp)
{
    unsigned q;

    for (q = 0; q < s->ring_count; q++) {
        VgpuRing *ring = &s->rings[q];

        ring->dev = s;
        ring->q = q;
        ring->virq = -1;
        if (!vgpu_stub_init_event(&ring->kick, errp) ||
            !vgpu_stub_init_event(&ring->call, errp)) {
            return false;
        }
    }
    return vgpu_stub_init_event(&s->window_kick, errp) &&
           vgpu_stub_init_event(&s->window_call, errp);
}

/*
 * FLR: by the PCI Express capability where there is one, else by the Advanced Features
 * capability.
 */
static bool vgpu_stub_init_caps(PCIDevice *pdev, Error **errp)
{
    int af;

    if (pci_bus_is_express(pci_get_bus(pdev))) {
        if (pcie_endpoint_cap_init(pdev, 0) < 0) {
            error_setg(errp, "vgpu-stub: no room for the PCI Express capability");
            return false;
        }
        pcie_cap_flr_init(pdev);
        return true;
    }
    af = pci_add_capability(pdev, PCI_CAP_ID_AF, 0, PCI_CAP_AF_SIZEOF, errp);
    if (af < 0) {
        return false;
    }
    pdev->config[af + PCI_AF_LENGTH] = PCI_CAP_AF_SIZEOF;
    pdev->config[af + PCI_AF_CAP] = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
    pdev->wmask[af + PCI_AF_CTRL] = PCI_AF_CTRL_FLR;
    return true;
}

/* A machine without MSI gets a device without interrupts: RING_CAPS says so. */
static bool vgpu_stub_init_msix(PCIDevice *pdev, Error **errp)
{
    VgpuStub *s = VGPU_STUB(pdev);
    unsigned vectors = VGPU_VECTOR_RING(s->ring_count);
    Error *err = NULL;
    unsigned vector;
    int ret = msix_init_exclusive_bar(pdev, vectors, VGPU_BAR_MSIX, &err);

    if (ret == -ENOTSUP) {
        error_free(err);
        return true;
    }
    if (ret < 0) {
        error_propagate(errp, err);
        return false;
    }
    for (vector = 0; vector < vectors; vector++) {
        msix_vector_use(pdev, vector);
    }
    return true;
}

/*
 * Only for KVM, which signals an eventfd without waiting. Where QEMU would write it itself,
 * our handler does it better.
 *
 * An ioeventfd of length 0 takes stores of every size (and lets KVM skip decoding them);
 * an old KVM wants a length, and then the others come to vgpu_stub_doorbells_write().
 */
static unsigned vgpu_stub_ioeventfd_bytes(void)
{
    return kvm_ioeventfd_any_length_enabled() ? 0 : 4;
}

static void vgpu_stub_init_bars(VgpuStub *s)
{
    PCIDevice *pdev = PCI_DEVICE(s);
    unsigned q;

    memory_region_init(&s->bar0, OBJECT(s), "vgpu-stub-bar0", VGPU_BAR0_BYTES);
    memory_region_init_io(&s->regs, OBJECT(s), &vgpu_stub_regs_ops, s, "vgpu-stub-regs",
                          VGPU_DOORBELL_OFF(0));
    memory_region_init_io(&s->doorbells, OBJECT(s), &vgpu_stub_doorbells_ops, s,
                          "vgpu-stub-doorbells", VGPU_BAR0_BYTES - VGPU_DOORBELL_OFF(0));
    memory_region_add_subregion(&s->bar0, 0, &s->regs);
    memory_region_add_subregion(&s->bar0, VGPU_DOORBELL_OFF(0), &s->doorbells);
    pci_register_bar(pdev, VGPU_BAR_REGS, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);
    if (!s->region) {
        return;
    }
    pci_register_bar(pdev, VGPU_BAR_REGION,
                     PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_PREFETCH |
                         PCI_BASE_ADDRESS_MEM_TYPE_64,
                     s->region);
    for (q = 0; kvm_enabled() && q < s->ring_count; q++) {
        memory_region_add_eventfd(&s->doorbells, q * VGPU_DOORBELL_PAGE_BYTES,
                                  vgpu_stub_ioeventfd_bytes(), false, 0,
                                  &s->rings[q].kick);
    }
}

static bool vgpu_stub_block_migration(VgpuStub *s, Error **errp)
{
    int ret;

    error_setg(
        &s->migration_blocker,
        "vgpu-stub cannot migrate: its rings are shared with a mediator of this host; "
        "unplug the device first");
#if VGPU_QEMU_AT_LEAST(8, 2)
    ret = migrate_add_blocker(&s->migration_blocker, errp);
#else
    ret = migrate_add_blocker(s->migration_blocker, errp);
    if (ret < 0) {
        error_free(s->migration_blocker);
        s->migration_blocker = NULL;
    }
#endif
    return ret >= 0;
}

static void vgpu_stub_unblock_migration(VgpuStub *s)
{
#if VGPU_QEMU_AT_LEAST(8, 2)
    migrate_del_blocker(&s->migration_blocker);
#else
    if (s->migration_blocker) {
        migrate_del_blocker(s->migration_blocker);
        error_free(s->migration_blocker);
        s->migration_blocker = NULL;
    }
#endif
}

static void vgpu_stub_cleanup_events(VgpuStub *s)
{
    unsigned q;

    for (q = 0; q < s->ring_count; q++) {
        event_notifier_cleanup(&s->rings[q].kick);
        event_notifier_cleanup(&s->rings[q].call);
    }
    event_notifier_cleanup(&s->window_kick);
    event_notifier_cleanup(&s->window_call);
}

/*
 * Undoes as much of realize as was done. The region itself goes when the guest's last
 * mapping of it has gone.
 */
static void vgpu_stub_cleanup(VgpuStub *s)
{
    vgpu_stub_unblock_migration(s);
    msix_uninit_exclusive_bar(PCI_DEVICE(s));
    vgpu_stub_cleanup_events(s);
    if (s->private_map) {
        munmap(s->private_map, VGPU_PRIVATE_BYTES);
        s->private_map = NULL;
    }
    if (s->private_fd >= 0) {
        close(s->private_fd);
        s->private_fd = -1;
    }
    vgpu_stub_lift_rings(s);
    if (s->memdev && s->region) {
        host_memory_backend_set_mapped(s->memdev, false);
    }
    s->region = NULL;
    s->ring_count = 0;
    g_clear_pointer(&s->reports, g_hash_table_destroy);
}

static void vgpu_stub_realize(PCIDevice *pdev, Error **errp)
{
    VgpuStub *s = VGPU_STUB(pdev);

    s->private_fd = -1;
    s->rings_fd = -1;
    s->reports = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!vgpu_stub_check_claim(s, errp) || !vgpu_stub_init_region(s, errp) ||
        !vgpu_stub_init_private(s, errp) || !vgpu_stub_init_present(s, errp) ||
        !vgpu_stub_init_events(s, errp) ||
        !vgpu_stub_init_caps(pdev, errp) || !vgpu_stub_init_msix(pdev, errp) ||
        !vgpu_stub_block_migration(s, errp)) {
        vgpu_stub_cleanup(s);
        return;
    }
    pci_config_set_vendor_id(pdev->config, s->vendor_id);
    pci_config_set_device_id(pdev->config, s->device_id);
    vgpu_stub_init_bars(s);
    event_notifier_set_handler(&s->window_call, vgpu_stub_window_called);
    s->drop_bh = qemu_bh_new(vgpu_stub_drop_bh, s);
    s->present_bh = qemu_bh_new(vgpu_stub_present_bh, s);
    qemu_chr_fe_set_handlers(&s->chr, vgpu_stub_can_receive, vgpu_stub_receive,
                             vgpu_stub_chr_event, NULL, s, NULL, true);
}

/* A subregion holds a reference to its owner: a device that keeps any is never freed. */
static void vgpu_stub_remove_bars(VgpuStub *s)
{
    unsigned q;

    for (q = 0; kvm_enabled() && q < s->ring_count; q++) {
        memory_region_del_eventfd(&s->doorbells, q * VGPU_DOORBELL_PAGE_BYTES,
                                  vgpu_stub_ioeventfd_bytes(), false, 0,
                                  &s->rings[q].kick);
    }
    memory_region_del_subregion(&s->bar0, &s->doorbells);
    memory_region_del_subregion(&s->bar0, &s->regs);
}

/* Everything that could call back into the device goes first, then the memory. */
static void vgpu_stub_exit(PCIDevice *pdev)
{
    VgpuStub *s = VGPU_STUB(pdev);

    if (s->link > VGPU_LINK_DROPPED) {
        vgpu_stub_send(s, VGPU_MSG_DETACH, NULL, 0, NULL, 0);
    }
    qemu_chr_fe_set_handlers(&s->chr, NULL, NULL, NULL, NULL, NULL, NULL, true);
    if (s->link != VGPU_LINK_DOWN) {
        qemu_chr_fe_disconnect(&s->chr);
    }
    qemu_bh_delete(s->drop_bh);
    vgpu_stub_present_stop(s);
    vgpu_stub_remove_bars(s);
    vgpu_stub_msix_disable(s);
    event_notifier_set_handler(&s->window_call, NULL);
    vgpu_stub_cleanup(s);
}

/* ---- reset ---- */

/*
 * System reset, bus reset and FLR. The mediator is told and answers later. A window
 * request in flight is abandoned: it keeps its slot until the mediator answers it, and
 * nobody looks at that answer.
 */
static void vgpu_stub_reset(DeviceState *dev)
{
    VgpuStub *s = VGPU_STUB(dev);
    unsigned q;

    trace_vgpu_stub_reset(s->vm_id, s->status);
    vgpu_stub_msix_disable(s);
    for (q = 0; q < s->ring_count; q++) {
        vgpu_stub_event_take(&s->rings[q].call);
    }
    s->status = VGPU_STATUS_IDLE;
    s->error_code = VGPU_OK;
    s->request_len = 0;
    s->response_len = 0;
    s->interrupt_ctrl = 0;
    s->interrupt_status = 0;
    s->request_id = 0;
    s->scratch = 0;
    s->timestamp_us = 0;
    memset(s->request, 0, sizeof(s->request));
    memset(s->response, 0, sizeof(s->response));
    vgpu_stub_header_renew(s);
    vgpu_stub_send_reset(s);
}

static bool vgpu_stub_flr_requested(PCIDevice *pdev)
{
    uint8_t af = pci_find_capability(pdev, PCI_CAP_ID_AF);

    if (!af || !(pdev->config[af + PCI_AF_CTRL] & PCI_AF_CTRL_FLR)) {
        return false;
    }
    pdev->config[af + PCI_AF_CTRL] = 0; /* reads as zero */
    return true;
}

static void vgpu_stub_write_config(PCIDevice *pdev, uint32_t addr, uint32_t val, int len)
{
    VgpuStub *s = VGPU_STUB(pdev);
    bool was_enabled = msix_enabled(pdev);

    pci_default_write_config(pdev, addr, val, len);
    if (msix_enabled(pdev) && !was_enabled) {
        vgpu_stub_msix_enable(s);
    } else if (!msix_enabled(pdev)) {
        vgpu_stub_msix_disable(s);
    }
    if (pdev->exp.exp_cap) {
        pcie_cap_flr_write_config(pdev, addr, val, len);
    } else if (vgpu_stub_flr_requested(pdev)) {
        pci_device_reset(pdev);
    }
}

/* ---- type ---- */

static VGPU_PROPERTY vgpu_stub_properties[] = {
    DEFINE_PROP_CHR("chardev", VgpuStub, chr),
    DEFINE_PROP_UINT32("vm_id", VgpuStub, vm_id, 0),
    DEFINE_PROP_STRING("pool_id", VgpuStub, pool_id),
    DEFINE_PROP_STRING("priority", VgpuStub, priority),
    DEFINE_PROP_LINK("memdev", VgpuStub, memdev, TYPE_MEMORY_BACKEND,
                     HostMemoryBackend *),
    DEFINE_PROP_SIZE("size", VgpuStub, size, VGPU_REGION_DEFAULT_BYTES),
    DEFINE_PROP_UINT32("rings", VgpuStub, rings_wanted, VGPU_RINGS_MAX),
    DEFINE_PROP_UINT32("entries", VgpuStub, entries, VGPU_ENTRIES_DEFAULT),
    DEFINE_PROP_ON_OFF_AUTO("ring", VgpuStub, ring, ON_OFF_AUTO_AUTO),
    DEFINE_PROP_UINT16("vendor_id", VgpuStub, vendor_id, VGPU_PCI_VENDOR_ID),
    DEFINE_PROP_UINT16("device_id", VgpuStub, device_id, VGPU_PCI_DEVICE_ID),
#ifdef DEFINE_PROP_END_OF_LIST
    DEFINE_PROP_END_OF_LIST(),
#endif
};

/* Room for the PCI Express capability, which realize adds where the bus has it. */
static void vgpu_stub_instance_init(Object *obj)
{
    PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
}

static void vgpu_stub_class_init(ObjectClass *klass, VGPU_CLASS_DATA *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    pc->realize = vgpu_stub_realize;
    pc->exit = vgpu_stub_exit;
    pc->config_write = vgpu_stub_write_config;
    pc->vendor_id = VGPU_PCI_VENDOR_ID;
    pc->device_id = VGPU_PCI_DEVICE_ID;
    pc->class_id = VGPU_PCI_CLASS;
    pc->revision = VGPU_PCI_REVISION;
    device_class_set_legacy_reset(dc, vgpu_stub_reset);
    device_class_set_props(dc, vgpu_stub_properties);
    dc->desc = "vgpu-ring guest device";
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
}

static const TypeInfo vgpu_stub_info = {
    .name = TYPE_VGPU_STUB,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(VgpuStub),
    .instance_init = vgpu_stub_instance_init,
    .class_init = vgpu_stub_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { INTERFACE_CONVENTIONAL_PCI_DEVICE },
        { },
    },
};

static void vgpu_stub_register_types(void)
{
    type_register_static(&vgpu_stub_info);
}

type_init(vgpu_stub_register_types)

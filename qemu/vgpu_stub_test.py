# SPDX-License-Identifier: GPL-2.0-or-later
"""The device test of vgpu-stub: `VGPU_QEMU=.../qemu-system-x86_64 python3 qemu/vgpu_stub_test.py [TEST...]`.

QEMU runs without a guest; this program makes the guest's accesses by the qtest protocol and is the mediator.
"""

import fcntl
import mmap
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'tools', 'lib'))
import unittest_xml  # noqa: E402
import vgpu_stub_harness as h  # noqa: E402
from vgpu_stub_harness import wait_for  # noqa: E402


class DeviceTest(unittest.TestCase):
    """A QEMU with one device and a mediator that listens; subclasses choose the device."""

    ARGS = {}
    EXTRA = []

    def setUp(self):
        self.folder = h.Folder()
        self.addCleanup(self.folder.close)
        self.mediator = h.Mediator(self.folder.path)
        self.addCleanup(self.mediator.close)
        self.start()

    def start(self):
        self.qemu = h.Qemu(self.folder.path,
                           h.chardev(self.mediator.path) + self.EXTRA + h.device(**self.ARGS))
        self.addCleanup(self.qemu.kill)
        self.dev = h.Function(self.qemu)
        self.dev.map()

    def attach(self, **granted):
        self.peer = self.mediator.attach(**granted)
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)
        return self.peer

    def reports(self, text):
        return len(re.findall(text, self.qemu.log()))


class ConfigTest(DeviceTest):
    def test_identity_is_the_specified_one(self):
        self.assertEqual(self.dev.config_read(0x00), 0x11111AF4)
        self.assertEqual(self.dev.config_read(0x08), 0x12000003)

    def test_bars_have_their_sizes_and_kinds(self):
        def size(off):
            self.dev.config_write(off, 0xFFFFFFFF)
            return self.dev.config_read(off)
        self.dev.config_write(0x04, 0, 2)
        self.assertEqual(size(0x10), 0xFFFF0000)        # 64 KiB of 32-bit memory
        self.assertEqual(size(0x14), 0)
        self.assertEqual(size(0x18), 0xFF00000C)        # 16 MiB, 64-bit, prefetchable
        self.assertEqual(size(0x1C), 0xFFFFFFFF)
        self.assertEqual(size(0x20) & 0xF, 0)

    def test_msix_has_a_vector_for_the_window_and_each_ring(self):
        off = self.dev.capability(0x11)
        self.assertEqual((self.dev.config_read(off + 2, 2) & 0x7FF) + 1, 9)
        self.assertEqual(self.dev.config_read(off + 4) & 7, 4)

    def test_conventional_bus_has_flr_in_advanced_features(self):
        off = self.dev.capability(0x13)
        self.assertEqual(self.dev.config_read(off + 3, 1), 3)


class OverridesTest(DeviceTest):
    ARGS = {'vendor_id': '0x1234', 'device_id': '0x5678', 'rings': 3, 'entries': 64, 'size': '1M',
            'vm_id': 99, 'pool_id': 'B', 'priority': 'low'}

    def test_properties_reach_the_guest_and_the_mediator(self):
        self.assertEqual(self.dev.config_read(0x00), 0x56781234)
        self.assertEqual(self.dev.reg(h.RING_COUNT), 3)
        self.assertEqual((self.dev.config_read(self.dev.capability(0x11) + 2, 2) & 0x7FF) + 1, 4)
        peer = self.attach()
        self.assertEqual((peer.vm_id, peer.pool, peer.priority), (99, ord('B'), 0))
        self.assertEqual((peer.ring_count, peer.entries, peer.region_bytes), (3, 64, 1 << 20))
        self.assertEqual([self.dev.reg(r) for r in (h.VM_ID, h.POOL_ID, h.PRIORITY)], [99, ord('B'), 0])

    def test_page_of_a_missing_ring_is_reserved(self):
        self.dev.doorbell(3)
        self.assertIn('write to reserved place 0x4000', self.qemu.guest_errors())


class DefaultsTest(DeviceTest):
    ARGS = {'vm_id': None, 'pool_id': None, 'priority': None}

    def test_claim_without_properties(self):
        peer = self.attach()
        self.assertEqual((peer.vm_id, peer.pool, peer.priority), (0, ord('A'), 1))
        self.assertEqual((peer.ring_count, peer.entries, peer.region_bytes), (8, 256, 16 << 20))


RESET_VALUES = {  # of what is not zero
    h.POOL_ID: ord('A'), h.PRIORITY: 2, h.VM_ID: 7, h.PROTOCOL_VER: 0x00010000, h.CAPABILITIES: 1,
    h.RING_CAPS: 3, h.RING_COUNT: 8,
}
READ_WRITE = {h.REQUEST_LEN: 0xFFFFFFFF, h.INTERRUPT_CTRL: 1, h.REQUEST_ID: 0xFFFFFFFF, h.SCRATCH: 0xFFFFFFFF}


class RegistersTest(DeviceTest):
    def check_reset_values(self):
        for reg in range(0, 0x1000, 4):
            self.assertEqual(self.dev.reg(reg), RESET_VALUES.get(reg, 0), f'register {reg:#x}')

    def test_reset_values(self):
        self.check_reset_values()

    def test_writes_reach_only_what_is_writable(self):
        buffer = range(h.REQUEST_BUF, h.REQUEST_BUF + h.BUF_BYTES)
        for reg in range(4, 0x1000, 4):
            before = len(self.qemu.guest_errors())
            self.dev.set_reg(reg, 0xFFFFFFFF)
            writable = reg in READ_WRITE or reg in buffer or reg == h.INTERRUPT_STATUS
            self.assertEqual(len(self.qemu.guest_errors()) == before, writable, f'register {reg:#x}')
        for reg in range(0, 0x1000, 4):
            expected = 0xFFFFFFFF if reg in buffer else READ_WRITE.get(reg, RESET_VALUES.get(reg, 0))
            self.assertEqual(self.dev.reg(reg), expected, f'register {reg:#x}')

    def test_every_width_reaches_the_bytes_it_names(self):
        for reg in (h.SCRATCH, h.REQUEST_BUF, h.REQUEST_BUF + h.BUF_BYTES - 8):
            for size in (1, 2, 4):
                for off in range(0, 4, size):
                    self.dev.set_reg(reg, 0x44332211)
                    self.dev.set_reg(reg + off, 0xA5A5A5A5 & (1 << 8 * size) - 1, size)
                    mask = ((1 << 8 * size) - 1) << 8 * off
                    expected = 0x44332211 & ~mask | 0xA5A5A5A5 & mask
                    self.assertEqual(self.dev.reg(reg), expected, (reg, size, off))
                    self.assertEqual(self.dev.reg(reg + off, size), 0xA5A5A5A5 & (1 << 8 * size) - 1)

    def test_eight_bytes_are_two_registers(self):
        self.dev.set_reg(h.REQUEST_BUF, 0x8877665544332211, 8)
        self.assertEqual(self.dev.reg(h.REQUEST_BUF), 0x44332211)
        self.assertEqual(self.dev.reg(h.REQUEST_BUF + 4), 0x88776655)
        self.assertEqual(self.dev.reg(h.REQUEST_BUF, 8), 0x8877665544332211)
        self.assertEqual(self.dev.reg(h.PROTOCOL_VER, 8), 1 << 32 | 0x00010000)
        self.dev.set_reg(h.REQUEST_BUF + h.BUF_BYTES - 8, 0x0123456789ABCDEF, 8)
        self.assertEqual(self.dev.response(8), bytes(8))

    def test_unaligned_accesses_reach_the_bytes_they_name(self):
        data = bytes(range(1, 32))
        self.qemu.write_bytes(h.BAR0 + h.REQUEST_BUF + 1, data)
        self.assertEqual(self.qemu.read_bytes(h.BAR0 + h.REQUEST_BUF + 1, len(data)), data)
        self.qemu.write(h.BAR0 + h.REQUEST_BUF + 2, 0xA1A2A3A4)
        self.assertEqual(self.qemu.read(h.BAR0 + h.REQUEST_BUF + 2), 0xA1A2A3A4)
        self.qemu.write_bytes(h.BAR0 + h.REQUEST_BUF + h.BUF_BYTES - 3, b'abcdefg')  # runs into RESPONSE_BUF
        self.assertEqual(self.dev.response(8), bytes(8))

    def test_response_buffer_is_read_only(self):
        self.dev.set_reg(h.RESPONSE_BUF, 0xFFFFFFFF)
        self.dev.set_reg(h.RESPONSE_BUF + h.BUF_BYTES - 1, 0xFF, 1)
        self.assertEqual(self.dev.response(), bytes(h.BUF_BYTES))

    def test_registers_answer_only_while_memory_is_enabled(self):
        self.dev.config_write(0x04, 0, 2)
        self.assertNotEqual(self.dev.reg(h.PROTOCOL_VER), 0x00010000)

    def test_system_reset_restores_every_register(self):
        self.attach()
        for reg in READ_WRITE:
            self.dev.set_reg(reg, 0xFFFFFFFF)
        self.qemu.write_bytes(h.BAR0 + h.REQUEST_BUF, bytes([255]) * h.BUF_BYTES)
        self.dev.set_reg(h.DOORBELL, 1)                 # too large: STATUS and more change
        self.assertEqual(self.dev.reg(h.STATUS), h.ERROR)
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.assertEqual(self.peer.expect(h.RESET)[0], b'')
        self.dev.map()
        self.assertEqual(self.dev.reg(h.RING_STATE), h.ATTACHED)
        self.peer.close()
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.check_reset_values()

    def test_flr_is_a_reset(self):
        self.attach()
        self.dev.set_reg(h.SCRATCH, 0x1234)
        af = self.dev.capability(0x13)
        self.dev.config_write(af + 4, 1, 1)
        self.peer.expect(h.RESET)
        self.assertEqual(self.dev.config_read(af + 4, 1), 0)
        self.assertEqual(self.dev.config_read(0x04, 2) & 6, 0)
        self.dev.map()
        self.assertEqual(self.dev.reg(h.SCRATCH), 0)


class DoorbellTest(DeviceTest):
    def test_each_page_kicks_its_ring_once(self):
        peer = self.attach()
        for q in range(8):
            for _ in range(q + 1):
                self.dev.doorbell(q)
        self.assertEqual([h.eventfd_count(fd) for fd in peer.kick], [1, 2, 3, 4, 5, 6, 7, 8])

    def test_any_store_to_the_first_word_kicks_once(self):
        peer = self.attach()
        stores = [(1, 0), (2, 0), (4, 0), (8, 0), (1, 1), (1, 2), (1, 3), (2, 2)]
        for value in (0, 1, 0xFF):
            for size, off in stores:
                self.dev.doorbell(2, size, value, off)
                self.assertEqual(h.eventfd_count(peer.kick[2]), 1, f'{size} bytes at {off}')
        self.assertEqual(self.qemu.guest_errors(), '')

    def test_other_words_of_the_page_are_reserved(self):
        peer = self.attach()
        for size, off in ((4, 4), (8, 8), (1, 4), (4, 0xFFC)):
            before = self.qemu.guest_errors()
            self.dev.doorbell(0, size, 1, off)
            self.assertNotEqual(self.qemu.guest_errors(), before)
        for page in range(9, 16):
            self.dev.set_reg(page * 0x1000, 1)
        self.assertEqual([h.eventfd_count(fd) for fd in peer.kick], [0] * 8)

    def test_doorbells_read_zero(self):
        self.assertEqual([self.dev.reg(0x1000 * page) for page in range(1, 16)], [0] * 15)

    def test_kick_without_a_mediator_stays(self):
        self.dev.doorbell(5)
        self.dev.doorbell(5)
        peer = self.attach()
        self.assertEqual(h.eventfd_count(peer.kick[5]), 2)


class RegionTest(DeviceTest):
    def test_header_is_the_specified_one(self):
        peer = self.attach()
        stride = (((16 << 20) - 4096) // 8) & ~4095
        arena = (512 + 256 * 64 + 4095) & ~4095
        self.assertEqual(peer.region[:8], h.REGION_MAGIC)
        self.assertEqual(struct.unpack_from('<IIQIIQQQQQQ', peer.region, 8),
                         (0x00010000, 256, 16 << 20, 8, 256, 4096, stride, 512, arena, stride - arena, 0))
        self.assertEqual(self.qemu.read_bytes(h.BAR2, 8), h.REGION_MAGIC)

    def test_files_are_sealed(self):
        peer = self.attach()
        rings = 4096 + 8 * ((512 + 256 * 64 + 4095) & ~4095)
        for fd, size in ((peer.region_fd, 16 << 20), (peer.private_fd, h.PRIVATE_BYTES),
                         (peer.rings_fd, rings)):
            self.assertEqual(h.seals(fd) & h.SEALS, h.SEALS)
            self.assertEqual(os.fstat(fd).st_size, size)
            self.assertRaises(OSError, os.ftruncate, fd, 4096)

    def test_private_file_opens_the_window_ring(self):
        peer = self.attach()
        self.assertEqual(peer.private[:8], h.PRIVATE_MAGIC)
        self.assertEqual(struct.unpack_from('<II', peer.private, 8), (0x00010000, h.PRIVATE_BYTES))
        self.assertEqual(struct.unpack_from('<II', peer.private, h.WINDOW_RING), (1, 1))

    def test_bar2_is_the_memory_the_mediator_got(self):
        peer = self.attach()
        for off in (4096, (8 << 20) + 8, (16 << 20) - 8):
            self.qemu.write(h.BAR2 + off, 0x1122334455667788, 8)
            self.assertEqual(struct.unpack_from('<Q', peer.region, off)[0], 0x1122334455667788)
            struct.pack_into('<Q', peer.region, off, off)
            self.assertEqual(self.qemu.read(h.BAR2 + off, 8), off)

    def test_ring_pages_are_in_the_rings_file_and_arenas_in_the_region(self):
        peer = self.attach()
        rings = mmap.mmap(peer.rings_fd, 0)
        self.addCleanup(rings.close)
        region = mmap.mmap(peer.region_fd, peer.region_bytes)   # with nothing over it
        self.addCleanup(region.close)
        self.assertEqual(rings[:8], h.REGION_MAGIC)
        for file_off, region_off, size in peer.pieces():
            for at in (0 if file_off else 4096, size - 8):
                self.qemu.write(h.BAR2 + region_off + at, 0x1122334455667788, 8)
                self.assertEqual(struct.unpack_from('<Q', rings, file_off + at)[0], 0x1122334455667788)
                self.assertEqual(struct.unpack_from('<Q', region, region_off + at)[0], 0)
            arena = region_off + size
            self.qemu.write(h.BAR2 + arena, 0x99, 8)
            self.assertEqual(struct.unpack_from('<Q', region, arena)[0], 0x99)
        self.assertEqual(peer.region[4096:4104], rings[4096:4104])

    def test_region_punched_ring_pages_stay(self):
        peer = self.attach()
        self.qemu.write(h.BAR2 + 4096, 0x77, 8)
        h.punch(peer.region_fd, 0, peer.region_bytes)
        self.assertEqual(self.qemu.read(h.BAR2 + 4096, 8), 0x77)
        self.assertEqual(self.qemu.read_bytes(h.BAR2, 8), h.REGION_MAGIC)

    def test_bar2_is_there_without_a_mediator(self):
        self.qemu.write(h.BAR2 + 8192, 0x77, 8)
        peer = self.attach()
        self.assertEqual(struct.unpack_from('<Q', peer.region, 8192)[0], 0x77)

    def test_reset_restores_the_header(self):
        peer = self.attach()
        before = peer.region[:4096]
        self.qemu.write_bytes(h.BAR2, bytes([0xEE]) * 4096)
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.assertEqual(peer.region[:4096], before)


class MemdevTest(DeviceTest):
    EXTRA = ['-object', 'memory-backend-memfd,id=ram,size=4M']
    ARGS = {'memdev': 'ram', 'rings': 2}

    def test_memdev_backs_bar2(self):
        peer = self.attach()
        self.assertEqual(peer.region_bytes, 4 << 20)
        self.assertEqual(os.fstat(peer.region_fd).st_size, 4 << 20)
        self.qemu.write(h.BAR2 + (4 << 20) - 8, 0x55, 8)
        self.assertEqual(peer.region[-8], 0x55)

    def test_what_lay_over_the_memdev_goes_with_the_device(self):
        def maps():
            with open(f'/proc/{self.qemu.process.pid}/maps') as file:
                return file.read()
        self.attach()
        self.assertEqual(maps().count('vgpu-rings'), 2)
        unplug(self)
        self.assertNotIn('vgpu-rings', maps())

    def test_memory_used_before_starts_clean(self):
        peer = self.attach()
        layout = struct.unpack_from('<QQ', peer.region, 32)
        for q in range(2):
            peer.region[layout[0] + q * layout[1]:layout[0] + q * layout[1] + 4096] = bytes([0xEE]) * 4096
        unplug(self)
        self.qemu.qmp('device_add', driver='vgpu-stub', id='again', chardev='mediator', memdev='ram', rings=2,
                      bus='pci.0', addr='06.0', vm_id=7)
        peer = self.mediator.accept()
        peer.hello()
        peer.take_attach()
        self.assertEqual(peer.link_state(), (0, 0))
        for q in range(2):
            self.assertEqual(peer.region[layout[0] + q * layout[1]:][:4096], bytes(4096))


class PresentTest(DeviceTest):
    """The device pays for its memory before it attaches: a mediator takes none with missing pages."""

    EXTRA = ['-object', 'memory-backend-memfd,id=ram,size=512M']
    ARGS = {'memdev': 'ram'}

    def take_attach(self):
        self.peer = self.mediator.accept()
        self.peer.hello()
        self.peer.take_attach()
        return self.peer

    def check_present(self):
        self.assertTrue(self.peer.memory_present())

    def test_every_page_is_present_at_the_first_attach(self):
        self.take_attach()
        self.check_present()

    def test_pages_taken_away_are_back_at_the_next_attach(self):
        peer = self.take_attach()
        peer.grant()
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)
        self.qemu.write(h.BAR2 + (256 << 20) - 8, 0x77, 8)
        h.punch(peer.region_fd, 256 << 20, 256 << 20)
        h.punch(peer.private_fd, 128 << 10, 128 << 10)
        h.punch(peer.rings_fd, 8192, 4096)
        self.assertFalse(h.present(peer.rings_fd))
        self.assertFalse(peer.memory_present())
        peer.sock.close()
        self.take_attach()
        self.check_present()
        self.assertEqual(self.qemu.read(h.BAR2 + (256 << 20) - 8, 8), 0x77)

    def test_also_after_a_refusal(self):
        peer = self.take_attach()
        h.punch(peer.region_fd, 0x100000, 0x100000)
        peer.refuse(1, b'the region has pages that its owner has not made present')
        self.take_attach()
        self.check_present()

    def test_the_vm_is_not_held_up_by_it(self):
        peer = self.take_attach()
        h.punch(peer.region_fd, 0, 512 << 20)
        peer.sock.close()
        peer = self.mediator.accept()
        peer.hello()
        accesses = 0
        while not select.select([peer.sock], [], [], 0)[0]:
            self.dev.reg(h.STATUS)
            accesses += 1
        self.assertGreater(accesses, 20)                # one or two, if QEMU's main loop did it
        peer.take_attach()
        self.assertTrue(peer.memory_present())

    def test_hangup_and_unplug_while_pages_are_made(self):
        for _ in range(3):
            peer = self.take_attach()
            h.punch(peer.region_fd, 0, 512 << 20)
            peer.sock.close()
            peer = self.mediator.accept()
            peer.hello()
            peer.sock.close()                           # the thread goes on
        peer = self.take_attach()                       # and the next connection is served
        h.punch(peer.region_fd, 0, 512 << 20)
        peer.sock.close()
        self.mediator.accept().hello()
        unplug(self)
        self.assertEqual(self.dev.config_read(0), 0xFFFFFFFF)


class HugePagesTest(DeviceTest):
    """Nothing smaller can lie over a huge page: such a region has no rings file, as with devices of earlier
    releases."""

    EXTRA = ['-object', 'memory-backend-memfd,id=ram,size=4M,hugetlb=on,hugetlbsize=2M']
    ARGS = {'memdev': 'ram'}

    def setUp(self):
        with open('/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages') as file:
            if int(file.read()) < 2:
                self.skipTest('no free huge pages: sysctl vm.nr_hugepages=2')
        super().setUp()

    def test_attaches_without_a_rings_file(self):
        peer = self.attach()
        self.assertEqual(peer.rings_fd, -1)
        self.qemu.write(h.BAR2 + 4096, 0x77, 8)
        self.assertEqual(struct.unpack_from('<Q', peer.region, 4096)[0], 0x77)


class RingOffTest(DeviceTest):
    ARGS = {'ring': 'off'}

    def test_no_bar2_and_registers_say_so(self):
        self.dev.config_write(0x18, 0xFFFFFFFF)
        self.assertEqual(self.dev.config_read(0x18), 0)
        self.assertEqual(self.dev.reg(h.RING_CAPS), 2)
        self.assertEqual(self.dev.reg(h.RING_COUNT), 0)
        self.dev.doorbell(0)
        self.assertIn('reserved place 0x1000', self.qemu.guest_errors())

    def test_register_window_works(self):
        peer = self.attach()
        self.assertEqual((peer.ring_count, peer.entries, peer.region_bytes), (0, 0, 0))
        self.dev.window_submit(b'request!')
        self.assertEqual(peer.window_request(0), b'request!')
        peer.window_answer(0, b'answer')
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.response(6), b'answer')

    def test_window_interrupt_works(self):
        peer = self.attach()
        self.dev.vector_setup(0)
        self.dev.vector_mask(0, False)
        self.dev.msix_control()
        self.dev.set_reg(h.INTERRUPT_CTRL, 1)
        self.dev.window_submit(b'request!')
        peer.window_answer(0)
        wait_for('vector 0', lambda: self.dev.vector_fired(0))


class WindowTest(DeviceTest):
    def submit(self, request=b'request', request_id=0):
        self.dev.window_submit(request, request_id)

    def check_error(self, code):
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, code))
        self.assertEqual(self.dev.reg(h.INTERRUPT_STATUS), 1)

    def test_request_and_response_pass_through(self):
        peer = self.attach()
        for idx in range(20):                           # more than two laps around the ring
            request = bytes([idx + 1]) * (idx * 50 + 1)
            self.submit(request, 1000 + idx)
            self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)
            self.assertEqual(h.eventfd_count(peer.window_kick), 1)
            self.assertEqual(peer.window_request(idx), request)
            peer.window_answer(idx, request[::-1] + b'!')
            self.dev.wait_reg(h.STATUS, h.DONE)
            self.assertEqual(self.dev.reg(h.ERROR_CODE), 0)
            self.assertEqual(self.dev.reg(h.RESPONSE_LEN), len(request) + 1)
            self.assertEqual(self.dev.response(), (request[::-1] + b'!').ljust(h.BUF_BYTES, b'\0'))
            self.assertEqual(self.dev.reg(h.REQUEST_ID), 1000 + idx)

    def test_full_buffers_pass_through(self):
        peer = self.attach()
        request, response = bytes(range(256)) * 4, bytes(reversed(range(256))) * 4
        self.submit(request)
        self.assertEqual(peer.window_request(0), request)
        peer.window_answer(0, response)
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.response(), response)

    def test_short_response_leaves_nothing_of_a_longer_one(self):
        peer = self.attach()
        for idx, response in enumerate((b'x' * 1024, b'yes')):
            self.submit()
            peer.window_answer(idx, response)
            self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.response(), b'yes'.ljust(h.BUF_BYTES, b'\0'))

    def test_call_alone_completes(self):
        """Without a STATUS read, which would look for the answer by itself."""
        peer = self.attach()
        self.submit()
        peer.window_answer(0)
        wait_for('the completion', lambda: self.dev.reg(h.INTERRUPT_STATUS))

    def test_status_read_alone_completes(self):
        peer = self.attach()
        self.submit()
        peer.window_answer(0, b'x', call=False)
        self.assertEqual(self.dev.reg(h.STATUS), h.DONE)
        self.assertEqual(self.dev.reg(h.RESPONSE_LEN), 1)

    def test_call_without_an_answer_completes_nothing(self):
        peer = self.attach()
        self.submit()
        os.eventfd_write(peer.window_call, 1)
        wait_for('the call to be taken', lambda: h.eventfd_count(peer.window_call) == 0)
        self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)

    def test_mediator_error_is_an_error(self):
        peer = self.attach()
        for idx, code in enumerate((1, 5, 8, 12, 0xF0)):
            self.submit()
            peer.window_answer(idx, b'details', code)
            self.dev.wait_reg(h.STATUS, h.ERROR)
            self.assertEqual(self.dev.reg(h.ERROR_CODE), code)
            self.assertEqual(self.dev.reg(h.RESPONSE_LEN), 7)

    def test_length_that_lies_is_clamped(self):
        peer = self.attach()
        self.submit()
        peer.window_answer(0, b'x' * 1024, length=0xFFFFFFFF)
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.reg(h.RESPONSE_LEN), 1024)

    def test_length_zero_is_code_9(self):
        self.attach()
        self.dev.set_reg(h.DOORBELL, 1)
        self.check_error(9)

    def test_too_long_is_code_2(self):
        self.attach()
        for length in (1025, 0x10000, 0xFFFFFFFF):
            self.dev.set_reg(h.REQUEST_LEN, length)
            self.dev.set_reg(h.DOORBELL, 1)
            self.check_error(2)

    def test_no_mediator_is_code_3(self):
        self.submit()
        self.check_error(3)
        peer = self.attach()
        self.assertEqual(h.eventfd_count(peer.window_kick), 0)

    def test_length_is_checked_before_the_mediator(self):
        self.dev.set_reg(h.DOORBELL, 1)
        self.check_error(9)
        self.dev.set_reg(h.REQUEST_LEN, 1025)
        self.dev.set_reg(h.DOORBELL, 1)
        self.check_error(2)

    def test_new_request_is_accepted_from_error_and_done(self):
        peer = self.attach()
        self.dev.set_reg(h.DOORBELL, 1)
        self.check_error(9)
        for idx in range(2):
            self.submit()
            self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.BUSY, 0))
            peer.window_answer(idx)
            self.dev.wait_reg(h.STATUS, h.DONE)

    def test_doorbell_while_busy_harms_nothing(self):
        peer = self.attach()
        self.submit(b'first')
        self.submit(b'second one')
        self.assertIn('DOORBELL written while BUSY', self.qemu.guest_errors())
        self.assertEqual(h.eventfd_count(peer.window_kick), 1)
        self.assertEqual(peer.window_request(0), b'first')
        self.assertEqual(peer.window_slot(1)[0], 0)
        peer.window_answer(0, b'to the first')
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.response(12), b'to the first')

    def test_doorbell_without_bit_0_does_nothing(self):
        self.attach()
        for value in (0, 2, 0xFFFFFFFE):
            self.dev.set_reg(h.DOORBELL, value)
        self.assertEqual(self.dev.reg(h.STATUS), h.IDLE)

    def test_doorbell_takes_every_width(self):
        peer = self.attach()
        self.dev.set_reg(h.REQUEST_LEN, 4)
        for idx, size in enumerate((1, 2, 4, 8)):
            self.dev.set_reg(h.DOORBELL, 1, size)
            self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)
            peer.window_answer(idx)
            self.dev.wait_reg(h.STATUS, h.DONE)

    def test_timestamp_grows(self):
        peer = self.attach()
        stamps = []
        for idx in range(3):
            self.submit()
            peer.window_answer(idx)
            self.dev.wait_reg(h.STATUS, h.DONE)
            stamps.append(self.dev.reg(h.TIMESTAMP_LO, 4) | self.dev.reg(h.TIMESTAMP_HI) << 32)
        self.assertTrue(0 < stamps[0] < stamps[1] < stamps[2], stamps)

    def test_interrupt_status_is_cleared_by_writing_one(self):
        self.attach()
        self.dev.set_reg(h.DOORBELL, 1)
        self.dev.set_reg(h.INTERRUPT_STATUS, 0)
        self.assertEqual(self.dev.reg(h.INTERRUPT_STATUS), 1)
        self.dev.set_reg(h.INTERRUPT_STATUS, 0xFFFFFFFE)
        self.assertEqual(self.dev.reg(h.INTERRUPT_STATUS), 1)
        self.dev.set_reg(h.INTERRUPT_STATUS, 1)
        self.assertEqual(self.dev.reg(h.INTERRUPT_STATUS), 0)

    def reset(self):
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()

    def test_answer_to_an_abandoned_request_is_ignored(self):
        peer = self.attach()
        self.submit(b'abandoned')
        self.reset()
        self.assertEqual(self.dev.reg(h.STATUS), h.IDLE)
        self.submit(b'after')
        peer.window_answer(0, b'late')
        wait_for('the call to be taken', lambda: h.eventfd_count(peer.window_call) == 0)
        self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)
        self.assertEqual(self.dev.response(), bytes(h.BUF_BYTES))
        self.assertEqual(peer.window_request(1), b'after')
        peer.window_answer(1, b'right')
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.assertEqual(self.dev.response(5), b'right')

    def test_late_answer_after_reset_leaves_idle(self):
        peer = self.attach()
        self.submit(b'abandoned')
        self.reset()
        peer.window_answer(0, b'late')
        wait_for('the call to be taken', lambda: h.eventfd_count(peer.window_call) == 0)
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.INTERRUPT_STATUS)), (h.IDLE, 0))

    def test_abandoned_requests_fill_the_ring_until_answered(self):
        peer = self.attach()
        for idx in range(8):
            self.submit(bytes([idx + 1]))
            self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)
            self.reset()
        self.submit(b'one too many')
        self.check_error(7)
        self.assertEqual(peer.window_request(0), b'\1')
        peer.window_answer(0)
        self.submit(b'now')
        self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)
        self.assertEqual(peer.window_request(8), b'now')

    def test_repeated_resets_send_one_reset_at_a_time(self):
        peer = self.attach()
        for _ in range(5):
            self.reset()
        peer.expect(h.RESET)
        peer.send(h.RESET_DONE)
        peer.expect(h.RESET)                            # for the four that came after the first
        peer.send(h.RESET_DONE)
        self.reset()
        peer.expect(h.RESET)
        with self.assertRaises(BlockingIOError):
            peer.sock.setblocking(False)
            peer.sock.recv(1)


class AttachTest(DeviceTest):
    def test_grant_decides_what_the_guest_sees(self):
        self.assertEqual(self.dev.reg(h.PRIORITY), 2)
        self.attach(vm_id=12, pool=ord('B'), priority=1)
        self.assertEqual([self.dev.reg(r) for r in (h.VM_ID, h.POOL_ID, h.PRIORITY)], [12, ord('B'), 1])

    def test_not_attached_before_the_grant(self):
        peer = self.mediator.accept()
        peer.hello()
        peer.take_attach()
        self.assertEqual(self.dev.reg(h.RING_STATE), h.NO_MEDIATOR)
        peer.grant()
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)
        self.assertEqual(peer.link_state(), (h.ATTACHED, 1))

    def test_reattach_gets_the_same_files(self):
        first = self.attach()
        inodes = [os.fstat(fd).st_ino for fd in (first.region_fd, first.private_fd, first.rings_fd)]
        self.dev.window_submit(b'survives')
        self.qemu.write(h.BAR2 + 8192, 0xABCD, 8)
        h.eventfd_count(first.window_kick)
        first.sock.close()
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.assertEqual(first.link_state(), (h.NO_MEDIATOR, 2))
        self.dev.doorbell(1)
        second = self.attach()
        self.assertEqual(second.link_state(), (h.ATTACHED, 3))
        self.assertEqual([os.fstat(fd).st_ino
                          for fd in (second.region_fd, second.private_fd, second.rings_fd)], inodes)
        self.assertEqual(struct.unpack_from('<Q', second.region, 8192)[0], 0xABCD)
        self.assertEqual(h.eventfd_count(second.kick[1]), 1)
        self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)        # the request waits for the next mediator
        self.assertEqual(second.window_request(0), b'survives')
        second.window_answer(0, b'ok')
        self.dev.wait_reg(h.STATUS, h.DONE)

    def test_mediator_may_come_late_and_in_pieces(self):
        peer = self.mediator.accept()
        peer.expect(h.HELLO)
        message = struct.pack('<IHHIIII', h.CONTROL_MAGIC, 1, h.HELLO, 8, 0, h.ABI_VERSION, 0)
        for i in range(len(message)):
            peer.sock.sendall(message[i:i + 1])
            self.dev.reg(h.STATUS)                      # lets QEMU's main loop turn
        peer.take_attach()
        peer.grant()
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)

    def test_messages_may_come_together(self):
        peer = self.mediator.accept()
        peer.hello()
        peer.take_attach()
        peer.sock.sendall(
            struct.pack('<IHHIIIIII', h.CONTROL_MAGIC, 1, h.GRANT, 16, 0, 7, ord('A'), 2, 0) +
            struct.pack('<IHHIIII', h.CONTROL_MAGIC, 1, h.STATE, 8, 0, h.FENCED, 13))
        self.dev.wait_reg(h.RING_STATE, h.FENCED)

    def test_fenced_and_quarantined(self):
        for state, code in ((h.FENCED, 13), (h.QUARANTINED, 11)):
            peer = self.attach()
            peer.send(h.STATE, struct.pack('<II', state, code))
            self.dev.wait_reg(h.RING_STATE, state)
            self.assertEqual(self.dev.reg(h.ERROR_CODE), code)
            self.assertEqual(peer.link_state()[0], state)
            self.dev.window_submit(b'request')
            self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, code))
            peer.close()
            self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)

    def test_state_without_a_code_has_one(self):
        for state, code in ((h.FENCED, 13), (h.QUARANTINED, 11)):
            peer = self.attach()
            self.dev.window_submit(b'request')
            peer.send(h.STATE, struct.pack('<II', state, 0))
            self.dev.wait_reg(h.RING_STATE, state)
            self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, code))
            peer.window_answer(state - h.FENCED)
            peer.close()
            self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)

    def test_quarantined_while_attached_and_released(self):
        peer = self.attach()
        self.dev.window_submit(b'request')
        peer.send(h.STATE, struct.pack('<II', h.QUARANTINED, 11))
        self.dev.wait_reg(h.RING_STATE, h.QUARANTINED)
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, 11))
        peer.window_answer(0, code=11)
        self.qemu.qmp('system_reset')                   # the guest cannot reset itself out of it
        self.qemu.wait_event('RESET')
        peer.expect(h.RESET)
        peer.send(h.RESET_DONE)
        self.dev.map()
        self.assertEqual(self.dev.reg(h.RING_STATE), h.QUARANTINED)
        peer.send(h.STATE, struct.pack('<II', h.ATTACHED, 0))
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)
        self.dev.window_submit(b'again')
        self.assertEqual(peer.window_request(1), b'again')

    def test_quarantined_at_attach_until_a_grant(self):
        for _ in range(2):
            self.refuse_next(11)
            self.assertEqual((self.dev.reg(h.RING_STATE), self.dev.reg(h.REFUSAL)), (h.QUARANTINED, 11))
            self.assertEqual(self.qemu.read(h.BAR2 + h.LINK_STATE_OFF), h.QUARANTINED)
            self.dev.window_submit(b'request')
            self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, 11))
        self.attach()
        self.peer.sock.close()
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.refuse_next(11)
        self.refuse_next(1)                             # another reason: no longer quarantined
        self.assertEqual((self.dev.reg(h.RING_STATE), self.dev.reg(h.REFUSAL)), (h.NO_MEDIATOR, 1))

    def test_mediator_lifts_a_fence_after_a_reset(self):
        peer = self.attach()
        peer.send(h.STATE, struct.pack('<II', h.FENCED, 13))
        self.dev.wait_reg(h.RING_STATE, h.FENCED)
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()
        peer.expect(h.RESET)
        self.assertEqual(self.dev.reg(h.RING_STATE), h.FENCED)
        peer.send(h.STATE, struct.pack('<II', h.ATTACHED, 0))
        peer.send(h.RESET_DONE)
        self.dev.wait_reg(h.RING_STATE, h.ATTACHED)
        self.assertEqual(peer.link_state(), (h.ATTACHED, 3))
        self.dev.window_submit(b'request')
        self.assertEqual(peer.window_request(0), b'request')

    def test_fence_ends_the_request_in_flight(self):
        peer = self.attach()
        self.dev.window_submit(b'request')
        peer.send(h.STATE, struct.pack('<II', h.FENCED, 13))
        self.dev.wait_reg(h.STATUS, h.ERROR)
        self.assertEqual(self.dev.reg(h.ERROR_CODE), 13)

    def test_refusal_is_reported_once(self):
        text = b'vm_id 7 is attached already; give each VM its own'
        for _ in range(3):
            peer = self.mediator.accept()
            peer.hello()
            peer.take_attach()
            peer.refuse(6, text)
            self.assertIsNone(peer.receive())
            self.assertEqual(self.dev.reg(h.RING_STATE), h.NO_MEDIATOR)
            self.assertEqual(self.dev.reg(h.ERROR_CODE), 6)
            self.assertEqual(self.dev.reg(h.REFUSAL), 6)
        self.assertEqual(self.reports('vm_id=7: the mediator refuses this VM .code 6.: ' + text.decode()), 1)
        self.attach()
        self.dev.window_submit(b'request')
        self.assertEqual(self.dev.reg(h.STATUS), h.BUSY)

    def test_refusal_text_without_an_end_is_cut(self):
        peer = self.mediator.accept()
        peer.hello()
        peer.refuse(6, b'x' * 248)
        wait_for('the report', lambda: self.reports('x' * 248 + '\n'))

    def refuse_next(self, code, text=b'no'):
        peer = self.mediator.accept()
        peer.hello()
        peer.take_attach()
        peer.refuse(code, text)
        self.assertIsNone(peer.receive())

    def test_refusal_is_a_register_until_the_next_grant(self):
        self.assertEqual(self.dev.reg(h.REFUSAL), 0)
        self.refuse_next(2)
        self.assertEqual((self.dev.reg(h.RING_STATE), self.dev.reg(h.REFUSAL)), (h.NO_MEDIATOR, 2))
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()
        self.assertEqual(self.dev.reg(h.REFUSAL), 2)
        self.dev.window_submit(b'request')              # for programs that do not know the register
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, 3))
        self.attach()
        self.assertEqual(self.dev.reg(h.REFUSAL), 0)
        self.peer.sock.close()
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.assertEqual(self.dev.reg(h.REFUSAL), 0)

    def test_refusal_without_a_code_has_one(self):
        peer = self.attach()
        self.dev.window_submit(b'request')
        peer.refuse(0)
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, 1))
        self.assertEqual(self.dev.reg(h.REFUSAL), 1)

    def test_each_reason_is_reported_once_and_on_one_line(self):
        for text in (b'one', b'two', b'one', b'th\nree\x1b[31m'):
            self.refuse_next(1, text)
        self.assertEqual([self.reports('code 1.: ' + text) for text in ('one', 'two', r'th\?ree\?\[31m')],
                         [1, 1, 1])

    def test_refused_device_asks_less_and_less_often(self):
        times = []
        for _ in range(5):
            self.refuse_next(1)
            times.append(time.monotonic())
        for pause, before, after in zip((0.5, 1, 2, 4), times, times[1:]):
            self.assertGreater(after - before, pause)
        self.assertGreater(self.mediator.unused, 0)     # those in between were given back unused
        self.attach()                                   # after 8 s
        self.peer.close()
        before = time.monotonic()
        self.refuse_next(1)
        self.attach()
        self.assertLess(time.monotonic() - before, 7)   # a grant makes all well again

    def check_dropped(self, peer, text):
        while peer.receive() is not None:
            pass
        wait_for('the report', lambda: self.reports(text))
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.attach()                                   # QEMU has taken no harm, and comes again

    def test_other_abi_is_dropped(self):
        peer = self.mediator.accept()
        peer.send(h.HELLO, struct.pack('<II', 0x00020000, 0))
        self.check_dropped(peer, 'speaks ABI version 0x00020000, this device 0x00010000; install')

    def test_newer_minor_abi_is_accepted(self):
        peer = self.mediator.accept()
        peer.send(h.HELLO, struct.pack('<II', 0x00010005, 0))
        peer.expect(h.HELLO)
        peer.take_attach()

    def test_malformed_messages_are_dropped(self):
        bad = [
            ('magic 0x00000000', lambda peer: peer.send(h.HELLO, bytes(8), magic=0)),
            ('version 2', lambda peer: peer.send(h.HELLO, bytes(8), version=2)),
            ('type 0 of 0 bytes', lambda peer: peer.send(0)),
            ('type 2 of 32 bytes', lambda peer: peer.send(h.ATTACH, bytes(32))),
            ('type 999 of 0 bytes', lambda peer: peer.send(999)),
            ('type 1 of 9 bytes', lambda peer: peer.send(h.HELLO, bytes(9))),
            ('type 1 of 4294967295 bytes', lambda peer: peer.sock.sendall(
                struct.pack('<IHHII', h.CONTROL_MAGIC, 1, h.HELLO, 0xFFFFFFFF, 0))),
            ('type 5 out of turn', lambda peer: peer.send(h.GRANT, bytes(16))),
        ]
        for text, act in bad:
            with self.subTest(text):
                peer = self.mediator.accept()
                act(peer)
                self.assertEqual(peer.expect(h.HELLO)[0][:4], struct.pack('<I', h.ABI_VERSION))
                self.assertIsNone(peer.receive())
                wait_for('the report', lambda: self.reports(text))

    def test_malformed_message_ends_an_attachment(self):
        for text, act in (('type 1 out of turn', lambda peer: peer.send(h.HELLO, bytes(8))),
                          ('STATE 0', lambda peer: peer.send(h.STATE, bytes(8))),
                          ('STATE 4', lambda peer: peer.send(h.STATE, struct.pack('<II', 4, 0)))):
            peer = self.attach()
            act(peer)
            self.check_dropped(peer, text)
            self.peer.close()
            self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)

    def test_grant_of_nonsense_is_dropped(self):
        for pool, priority in ((ord('C'), 0), (ord('A'), 3)):
            peer = self.mediator.attach(pool=pool, priority=priority)
            self.assertIsNone(peer.receive())
            self.assertEqual(self.dev.reg(h.RING_STATE), h.NO_MEDIATOR)
        self.assertTrue(self.reports('GRANT of pool 67, priority 0'))

    def test_mediator_that_does_not_read_cannot_stop_qemu(self):
        peer = self.attach()
        for _ in range(2000):
            self.qemu.qmp('system_reset')
            self.qemu.wait_event('RESET')
        peer.expect(h.RESET)
        self.dev.map()
        self.assertEqual(self.dev.reg(h.RING_STATE), h.ATTACHED)

    def test_runs_on_while_the_vm_is_stopped(self):
        self.qemu.qmp('cont')
        peer = self.attach()
        self.qemu.qmp('stop')
        self.dev.doorbell(0)
        self.assertEqual(h.eventfd_count(peer.kick[0]), 1)
        self.dev.window_submit(b'request')
        peer.window_answer(0)
        wait_for('the completion', lambda: self.dev.reg(h.INTERRUPT_STATUS))


class SharedEventfdTest(DeviceTest):
    """The mediator changes the eventfds that it shares with QEMU, to stop QEMU with them."""

    FULL = (1 << 64) - 2

    def hostile_attach(self):
        """Attached, and every eventfd blocks whoever reads it empty or writes it full."""
        peer = self.attach()
        for fd in self.eventfds():
            h.eventfd_count(fd)                         # while that does not block
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        return peer

    def eventfds(self):
        return [self.peer.window_kick, self.peer.window_call] + self.peer.kick + self.peer.call

    def check_alive(self):
        self.assertEqual(self.dev.reg(h.PROTOCOL_VER), 0x00010000)

    def test_empty_and_blocking_at_a_reset(self):
        self.hostile_attach()
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()
        self.check_alive()

    def test_empty_and_blocking_when_pending_bits_are_read(self):
        self.dev.msix_enable(vectors=[0])
        peer = self.hostile_attach()
        self.assertFalse(self.dev.vector_pending(1))
        os.eventfd_write(peer.call[0], 1)
        self.assertTrue(self.dev.vector_pending(1))

    def test_drained_under_the_main_loop(self):
        """It wakes up for a call, which the mediator takes back before it is read."""
        self.dev.msix_enable()
        peer = self.hostile_attach()
        for fd in (peer.call[0], peer.window_call):
            for _ in range(3000):
                os.eventfd_write(fd, 1)
                try:
                    os.preadv(fd, [bytearray(8)], -1, os.RWF_NOWAIT)
                except BlockingIOError:
                    pass                                # QEMU was faster
            self.check_alive()

    def test_full_and_blocking(self):
        self.dev.msix_enable()
        peer = self.hostile_attach()
        for fd in [peer.window_kick] + peer.kick:
            os.eventfd_write(fd, self.FULL)
        for q in range(8):
            self.dev.doorbell(q)
        self.dev.window_submit(b'request')
        self.check_alive()
        self.assertEqual(peer.window_request(0), b'request')
        self.assertGreaterEqual(os.eventfd_read(peer.kick[0]), self.FULL)

    def test_full_and_blocking_at_the_end(self):
        """A change of the state calls every ring's user; no vector takes the calls away before."""
        self.dev.msix_enable(vectors=[0])
        peer = self.hostile_attach()
        for fd in peer.call:
            os.eventfd_write(fd, self.FULL)
        peer.sock.close()
        self.dev.wait_reg(h.RING_STATE, h.NO_MEDIATOR)
        self.assertTrue(self.dev.vector_pending(1))

    def test_kicks_are_counted(self):
        peer = self.hostile_attach()
        for _ in range(100):                            # more than the kernel keeps events for
            self.dev.doorbell(3)
        self.assertEqual(os.eventfd_read(peer.kick[3]), 100)


class InterruptTest(DeviceTest):
    def wait_fired(self, vector):
        wait_for(f'vector {vector}', lambda: self.dev.vector_fired(vector))

    def settle(self):
        """After this, QEMU's main loop has seen everything that was written before."""
        peer = self.peer
        os.eventfd_write(peer.window_call, 1)
        wait_for('the main loop', lambda: h.eventfd_count(peer.window_call) == 0)

    def test_each_call_raises_its_vector(self):
        peer = self.attach()
        self.dev.msix_enable()
        for q in range(8):
            os.eventfd_write(peer.call[q], 1)
            self.wait_fired(1 + q)
            self.assertFalse([v for v in range(9) if self.dev.vector_fired(v)])

    def test_masked_vector_pends_and_fires_when_unmasked(self):
        peer = self.attach()
        self.dev.msix_enable(vectors=[v for v in range(9) if v != 3])
        os.eventfd_write(peer.call[2], 1)
        wait_for('the pending bit', lambda: self.dev.vector_pending(3))
        self.assertFalse(self.dev.vector_fired(3))
        self.dev.vector_mask(3, False)
        self.wait_fired(3)
        self.assertFalse(self.dev.vector_pending(3))

    def test_call_while_masked_fires_when_unmasked_without_a_check_of_the_pending_bits(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.dev.vector_mask(3, True)
        os.eventfd_write(peer.call[2], 1)
        self.settle()
        self.assertFalse(self.dev.vector_fired(3))
        self.dev.vector_mask(3, False)
        self.wait_fired(3)

    def test_vector_that_is_changed_while_live_fires_in_its_new_place(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.dev.vector_mask(1, True)
        self.dev.vector_setup(1, h.MSI_RAM + 0x800, 0x77)
        self.dev.vector_mask(1, False)
        os.eventfd_write(peer.call[0], 1)
        wait_for('the new message', lambda: self.qemu.read(h.MSI_RAM + 0x800) == 0x77)
        self.assertFalse(self.dev.vector_fired(1))

    def test_function_mask_holds_back_everything(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.dev.msix_control(mask_all=True)
        os.eventfd_write(peer.call[0], 1)
        wait_for('the pending bit', lambda: self.dev.vector_pending(1))
        self.assertFalse(self.dev.vector_fired(1))
        self.dev.msix_control()
        self.wait_fired(1)

    def test_calls_without_msix_are_harmless(self):
        peer = self.attach()
        self.dev.vector_setup(1)
        for _ in range(3):
            os.eventfd_write(peer.call[0], 1)
        self.settle()
        self.assertFalse(self.dev.vector_fired(1))
        self.dev.window_submit(b'request')
        peer.window_answer(0)
        self.dev.wait_reg(h.STATUS, h.DONE)

    def test_msix_can_be_switched_off_and_on(self):
        peer = self.attach()
        for _ in range(3):
            self.dev.msix_enable()
            os.eventfd_write(peer.call[7], 1)
            self.wait_fired(8)
            self.dev.msix_control(enable=False)
            os.eventfd_write(peer.call[7], 1)
            self.settle()
            self.assertFalse(self.dev.vector_fired(8))

    def test_window_interrupt_obeys_interrupt_ctrl(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.dev.window_submit(b'request')
        peer.window_answer(0)
        self.dev.wait_reg(h.STATUS, h.DONE)
        self.settle()
        self.assertFalse(self.dev.vector_fired(0))
        self.dev.set_reg(h.INTERRUPT_STATUS, 1)
        self.dev.set_reg(h.INTERRUPT_CTRL, 1)
        self.assertFalse(self.dev.vector_fired(0))
        self.dev.window_submit(b'request')
        peer.window_answer(1)
        self.wait_fired(0)
        self.dev.set_reg(h.REQUEST_LEN, 0)
        self.dev.set_reg(h.DOORBELL, 1)                 # an error at once is a completion too
        self.wait_fired(0)

    def test_interrupt_enabled_late_fires_for_what_is_there(self):
        self.attach()
        self.dev.msix_enable()
        self.dev.set_reg(h.DOORBELL, 1)
        self.assertFalse(self.dev.vector_fired(0))
        self.dev.set_reg(h.INTERRUPT_CTRL, 1)
        self.wait_fired(0)
        self.dev.set_reg(h.INTERRUPT_CTRL, 1)
        self.assertFalse(self.dev.vector_fired(0))

    def test_message_aimed_at_the_device_itself_changes_nothing(self):
        peer = self.attach()
        self.dev.msix_enable()
        for q, target in ((0, h.DOORBELL), (1, 0x1000 * (1 + 5)), (2, h.SCRATCH)):
            self.dev.vector_mask(1 + q, True)
            self.dev.vector_setup(1 + q, h.BAR0 + target, 1)
            self.dev.vector_mask(1 + q, False)
            os.eventfd_write(peer.call[q], 1)
            wait_for('the message',
                     lambda: self.qemu.guest_errors().count('aimed at the device itself') == q + 1)
        self.assertEqual(self.dev.reg(h.STATUS), h.IDLE)
        self.assertEqual(h.eventfd_count(peer.kick[5]), 0)
        self.assertEqual(self.dev.reg(h.SCRATCH), 0)

    def test_window_interrupt_aimed_at_its_own_doorbell_does_not_recurse(self):
        self.attach()
        self.dev.msix_enable()
        self.dev.vector_setup(0, h.BAR0 + h.DOORBELL, 1)
        self.dev.set_reg(h.INTERRUPT_CTRL, 1)
        self.dev.set_reg(h.DOORBELL, 1)                 # an error at once, which raises vector 0
        self.assertEqual((self.dev.reg(h.STATUS), self.dev.reg(h.ERROR_CODE)), (h.ERROR, 9))
        self.dev.vector_setup(0)
        self.dev.set_reg(h.DOORBELL, 1)
        self.wait_fired(0)

    def test_hangup_wakes_every_vector(self):
        peer = self.attach()
        self.dev.msix_enable()
        peer.sock.close()
        for vector in range(9):
            self.wait_fired(vector)
        self.attach()
        for vector in range(9):
            self.wait_fired(vector)

    def test_reset_masks_everything_and_the_next_driver_starts_clean(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()
        self.assertEqual(self.dev.config_read(self.dev.capability(0x11) + 2, 2) >> 14, 0)
        os.eventfd_write(peer.call[0], 1)
        self.settle()
        self.assertFalse(self.dev.vector_fired(1))
        self.dev.msix_enable()
        os.eventfd_write(peer.call[1], 1)
        self.wait_fired(2)


def unplug(test):
    """What a guest's ACPI code does when the host asks for the device back."""
    test.qemu.qmp('device_del', id='vgpu')
    test.qemu.command(f'outl 0xae08 {1 << h.SLOT:#x}')
    test.qemu.wait_event('DEVICE_DELETED', lambda event: event['data'].get('device') == 'vgpu')


class UnplugTest(DeviceTest):
    def test_unplug_detaches_and_replug_attaches(self):
        peer = self.attach()
        self.dev.msix_enable()
        self.dev.doorbell(0)
        self.dev.window_submit(b'request')
        unplug(self)
        peer.expect(h.DETACH)
        self.assertIsNone(peer.receive())
        self.assertEqual(self.dev.config_read(0), 0xFFFFFFFF)
        os.eventfd_write(peer.call[0], 1)               # nobody is there, nobody is hurt
        peer.window_answer(0)
        self.qemu.qmp('device_add', driver='vgpu-stub', id='vgpu', chardev='mediator', bus='pci.0',
                      addr=f'{h.SLOT:02x}.0', vm_id=7, pool_id='A', priority='low')
        self.dev.map()
        second = self.attach()
        self.assertEqual(second.priority, 0)
        self.assertNotEqual(os.fstat(second.region_fd).st_ino, os.fstat(peer.region_fd).st_ino)
        self.dev.doorbell(0)
        self.assertEqual(h.eventfd_count(second.kick[0]), 1)

    def test_unplug_without_a_mediator(self):
        unplug(self)
        self.assertEqual(self.dev.config_read(0), 0xFFFFFFFF)

    def test_files_are_closed(self):
        def open_files():
            folder = f'/proc/{self.qemu.process.pid}/fd'
            return sorted(re.sub(r'\d+', '', os.readlink(f'{folder}/{fd}')) for fd in os.listdir(folder))
        self.attach()
        unplug(self)
        self.peer.close()
        self.mediator.accept_any().close()              # the chardev stays and comes again, without a device
        before = wait_for('the region to go', lambda: not re.search('vgpu-(region|rings)', str(open_files()))
                          and open_files())
        for _ in range(3):
            self.qemu.qmp('device_add', driver='vgpu-stub', id='vgpu', chardev='mediator', bus='pci.0',
                          addr=f'{h.SLOT:02x}.0')
            unplug(self)
        wait_for('the same open files', lambda: len([f for f in open_files() if 'socket' not in f]) ==
                 len([f for f in before if 'socket' not in f]))


class ManyDevicesTest(DeviceTest):
    def test_device_added_later_gets_its_own_region(self):
        first = self.attach()
        other = h.Folder()
        self.addCleanup(other.close)
        mediator = h.Mediator(other.path)
        self.addCleanup(mediator.close)
        self.qemu.hmp(f'chardev-add socket,id=second,path={mediator.path},reconnect=1')
        self.qemu.qmp('device_add', driver='vgpu-stub', id='other', chardev='second', bus='pci.0',
                      addr='05.0', vm_id=8, pool_id='B')
        second = mediator.attach()
        self.assertEqual((second.vm_id, second.pool), (8, ord('B')))
        self.assertNotEqual(os.fstat(second.region_fd).st_ino, os.fstat(first.region_fd).st_ino)
        function = h.Function(self.qemu, 5, (0xE2000000, 0x900000000, 0xE3000000))
        function.map()
        function.doorbell(6)
        self.assertEqual((h.eventfd_count(second.kick[6]), h.eventfd_count(first.kick[6])), (1, 0))

    def test_migration_is_refused_with_a_reason(self):
        reply = self.qemu.qmp_raw('migrate', uri='exec:cat > /dev/null')
        self.assertIn('vgpu-stub cannot migrate', reply['error']['desc'])
        self.assertIn('vgpu-stub', self.qemu.hmp('savevm x'))
        unplug(self)
        self.assertNotIn('error', self.qemu.qmp_raw('migrate', uri='exec:cat > /dev/null'))


class ExpressTest(DeviceTest):
    """On q35 the device is a PCI Express one."""

    def start(self):
        self.qemu = h.Qemu(self.folder.path, ['-M', 'q35'] + h.chardev(self.mediator.path) + h.device())
        self.addCleanup(self.qemu.kill)
        self.dev = h.Function(self.qemu)
        self.dev.map()

    def test_flr_by_the_express_capability(self):
        self.attach()
        off = self.dev.capability(0x10)
        self.assertTrue(self.dev.config_read(off + 4) >> 28 & 1)
        self.dev.set_reg(h.SCRATCH, 0x1234)
        self.dev.msix_enable()
        self.dev.config_write(off + 8, self.dev.config_read(off + 8, 2) | 1 << 15, 2)
        self.peer.expect(h.RESET)
        self.dev.map()
        self.assertEqual(self.dev.reg(h.SCRATCH), 0)
        self.dev.msix_enable()
        os.eventfd_write(self.peer.call[0], 1)
        wait_for('vector 1', lambda: self.dev.vector_fired(1))


class KvmTest(DeviceTest):
    """KVM takes kicks from a guest and calls to it by itself; the guest is a few instructions, h.GUEST."""

    VECTOR = 0x60

    def start(self):
        if not os.access('/dev/kvm', os.R_OK | os.W_OK):
            self.skipTest('there is no /dev/kvm here that this user may open')
        args = ['-cpu', 'host,-arch-capabilities',
                '-trace', 'vgpu_stub_doorbell', '-trace', 'vgpu_stub_vector_unmask']
        try:
            self.qemu = h.Qemu(self.folder.path, args + h.chardev(self.mediator.path) + h.device(), 'kvm')
        except h.StartError as error:
            if 'failed to initialize' not in str(error):
                raise
            self.skipTest(f'KVM does not work here: {error}')
        self.addCleanup(self.qemu.kill)
        self.dev = h.Function(self.qemu, bars=(h.GUEST_BAR0, h.BAR2, h.BAR4))
        self.dev.map()
        self.qemu.qmp('cont')

    def fired(self, number):
        """Whether the guest has had this interrupt since the last look."""
        fired = self.qemu.read(h.GUEST_FIRED + number, 1)
        if fired:
            self.qemu.write(h.GUEST_FIRED + number, 0, 1)
        return fired

    def wait_fired(self, number):
        wait_for(f'interrupt {number:#x}', lambda: self.fired(number))

    def enable(self):
        wait_for('the guest', lambda: self.qemu.read(h.GUEST_READY, 1))
        for vector in range(9):
            self.point(vector, self.VECTOR + vector)
            self.dev.vector_mask(vector, False)
        self.dev.msix_control()

    def point(self, vector, number):
        """MSI-X vector -> interrupt number -> its handler."""
        handler = h.GUEST_HANDLERS + 32 * number
        self.qemu.write_bytes(handler, h.guest_handler(number))
        self.qemu.write(4 * number, handler)
        self.dev.vector_setup(vector, 0xFEE00000, number)

    def test_doorbell_of_any_size_goes_past_qemu(self):
        peer = self.attach()
        for size in (1, 2, 4):
            self.qemu.write(h.GUEST_STORE, size, 1)
            wait_for('the store', lambda: self.qemu.read(h.GUEST_STORE, 1) == 0)
            self.assertEqual(h.eventfd_count(peer.kick[0]), 1)
        self.assertNotIn('vgpu_stub_doorbell', self.qemu.guest_errors())
        self.dev.doorbell(0, off=2, size=1)             # the trace would have shown it
        self.assertIn('vgpu_stub_doorbell', self.qemu.guest_errors())

    def test_calls_reach_the_apic(self):
        peer = self.attach()
        self.enable()
        self.assertEqual(len(re.findall('vgpu_stub_vector_unmask.*irqfd 1', self.qemu.guest_errors())), 8)
        for q in range(8):
            os.eventfd_write(peer.call[q], 1)
            self.wait_fired(self.VECTOR + 1 + q)

    def test_mask_then_change_then_unmask(self):
        peer = self.attach()
        self.enable()
        self.dev.vector_mask(2, True)
        os.eventfd_write(peer.call[1], 1)
        wait_for('the pending bit', lambda: self.dev.vector_pending(2))
        self.assertFalse(self.fired(self.VECTOR + 2))
        self.point(2, 0x90)
        self.dev.vector_mask(2, False)
        self.wait_fired(0x90)                           # sent by QEMU, from the pending bit
        os.eventfd_write(peer.call[1], 1)
        self.wait_fired(0x90)                           # by the irqfd
        self.assertFalse(self.fired(self.VECTOR + 2))

    def test_call_while_masked_fires_when_unmasked(self):
        peer = self.attach()
        self.enable()
        self.dev.vector_mask(2, True)
        os.eventfd_write(peer.call[1], 1)
        self.assertFalse(self.fired(self.VECTOR + 2))
        self.dev.vector_mask(2, False)
        self.wait_fired(self.VECTOR + 2)

    def test_switching_and_reset_leave_a_working_device(self):
        peer = self.attach()
        for _ in range(3):
            self.enable()
            self.dev.msix_control(enable=False)
        self.enable()
        self.qemu.write(h.GUEST_READY, 0, 1)
        self.qemu.qmp('system_reset')
        self.qemu.wait_event('RESET')
        self.dev.map()
        self.enable()
        os.eventfd_write(peer.call[4], 1)
        self.wait_fired(self.VECTOR + 5)

    def test_hangup_wakes_through_irqfds(self):
        peer = self.attach()
        self.enable()
        peer.sock.close()
        for vector in range(9):
            self.wait_fired(self.VECTOR + vector)

    def test_unplug_with_irqfds(self):
        self.attach()
        self.enable()
        unplug(self)
        self.assertEqual(self.dev.config_read(0), 0xFFFFFFFF)


class BadPropertiesTest(unittest.TestCase):
    """Every mistake ends QEMU with status 1 and a message that names cause and remedy."""

    def setUp(self):
        self.folder = h.Folder()
        self.addCleanup(self.folder.close)

    def check(self, text, objects=(), chardevs=None, accel='qtest', **properties):
        if chardevs is None:
            chardevs = h.chardev(f'{self.folder.path}/nobody')
        args = h.command(self.folder.path, accel) + chardevs + list(objects) + h.device(**properties)
        run = subprocess.run(args, timeout=h.DEADLINE_S, stdin=subprocess.DEVNULL, capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 1, run.stderr)
        self.assertRegex(run.stderr, text)

    def memdev(self, text, kind, options='', **properties):
        self.check(text, ['-object', f'{kind},id=ram,size=16M{options}'], memdev='ram', **properties)

    def test_chardev(self):
        self.check('add chardev=ID and -chardev socket', chardevs=[], chardev=None)
        self.check("chardev 'mediator' cannot pass descriptors; use a Unix socket",
                   chardevs=['-chardev', 'null,id=mediator'])

    def test_claims(self):
        for pool in ('C', 'a', 'AB', ''):
            self.check(f"pool_id='{pool}' is no pool; use pool_id=A or pool_id=B", pool_id=pool)
        for priority in ('urgent', 'High', '1', ''):
            self.check(f"priority='{priority}' is unknown; use low, medium or high", priority=priority)
        self.check('vm_id', vm_id='4294967296')
        self.check('vm_id', vm_id='x')

    def test_shapes(self):
        for rings in (0, 9):
            self.check(f'rings={rings} is out of range; use 1 to 8', rings=rings)
        for entries in (0, 1, 3, 8192):
            self.check(f'entries={entries} is not a power of two from 2 to 4096', entries=entries)
        for size in ('3M', '32K', '128G', '0', '4097'):
            self.check('is not a power of two from 64K to 64G; use for example size=16M', size=size)
        self.check('8 rings of 4096 entries do not fit into 1 MiB; use a larger size, or fewer', size='1M',
                   entries=4096)
        self.check('ring', ring='maybe')

    def test_memdev(self):
        self.memdev("memdev 'ram' is not a memfd; use -object memory-backend-memfd", 'memory-backend-ram')
        self.memdev("memdev 'ram' is not sealed; use memory-backend-memfd with seal=on",
                    'memory-backend-memfd', ',seal=off')
        self.memdev("memdev 'ram' is private to QEMU; add share=on", 'memory-backend-memfd', ',share=off')
        self.memdev("size is not that of memdev 'ram'; leave size out", 'memory-backend-memfd', size='32M')
        self.memdev("memdev 'ram' is not (a memfd|sealed)", 'memory-backend-file',
                    f',share=on,mem-path={self.folder.path}/file')
        self.check('3 MiB is not a power of two', ['-object', 'memory-backend-memfd,id=ram,size=3M'],
                   memdev='ram')
        self.check('ram', memdev='ram')

    def test_emulator_that_drops_barriers(self):
        remedy = 'use -accel tcg,thread=multi and -smp N,maxcpus=M'
        self.check(remedy, accel='tcg,thread=multi')
        self.check(remedy, ['-smp', '2'], accel='tcg,thread=single')
        self.check(remedy, ['-smp', '1,maxcpus=2'], accel='tcg,thread=single')
        for accel, objects, properties in (('tcg,thread=multi', ['-smp', '1,maxcpus=2'], {}),
                                           ('tcg,thread=multi', ['-smp', '2'], {}),
                                           ('tcg,thread=single', [], {'ring': 'off'})):
            folder = h.Folder()
            self.addCleanup(folder.close)
            qemu = h.Qemu(folder.path, h.chardev(f'{folder.path}/nobody') + objects + h.device(**properties),
                          accel)
            self.addCleanup(qemu.kill)
            qemu.qmp('query-status')

    def test_memdev_of_another_device(self):
        objects = ['-object', 'memory-backend-memfd,id=ram,size=16M']
        objects += h.chardev(f'{self.folder.path}/other', 'other')
        objects += h.device(chardev='other', id='first', addr='03.0', memdev='ram')
        self.check("memdev 'ram' is in use; give each device", objects, memdev='ram')

    def test_failed_hotplug_leaves_a_working_qemu(self):
        mediator = h.Mediator(self.folder.path)
        self.addCleanup(mediator.close)
        qemu = h.Qemu(self.folder.path, h.chardev(mediator.path))
        self.addCleanup(qemu.kill)
        for properties in ({'rings': 9}, {'size': 12345}, {'pool_id': 'Z'}, {'memdev': 'none'}):
            reply = qemu.qmp_raw('device_add', driver='vgpu-stub', id='vgpu', chardev='mediator', bus='pci.0',
                                 addr='04.0', **properties)
            self.assertIn('error', reply)
        qemu.qmp('device_add', driver='vgpu-stub', id='vgpu', chardev='mediator', bus='pci.0', addr='04.0')
        mediator.attach()


def lacking():
    """Why these tests cannot run here, or None."""
    qemu = os.environ.get('VGPU_QEMU')
    if not qemu:
        return 'VGPU_QEMU is not set; set it to the path that qemu/build.sh prints'
    if not hasattr(socket, 'recv_fds') or not hasattr(os, 'eventfd_read'):
        return f'Python {sys.version_info.major}.{sys.version_info.minor} is too old; 3.10 is needed'
    if not os.access(qemu, os.X_OK):
        sys.exit(f'VGPU_QEMU={qemu} is no program')
    return None


if __name__ == '__main__':
    unittest_xml.main(lacking=lacking())

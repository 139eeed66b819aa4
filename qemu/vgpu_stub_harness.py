# SPDX-License-Identifier: GPL-2.0-or-later
"""What the device test stands on: QEMU driven by the qtest protocol, the PCI function, and a fake mediator.

The numbers here are written out a second time on purpose: a change of the wire or of a register that is not
meant must break the test.
"""

import ctypes
import fcntl
import json
import mmap
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

DEADLINE_S = 30  # of every wait: for the failure only, nothing sleeps this long

# BAR0
DOORBELL, STATUS, POOL_ID, PRIORITY, VM_ID, ERROR_CODE = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
REQUEST_LEN, RESPONSE_LEN, PROTOCOL_VER, CAPABILITIES = 0x18, 0x1C, 0x20, 0x24
INTERRUPT_CTRL, INTERRUPT_STATUS, REQUEST_ID = 0x28, 0x2C, 0x30
TIMESTAMP_LO, TIMESTAMP_HI, SCRATCH = 0x34, 0x38, 0x3C
REQUEST_BUF, RESPONSE_BUF, BUF_BYTES = 0x40, 0x440, 1024
RING_CAPS, RING_COUNT, RING_STATE, REFUSAL = 0x840, 0x844, 0x848, 0x84C
IDLE, BUSY, DONE, ERROR = range(4)
NO_MEDIATOR, ATTACHED, FENCED, QUARANTINED = range(4)

# Control socket
CONTROL_MAGIC = 0x54434756
HELLO, ATTACH, RING, START, GRANT, STATE, RESET, RESET_DONE, DETACH = range(1, 10)
MSG_ERROR = 12
ABI_VERSION = 0x00010000

# Region and private file
REGION_MAGIC = b'VGPURNG1'
PRIVATE_MAGIC = b'VPGPRIV1'
PRIVATE_BYTES = 256 << 10
LINK_STATE_OFF = 128
WINDOW_RING, WINDOW_SLOTS, WINDOW_ARENA, WINDOW_ENTRIES = 4096, 4096 + 512, 8192, 8
OP_WINDOW = 0x100
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

# Where the guest would put the BARs; the messages of its MSI-X vectors go to RAM, where the test reads them.
BAR0, BAR2, BAR4, MSI_RAM = 0xE0000000, 0x800000000, 0xE1000000, 0x100000
SLOT = 4


# The guest of KvmTest, in real mode: enables the local APIC, then makes the stores that the test orders.
# GUEST_STORE holds the size of the next store of 1 to ring 0's doorbell, 0 when it is done. An interrupt sets
# the byte of its number at GUEST_FIRED.
GUEST_BAR0, GUEST_STORE, GUEST_READY, GUEST_FIRED, GUEST_HANDLERS = 0xA0000, 0x500, 0x501, 0x600, 0x2000
GUEST = bytes.fromhex(
    '66b91b000000 0f32 660d000c0000 0f30'            # rdmsr/wrmsr 0x1b: enable the APIC, in x2APIC mode
    '66b90f080000 6631d2 66b8ff010000 0f30'          # wrmsr 0x80f: software enable
    '31c0 8ed8 b800a0 8ec0'                          # ds = 0, es = 0xa000: BAR0
    'c606010501 fb'                                  # movb $1, [0x501]: ready; interrupts on
    'a00005 3c01740c 3c027410 3c047415 f390 ebed'    # spin: by [0x500] go to one of the stores
    '26c606001001 eb13'                              # movb $1, es:0x1000
    '26c7060010 0100 eb0a'                           # movw
    '2666c7060010 01000000'                          # movl
    'c606000500 ebcb'.replace(' ', ''))              # [0x500] = 0, spin


def guest_handler(number):
    """The guest's code for interrupt `number`, of at most 32 bytes."""
    mark = b'\xc6\x06' + struct.pack('<H', GUEST_FIRED + number) + b'\x01'         # movb $1, [...]
    return mark + bytes.fromhex('6660 66b90b080000 6631c0 6631d2 0f30 6661 cf')  # wrmsr 0x80b: end it


def wait_for(what, condition):
    """The first true value of condition(); fails loudly when none comes."""
    end = time.monotonic() + DEADLINE_S
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'{DEADLINE_S} s have passed without {what}')
        time.sleep(0.001)


def eventfd_count(fd):
    """Takes the count of an eventfd, 0 if it is not readable."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def window_tag(idx):
    return 1 << 16 | (idx >> 3) & 0xFFFF


class Connection:
    """The mediator's end of one control connection."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(DEADLINE_S)
        self.private = self.region = None
        self.fds = []

    def receive(self):
        """(type, payload, descriptors) of the next message; None at the end of the connection."""
        head, fds = b'', []
        while len(head) < 16:
            data, new, _, _ = socket.recv_fds(self.sock, 16 - len(head), 8)
            fds += new
            if not data:
                assert not head, 'the connection ended inside a header'
                return None
            head += data
        magic, version, kind, size, reserved = struct.unpack('<IHHII', head)
        assert (magic, version, reserved) == (CONTROL_MAGIC, 1, 0), head
        payload = b''
        while len(payload) < size:
            data = self.sock.recv(size - len(payload))
            assert data, 'the connection ended inside a message'
            payload += data
        self.fds += fds
        return kind, payload, fds

    def expect(self, kind):
        message = self.receive()
        assert message is not None, f'the connection ended; expected message {kind}'
        assert message[0] == kind, f'got message {message[0]}, expected {kind}'
        return message[1], message[2]

    def send(self, kind, payload=b'', magic=CONTROL_MAGIC, version=1):
        self.sock.sendall(struct.pack('<IHHII', magic, version, kind, len(payload), 0) + payload)

    def hello(self):
        """Both HELLOs."""
        payload, fds = self.expect(HELLO)
        assert struct.unpack('<II', payload) == (ABI_VERSION, 0) and not fds
        self.send(HELLO, struct.pack('<II', ABI_VERSION, 0))

    def take_attach(self):
        """Everything from ATTACH to START."""
        payload, fds = self.expect(ATTACH)
        (self.vm_id, self.pool, self.priority, self.ring_count, self.entries, _,
         self.region_bytes) = struct.unpack('<IIIIIIQ', payload)
        assert len(fds) in ((4, 5) if self.ring_count else (3,)), fds
        self.private_fd, self.window_kick, self.window_call = fds[:3]
        self.private = mmap.mmap(self.private_fd, PRIVATE_BYTES)
        if self.ring_count:
            self.region_fd = fds[3]
            self.region = mmap.mmap(self.region_fd, self.region_bytes)
        self.rings_fd = fds[4] if len(fds) == 5 else -1     # none with huge pages
        if self.rings_fd >= 0:
            lay_over(self.region, self.rings_fd, self.pieces())
        self.kick, self.call = [], []
        for q in range(self.ring_count):
            payload, fds = self.expect(RING)
            assert struct.unpack('<II', payload) == (q, 0)
            self.kick.append(fds[0])
            self.call.append(fds[1])
            assert len(fds) == 2
        payload, fds = self.expect(START)
        assert not payload and not fds

    def pieces(self):
        """(offset in the rings file, offset in the region, bytes) of each part of the region that the rings
        file covers."""
        stride = (self.region_bytes - 4096) // self.ring_count & ~4095
        ring = (512 + self.entries * 64 + 4095) & ~4095
        return [(0, 0, 4096 + ring)] + [(4096 + q * ring, 4096 + q * stride, ring)
                                        for q in range(1, self.ring_count)]

    def memory_present(self):
        """Whether no page is missing that anybody sees: those of the region below the rings file are not."""
        covered = [(off, off + size) for _, off, size in self.pieces()] if self.rings_fd >= 0 else []
        return (present(self.private_fd) and (self.rings_fd < 0 or present(self.rings_fd)) and
                all(any(begin <= hole[0] and hole[1] <= end for begin, end in covered)
                    for hole in holes(self.region_fd)))

    def grant(self, vm_id=None, pool=None, priority=None):
        self.send(GRANT, struct.pack('<IIII', self.vm_id if vm_id is None else vm_id, pool or self.pool,
                                     self.priority if priority is None else priority, 0))

    def refuse(self, code, text=b'no'):
        """ERROR and the end, as a mediator does it; `text` without a zero byte if it is long enough."""
        self.send(MSG_ERROR, struct.pack('<II248s', code, 0, text))

    def window_slot(self, idx):
        """(submit, done, arg0) of the window ring's slot for idx."""
        return struct.unpack_from('<QQQ', self.private, WINDOW_SLOTS + idx % WINDOW_ENTRIES * 64)

    def window_request(self, idx):
        """The request that QEMU has submitted as number idx, checked."""
        submit, _, length = self.window_slot(idx)
        assert submit == (window_tag(idx) << 8 << 32 | OP_WINDOW), hex(submit)
        start = WINDOW_ARENA + idx % WINDOW_ENTRIES * 2 * BUF_BYTES
        return self.private[start:start + length]

    def window_answer(self, idx, response=b'', code=0, length=None, call=True):
        start = WINDOW_ARENA + idx % WINDOW_ENTRIES * 2 * BUF_BYTES + BUF_BYTES
        self.private[start:start + len(response)] = response
        done = (window_tag(idx) << 8 | code) << 32 | (len(response) if length is None else length)
        struct.pack_into('<Q', self.private, WINDOW_SLOTS + idx % WINDOW_ENTRIES * 64 + 8, done)
        if call:
            os.eventfd_write(self.window_call, 1)

    def link_state(self):
        """(state, sequence) as QEMU has written it into the region's header."""
        return struct.unpack_from('<II', self.region, LINK_STATE_OFF)

    def close(self):
        self.sock.close()
        for mapping in (self.private, self.region):
            if mapping is not None:
                mapping.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Mediator:
    """A listening control socket."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'control')
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.listener.settimeout(DEADLINE_S)
        self.connections = []
        self.unused = 0

    def accept_any(self):
        connection = Connection(self.listener.accept()[0])
        self.connections.append(connection)
        return connection

    def accept(self):
        """The next connection that is used: a device that was refused lets some go by."""
        while True:
            connection = self.accept_any()
            if connection.sock.recv(1, socket.MSG_PEEK):
                return connection
            self.unused += 1

    def attach(self, **granted):
        """A connection that has come as far as GRANT."""
        connection = self.accept()
        connection.hello()
        connection.take_attach()
        connection.grant(**granted)
        return connection

    def close(self):
        for connection in self.connections:
            connection.close()
        self.listener.close()


class StartError(AssertionError):
    """QEMU has ended before the test could talk to it."""


class Qemu:
    """A QEMU whose CPU never runs; the test makes the accesses a guest would make."""

    def __init__(self, folder, args, accel='qtest'):
        self.log_path = os.path.join(folder, 'stderr')
        self.guest_errors_path = os.path.join(folder, 'guest-errors')
        self.events = []
        sockets = []
        for name in ('qtest', 'qmp'):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(os.path.join(folder, name))
            listener.listen(1)
            listener.settimeout(DEADLINE_S)
            sockets.append(listener)
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                command(folder, accel) +
                ['-qtest', f'unix:{folder}/qtest', '-qtest-log', '/dev/null', '-qmp', f'unix:{folder}/qmp',
                 '-d', 'guest_errors', '-D', self.guest_errors_path] + args,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.qtest, self.qmp_file = (self._accept(listener).makefile('rwb') for listener in sockets)
        self._read_qmp()
        self.qmp('qmp_capabilities')

    def _accept(self, listener):
        """The connection, or an error with QEMU's own words if it ended instead."""
        listener.settimeout(0.1)
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                connection = listener.accept()[0]
                break
            except socket.timeout:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise StartError(f'QEMU did not start: {self.log()}') from None
        listener.close()
        connection.settimeout(DEADLINE_S)
        return connection

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def guest_errors(self):
        if not os.path.exists(self.guest_errors_path):
            return ''
        with open(self.guest_errors_path) as log:
            return log.read()

    def command(self, text):
        self.qtest.write(text.encode() + b'\n')
        self.qtest.flush()
        reply = self.qtest.readline().decode().split()
        assert reply and reply[0] == 'OK', f'{text}: {reply}, QEMU says: {self.log()}'
        return reply[1] if len(reply) > 1 else None

    def read(self, addr, size=4):
        return int(self.command(f'read{"bwlq"[(1, 2, 4, 8).index(size)]} {addr:#x}'), 0)

    def write(self, addr, value, size=4):
        self.command(f'write{"bwlq"[(1, 2, 4, 8).index(size)]} {addr:#x} {value:#x}')

    def read_bytes(self, addr, size):
        return bytes.fromhex(self.command(f'read {addr:#x} {size:#x}')[2:])

    def write_bytes(self, addr, data):
        self.command(f'write {addr:#x} {len(data):#x} 0x{data.hex()}')

    def _read_qmp(self):
        line = self.qmp_file.readline()
        assert line, f'QEMU has ended: {self.log()}'
        return json.loads(line)

    def qmp_raw(self, execute, **arguments):
        self.qmp_file.write(json.dumps({'execute': execute, 'arguments': arguments}).encode())
        self.qmp_file.flush()
        while True:
            reply = self._read_qmp()
            if 'event' not in reply:
                return reply
            self.events.append(reply)

    def qmp(self, execute, **arguments):
        reply = self.qmp_raw(execute, **arguments)
        assert 'return' in reply, reply
        return reply['return']

    def hmp(self, line):
        return self.qmp('human-monitor-command', **{'command-line': line})

    def wait_event(self, name, condition=lambda event: True):
        while True:
            for event in self.events:
                if event['event'] == name and condition(event):
                    self.events.remove(event)
                    return event
            self.events.append(self._read_qmp())

    def kill(self):
        """Ends QEMU; a test that crashed it fails here, whatever else it found."""
        status = self.process.poll()
        for stream in (self.qtest, self.qmp_file):
            try:
                stream.close()
            except OSError:
                pass
        self.process.kill()
        self.process.wait()
        assert status is None, f'QEMU ended by itself with status {status}: {self.log()}'


class Function:
    """The device's PCI function, with the accesses of a guest's driver."""

    def __init__(self, qemu, slot=SLOT, bars=(BAR0, BAR2, BAR4)):
        self.qemu, self.slot = qemu, slot
        self.bar0, self.bar2, self.bar4 = bars

    def config_read(self, off, size=4):
        self.qemu.command(f'outl 0xcf8 {0x80000000 | self.slot << 11 | off & ~3:#x}')
        return int(self.qemu.command(f'in{"bwl"[size // 2]} {0xCFC + off % 4:#x}'), 0)

    def config_write(self, off, value, size=4):
        self.qemu.command(f'outl 0xcf8 {0x80000000 | self.slot << 11 | off & ~3:#x}')
        self.qemu.command(f'out{"bwl"[size // 2]} {0xCFC + off % 4:#x} {value:#x}')

    def map(self):
        """What firmware does: BAR addresses, then memory and bus master on."""
        self.config_write(0x10, self.bar0)
        self.config_write(0x18, self.bar2 & 0xFFFFFFFF)
        self.config_write(0x1C, self.bar2 >> 32)
        self.config_write(0x20, self.bar4)
        self.config_write(0x04, 0x6, 2)

    def capability(self, wanted):
        off = self.config_read(0x34, 1)
        while off:
            if self.config_read(off, 1) == wanted:
                return off
            off = self.config_read(off + 1, 1)
        return 0

    def reg(self, off, size=4):
        return self.qemu.read(self.bar0 + off, size)

    def set_reg(self, off, value, size=4):
        self.qemu.write(self.bar0 + off, value, size)

    def doorbell(self, q, size=4, value=1, off=0):
        self.qemu.write(self.bar0 + 0x1000 * (1 + q) + off, value, size)

    def wait_reg(self, off, value):
        wait_for(f'register {off:#x} == {value:#x}', lambda: self.reg(off) == value)

    def window_submit(self, request, request_id=0):
        self.qemu.write_bytes(self.bar0 + REQUEST_BUF, request)
        self.set_reg(REQUEST_LEN, len(request))
        self.set_reg(REQUEST_ID, request_id)
        self.set_reg(DOORBELL, 1)

    def response(self, size=BUF_BYTES):
        return self.qemu.read_bytes(self.bar0 + RESPONSE_BUF, size)

    def vector_setup(self, vector, address=None, data=None):
        entry = self.bar4 + 16 * vector
        self.qemu.write(entry, MSI_RAM + 4 * vector if address is None else address)
        self.qemu.write(entry + 4, 0)
        self.qemu.write(entry + 8, self.vector_data(vector) if data is None else data)

    def vector_mask(self, vector, masked):
        self.qemu.write(self.bar4 + 16 * vector + 12, int(masked))

    @staticmethod
    def vector_data(vector):
        return 0x5A00 + vector

    def vector_fired(self, vector):
        """Whether the vector's message has arrived since the last look."""
        fired = self.qemu.read(MSI_RAM + 4 * vector) == self.vector_data(vector)
        if fired:
            self.qemu.write(MSI_RAM + 4 * vector, 0)
        return fired

    def vector_pending(self, vector):
        return bool(self.qemu.read(self.bar4 + 0x800) >> vector & 1)

    def msix_control(self, enable=True, mask_all=False):
        self.config_write(self.capability(0x11) + 2, enable << 15 | mask_all << 14, 2)

    def msix_enable(self, vectors=range(9)):
        """MSI-X on, the given vectors unmasked; a call of before may come through now and is thrown away."""
        for vector in range(9):
            self.vector_setup(vector)
            self.vector_mask(vector, vector not in vectors)
        self.msix_control()
        for vector in vectors:
            self.vector_fired(vector)


def command(folder, accel='qtest'):
    # A test that is killed (a time limit) takes its QEMU with it.
    guard = ['setpriv', '--pdeathsig', 'KILL'] if shutil.which('setpriv') else []
    return guard + [os.environ['VGPU_QEMU'], '-accel', accel, '-M', 'pc', '-m', '64', '-nodefaults',
            '-display', 'none', '-S', '-bios', os.path.join(folder, 'bios')]


def chardev(path, ident='mediator'):
    return ['-chardev', f'socket,id={ident},path={path},reconnect=1']


def device(**properties):
    """The -device argument; a property that is None is left out."""
    values = {'chardev': 'mediator', 'id': 'vgpu', 'addr': f'{SLOT:02x}.0', 'vm_id': 7, 'pool_id': 'A',
              'priority': 'high', **properties}
    return ['-device', ','.join(['vgpu-stub'] + [f'{k}={v}' for k, v in values.items() if v is not None])]


class Folder:
    """A short path, because Unix socket names are."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix='vgpu-qtest-', dir='/tmp')
        with open(os.path.join(self.path, 'bios'), 'wb') as bios:  # QEMU wants one; only KvmTest runs it
            bios.write((GUEST + bytes(0xFFF0 - len(GUEST)) + b'\xe9\x0d\x00').ljust(64 << 10, b'\0'))

    def close(self):
        shutil.rmtree(self.path)


def present(fd):
    """Whether the whole of a memfd has pages: there is no hole before its end."""
    return os.lseek(fd, 0, os.SEEK_HOLE) == os.fstat(fd).st_size


def holes(fd):
    """(begin, end) of each part of a memfd that has no pages."""
    found, at, size = [], 0, os.fstat(fd).st_size
    while (begin := os.lseek(fd, at, os.SEEK_HOLE)) < size:
        try:
            at = os.lseek(fd, begin, os.SEEK_DATA)
        except OSError:                                 # nothing but a hole to the end
            at = size
        found.append((begin, at))
    return found


def lay_over(region, fd, pieces):
    """Maps parts of a file in the place of parts of the region, as owner and mediator do."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                          ctypes.c_long]
    base = ctypes.addressof(ctypes.c_char.from_buffer(region))
    for file_off, region_off, size in pieces:
        fixed = 0x10
        at = libc.mmap(base + region_off, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | fixed, fd,
                       file_off)
        if at != base + region_off:
            raise OSError(ctypes.get_errno(), 'mmap')


def punch(fd, off, size):
    """Takes pages away, as whoever has the memfd may do."""
    keep_size, punch_hole = 1, 2
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.fallocate(fd, keep_size | punch_hole, ctypes.c_long(off), ctypes.c_long(size)):
        raise OSError(ctypes.get_errno(), 'fallocate')


def seals(fd):
    return fcntl.fcntl(fd, fcntl.F_GET_SEALS)

# SPDX-License-Identifier: Apache-2.0
"""The initramfs of a throw-away VM: busybox, a few kernel modules, the user's files and the command to
run."""

import glob
import lzma
import os
import re
import shlex
import stat
import subprocess

BUSYBOX = "/bin/busybox"
FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "usr/bin", ".vm", ".vm/modules")
# The ports by which the VM reports: virtio-serial, because its ports carry any byte and tell when it is
# taken.
CHANNELS = ("status", "out", "err")
BASE_MODULES = ("virtio_pci", "virtio_console")

INIT = r"""#!/bin/busybox sh
# The first and only service of a throw-away VM: runs /.vm/command and switches off.
export PATH=/:/bin:/usr/bin HOME=/root TERM=dumb LC_ALL=C.UTF-8
cd /
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
ln -s /proc/self/fd /dev/fd
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
for module in /.vm/modules/*.ko; do
  insmod "$module" || echo "init: cannot load $module"
done
[ ! -e /sys/class/net/lo ] || ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 up
  ip addr add 10.0.2.15/24 dev eth0
  ip route add default via 10.0.2.2
fi
while [ ! -c /dev/vport0p1 ] || [ ! -c /dev/vport0p2 ] || [ ! -c /dev/vport0p3 ]; do
  usleep 1000
done
exec 3>/dev/vport0p1
echo started >&3
# A port can be opened once only; through pipes the command may open /dev/stdout and /dev/stderr as often as
# it likes.
mkfifo /.vm/out /.vm/err
cat /.vm/out >/dev/vport0p2 3>&- & out=$!
cat /.vm/err >/dev/vport0p3 3>&- & err=$!
sh /.vm/command </dev/null >/.vm/out 2>/.vm/err 3>&-
status=$?
# What the command left running may hold the pipes: it ends here, and cat has then seen all there is.
for process in /proc/[0-9]*; do
  process=${process#/proc/}
  case " 1 $out $err " in
    *" $process "*) ;;
    *) kill -9 "$process" 2>/dev/null ;;
  esac
done
wait "$out" "$err"
echo "exit $status" >&3
poweroff -f
"""


class ImageError(Exception):
    """What the image needs is missing; the text names it and the remedy."""


class Cpio:
    """Writes the "newc" archive that the kernel unpacks."""

    def __init__(self):
        self._parts = []
        self._count = 0

    def add(self, name, mode, data=b""):
        self._count += 1
        name = os.fsencode(name) + b"\0"
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + name, data):
            self._parts += (part, b"\0" * (-len(part) % 4))

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.add(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.add(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self._parts)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from error


def kernel_of(folder):
    """Returns (path of vmlinuz, folder of its modules), the newest of those in `folder`."""
    images = glob.glob(os.path.join(folder, "boot", "vmlinuz-*"))
    if not images:
        raise ImageError(f"no kernel in {folder}/boot; run tools/lib/kernel.sh, or name a folder with "
                         f"--kernel")
    image = max(images, key=os.path.getmtime)
    version = os.path.basename(image)[len("vmlinuz-"):]
    return image, os.path.join(folder, "lib", "modules", version)


class Modules:
    """The modules of one kernel, with what each depends on."""

    def __init__(self, folder):
        self._paths = {}
        for base, _, names in os.walk(folder):
            for name in names:
                if re.search(r"\.ko(\.xz)?$", name):
                    self._paths[self._key(name)] = os.path.join(base, name)
        builtin = os.path.join(folder, "modules.builtin")
        self._builtin = {self._key(line) for line in read(builtin).decode().split()}

    @staticmethod
    def _key(path):
        return os.path.basename(path).split(".")[0].replace("-", "_")

    def in_load_order(self, wanted):
        """Returns [(name, content)]: the wanted ones (names, or paths of .ko files), each after what it
        needs."""
        loaded = {}
        for module in wanted:
            self._load(module, loaded)
        return list(loaded.items())

    def _load(self, module, loaded):
        name = self._key(module)
        if name in loaded or name in self._builtin:
            return
        path = module if "/" in module else self._paths.get(name)
        if path is None:
            raise ImageError(f"this kernel has no module {name}")
        content = read(path)
        if path.endswith(".xz"):
            content = lzma.decompress(content)
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for dependency in (depends.group(1).decode().split(",") if depends else []):
            if dependency:
                self._load(dependency, loaded)
        loaded[name] = content


def build(modules_folder, modules, files, command):
    """Returns the initramfs: `files` lie in /, `command` (a list of arguments) runs, nothing else does."""
    if not os.access(BUSYBOX, os.X_OK):
        raise ImageError(f"{BUSYBOX} is missing; run: apt-get install busybox-static")
    archive = Cpio()
    for folder in FOLDERS:
        archive.folder(folder)
    for name in ("sbin", "usr/sbin"):
        archive.link(name, "/bin")
    archive.file("bin/busybox", read(BUSYBOX), 0o755)
    for applet in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True,
                                 text=True).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    loaded = Modules(modules_folder).in_load_order([*BASE_MODULES, *modules])
    for number, (name, content) in enumerate(loaded):
        archive.file(f".vm/modules/{number:03}-{name}.ko", content)
    for path in files:
        archive.file(os.path.basename(path), read(path), stat.S_IMODE(os.stat(path).st_mode))
    archive.file(".vm/command", os.fsencode("exec " + shlex.join(command) + "\n"))
    archive.file("init", INIT.encode(), 0o755)
    return archive.bytes()

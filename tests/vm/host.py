# SPDX-License-Identifier: Apache-2.0
"""The host's side of a test in VMs: a real mediator, real VMs, and the operator's view of both."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TIMEOUT_S = 120
VM, MEDIATOR, CLIENT, VGPUCTL = (os.path.abspath(path) for path in (
    "tools/vm", "mediator/mediator", "guest/vgpu-client", "tools/vgpuctl"))


def wait_for(what, condition, timeout_s=TIMEOUT_S):
    """Returns the first true value of condition()."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what}: not within {timeout_s} s")
        time.sleep(0.01)


class Mediator:
    def __init__(self, *arguments):
        self.folder = tempfile.mkdtemp(prefix="vgpu-")
        self.socket = os.path.join(self.folder, "mediator.sock")
        self._arguments = arguments
        self._log = open(os.path.join(self.folder, "mediator.log"), "w+", encoding="utf-8")
        self.start()

    def start(self):
        self.process = subprocess.Popen([MEDIATOR, "--socket", self.socket, *self._arguments],
                                        stdin=subprocess.DEVNULL, stderr=self._log)
        wait_for("the mediator serves", lambda: self._serves())

    def _serves(self):
        if self.process.poll() is not None:
            raise AssertionError("the mediator ended: " + self.log())
        return subprocess.run([VGPUCTL, "status", "--socket", self.socket],
                              capture_output=True).returncode == 0

    def status(self):
        """The status as a dictionary; "vms" is one by vm_id."""
        output = subprocess.run([VGPUCTL, "status", "--json", "--socket", self.socket], check=True,
                                capture_output=True, timeout=TIMEOUT_S).stdout
        status = json.loads(output)
        status["vms"] = {vm["vm_id"]: vm for vm in status["vms"]}
        return status

    def vm(self, vm_id):
        """The status of one VM, or None."""
        return self.status()["vms"].get(vm_id)

    def send(self, number):
        self.process.send_signal(number)

    def kill(self, number=signal.SIGKILL):
        self.send(number)
        return self.process.wait(TIMEOUT_S)

    def log(self):
        self._log.flush()
        with open(self._log.name, encoding="utf-8") as log:
            return log.read()

    def close(self):
        if self.process.poll() is None:
            self.send(signal.SIGCONT)  # it may stand still
            self.kill(signal.SIGTERM)
        self._log.close()
        shutil.rmtree(self.folder)


class Vm:
    """A VM that runs one command. `options` are tools/vm's."""

    def __init__(self, mediator, vm_id, command, *options, copy=(CLIENT,)):
        self.vm_id = vm_id
        self.qmp_path = os.path.join(mediator.folder, f"qmp-{vm_id}")
        files = [argument for path in copy for argument in ("--copy", path)]
        self._process = subprocess.Popen(
            [VM, "--socket", mediator.socket, "--vm_id", str(vm_id), "--qmp", self.qmp_path, *files, *options,
             "--", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, timeout_s=TIMEOUT_S):
        """Returns (exit status, stdout, stderr) of the command."""
        try:
            out, err = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as late:
            self.kill()
            raise AssertionError(f"VM {self.vm_id} did not end within {timeout_s} s") from late
        return self._process.returncode, out, err

    def line(self):
        """The next line of the command's output, while it runs; `wait` returns what follows."""
        return self._process.stdout.readline()

    def running(self):
        return self._process.poll() is None

    def qmp(self, command):
        """Sends one command to QEMU; returns its answer."""
        wait_for("QEMU's control socket", lambda: os.path.exists(self.qmp_path))
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(self.qmp_path)
            lines = connection.makefile("rw")
            lines.readline()  # greeting
            for name in ("qmp_capabilities", command):
                lines.write(json.dumps({"execute": name}))
                lines.flush()
                answer = json.loads(lines.readline())
                while "event" in answer:
                    answer = json.loads(lines.readline())
            return answer

    def qemu_pid(self):
        pid = self._process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def kill(self):
        """Ends tools/vm and so QEMU; does nothing to what has ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The whole system in real VMs: our QEMU with the device, Debian's kernel, the guest program, the
mediator."""

import os
import re
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path[:0] = [os.path.abspath("tools/lib"), os.path.dirname(os.path.abspath(__file__))]
import host  # noqa: E402
import unittest_xml  # noqa: E402

OLD_CLIENT = os.path.abspath("tests/vm/old_client.sh")
PRIORITIES = ("low", "medium", "high")


class VmTest(unittest.TestCase):
    def mediator(self, *arguments):
        mediator = host.Mediator(*arguments)
        self.addCleanup(mediator.close)
        return mediator

    def vm(self, mediator, vm_id, command, *options, **named):
        vm = host.Vm(mediator, vm_id, command, *options, **named)
        self.addCleanup(vm.kill)
        return vm

    def run_in_vm(self, mediator, command, *options, **named):
        """Returns the command's output; it must succeed."""
        status, out, err = self.vm(mediator, 1, command, *options, **named).wait()
        self.assertEqual(status, 0, err + out)
        return out

    def answered(self, mediator, vm_id, count):
        """Waits until the VM has had so many answers."""
        def enough():
            vm = mediator.vm(vm_id)
            return vm is not None and vm["answered"] >= count
        host.wait_for(f"{count} answers for VM {vm_id}", enough)


class MainJob(VmTest):
    def test_every_operation_over_the_ring(self):
        script = ("set -e; vgpu-client add 100 200; vgpu-client add -- -2147483648 -1; vgpu-client info; "
                  "for type in i32 i64 f32 f64; do vgpu-client vadd --count 100000 --type $type; "
                  "vgpu-client vadd --count 1000 --type $type --in-place; done; "
                  "vgpu-client ping --count 20000; vgpu-client ping --count 20000 --depth 64")
        out = self.run_in_vm(self.mediator(), ["sh", "-c", script], "--pool_id", "B", "--priority", "high")
        self.assertIn("100 + 200 = 300\n", out)
        self.assertIn("-2147483648 + -1 = 2147483647\n", out)
        self.assertIn("granted    vm 1, pool B, priority high\n", out)
        self.assertEqual(out.count(" 0 wrong"), 10, out)

    def test_old_client_that_knows_only_the_register_page(self):
        mediator = self.mediator()
        for ring, caps in (("on", 3), ("off", 2)):
            with self.subTest(ring=ring):
                out = self.run_in_vm(mediator, ["old_client.sh", "100", "200"], "--ring", ring,
                                     copy=(OLD_CLIENT,))
                self.assertEqual(out, f"sum 300, ring_caps {caps}\n")

    def test_without_a_ring_the_client_says_what_to_do(self):
        vm = self.vm(self.mediator(), 1, ["vgpu-client", "add", "1", "2"], "--ring", "off")
        status, _, err = vm.wait()
        self.assertNotEqual(status, 0)
        self.assertIn("regs --add", err)

    def test_two_programs_on_two_rings_of_one_vm(self):
        script = ("vgpu-client --ring 0 ping --count 20000 & one=$!; vgpu-client --ring 5 ping --count 20000 "
                  "& "
                  "two=$!; wait $one && wait $two")
        out = self.run_in_vm(self.mediator(), ["sh", "-c", script])
        self.assertEqual(out.count("20000 requests, depth 1, 0 wrong"), 2, out)


class WhatIsWrong(VmTest):
    """What goes wrong around a VM is told inside it, with its cause."""

    DEVICE = ('for d in /sys/bus/pci/devices/*; do [ "$(cat $d/vendor):$(cat $d/device)" = 0x1af4:0x1111 ] '
              '&& break; '
              "done; read -r bar0 rest <$d/resource; ")

    def test_vm_that_the_mediator_refuses(self):
        mediator = self.mediator()
        mediator.kill(signal.SIGTERM)
        config = os.path.join(mediator.folder, "config.toml")
        with open(config, "w", encoding="ascii") as file:
            file.write("[[vm]]\nid = 1\n")
        mediator = self.mediator("--config", config)
        script = "vgpu-client --timeout 3 add 1 2; vgpu-client regs --add 1 2; vgpu-client regs"
        status, out, err = self.vm(mediator, 2, ["sh", "-c", script]).wait()
        self.assertEqual(status, 0, err)
        self.assertEqual(err.count("the host's mediator refuses this VM (code 1: its vm_id is in use or not "
                                   "configured"),
                         2, err)
        self.assertNotIn("start it", err)
        self.assertRegex(out, "0x84c +REFUSAL +0x00000001 +invalid request")

    def test_no_room_for_bar2(self):
        script = "vgpu-client add 1 2; echo status $?; vgpu-client regs --add 3 4"
        arguments = ["--size", "2G"]
        for argument in ("-global", "q35-pcihost.pci-hole64-size=0", "-cpu", "max,phys-bits=32"):
            arguments.append(f"--qemu-arg={argument}")
        status, out, err = self.vm(self.mediator(), 1, ["sh", "-c", script], *arguments).wait()
        self.assertEqual(status, 0, err)
        self.assertNotIn("status 0", out)
        self.assertIn("3 + 4 = 7\n", out)
        self.assertIn("64-bit PCI window", err)

    def test_device_vanishes_under_the_register_window(self):
        script = self.DEVICE + """
            command() { printf "\\00$1\\000" | dd of=$d/config bs=1 seek=4 count=2 conv=notrunc 2>/dev/null; }
            under() { # NAME COMMAND...: while requests go through the window
              name=$1; shift
              vgpu-client --timeout 60 regs --count 100000000 >/out 2>&1 & pid=$!
              n=0; until [ $n -gt 20 ]; do n=$(($(devmem $((bar0 + 0x30)) 32))); done
              "$@"; wait $pid; echo "$name: status $?: $(tr "\\n" " " </out)"
            }
            under reset sh -c "echo 1 >$d/reset"
            under off command 0
            command 2
            vgpu-client regs --add 20 22; vgpu-client add 40 2"""
        status, out, err = self.vm(self.mediator(), 1, ["sh", "-c", script], "--cpus", "2").wait()
        self.assertEqual(status, 0, err)
        self.assertRegex(out, "reset: status [1-9]+: .*(was reset under the request|no longer answers)")
        self.assertRegex(out, "off: status [1-9]+: .*no longer answers")
        self.assertNotIn("No error", out)
        self.assertIn("20 + 22 = 42\n40 + 2 = 42\n", out)


class Memory(VmTest):
    def group(self):
        """A memory cgroup of our own: its folder, and the file that says what it is charged."""
        for base, usage in (("/sys/fs/cgroup/memory", "memory.usage_in_bytes"),
                            ("/sys/fs/cgroup", "memory.current")):
            folder = os.path.join(base, f"vgpu-test-{os.getpid()}")
            try:
                os.mkdir(folder)
            except OSError:
                continue
            self.addCleanup(os.rmdir, folder)
            if os.path.exists(os.path.join(folder, usage)):
                return folder, os.path.join(folder, usage)
        return self.skipTest("no memory cgroup can be made here: needs root and the memory controller")

    def test_the_vm_pays_for_its_region(self):
        folder, usage = self.group()

        def charged():
            with open(usage, encoding="ascii") as file:
                return int(file.read()) >> 20
        mediator = self.mediator()
        with open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as procs:
            procs.write(str(mediator.process.pid))
        before = charged()
        self.vm(mediator, 1, ["vgpu-client", "ping", "--count", "100000000"], "--size", "512M")
        self.answered(mediator, 1, 1000)
        self.assertLess(charged() - before, 64, "MiB that the mediator was charged for a VM's region")


class SevenVms(VmTest):
    """Mixed pools and priorities at once; the order of service is proven by the mediator's own trace."""

    REQUESTS = 20000

    def test_all_answers_right_and_strictly_by_priority(self):
        mediator = self.mediator()
        trace = os.path.join(mediator.folder, "trace")
        mediator.kill(signal.SIGTERM)
        mediator = self.mediator("--trace", trace)
        script = f"echo ready; vgpu-client --timeout 300 ping --count {self.REQUESTS} --depth 16"
        vms = [self.vm(mediator, 10 + i, ["sh", "-c", script], "--pool_id", "AB"[i % 2], "--priority",
                       PRIORITIES[i % 3])
               for i in range(7)]
        host.wait_for("seven VMs", lambda: all(mediator.vm(vm.vm_id) is not None for vm in vms))
        mediator.send(signal.SIGSTOP)
        for vm in vms:
            self.assertEqual(vm.line(), "ready\n")
        self.stutter(mediator, vms)
        for vm in vms:
            status, out, err = vm.wait(600)
            self.assertEqual(status, 0, err)
            self.assertIn(f"{self.REQUESTS} requests, depth 16, 0 wrong", out)
        mediator.kill(signal.SIGTERM)
        self.check_order(trace)

    def stutter(self, mediator, vms):
        """Until the VMs have ended the mediator stands still most of the time: the requests of all of them
        pile up."""
        while any(vm.running() for vm in vms):
            mediator.send(signal.SIGCONT)
            time.sleep(0.002)
            mediator.send(signal.SIGSTOP)
            time.sleep(0.03)
        mediator.send(signal.SIGCONT)

    def check_order(self, trace):
        """When a request starts, none of a higher class may be waiting."""
        lines = subprocess.run([host.VGPUCTL, "trace", trace], check=True, capture_output=True,
                               text=True).stdout
        waiting = dict.fromkeys(PRIORITIES, 0)
        contended = 0
        started = 0
        for line in lines.splitlines():
            match = re.match(r" *\d+ ns  vm \d+ (\w+) +ring \d+ (\w+)", line)
            if not match:
                continue
            priority, event = match.groups()
            if event == "taken":
                waiting[priority] += 1
            elif event == "started":
                started += 1
                higher = PRIORITIES[PRIORITIES.index(priority) + 1:]
                self.assertFalse(any(waiting[other] for other in higher), f"{line}; waiting: {waiting}")
                contended += any(waiting[other] for other in PRIORITIES[:PRIORITIES.index(priority)])
                waiting[priority] -= 1
        self.assertEqual(started, 7 * self.REQUESTS)
        self.assertGreater(contended, 0, "no request ever overtook another: this run proved nothing")
        print(f"{started} requests, {contended} of them overtook one of a lower class")


class Deaths(VmTest):
    def test_mediator_is_killed_and_the_vm_goes_on(self):
        mediator = self.mediator()
        vm = self.vm(mediator, 1, ["vgpu-client", "--timeout", "100", "ping", "--count", "3000000"])
        for count in (1000, 2000, 3000):
            self.answered(mediator, 1, count)
            mediator.kill()
            mediator.start()
        status, out, err = vm.wait(600)
        self.assertEqual(status, 0, err)
        self.assertIn("3000000 requests, depth 1, 0 wrong", out)

    def test_guest_program_is_killed_and_the_next_starts_clean(self):
        script = ("vgpu-client ping --count 100000000 & pid=$!; usleep 500000; kill -9 $pid; wait $pid; "
                  "vgpu-client add 20 22")
        self.assertIn("20 + 22 = 42\n", self.run_in_vm(self.mediator(), ["sh", "-c", script]))

    def test_guest_is_reset_and_boots_again(self):
        mediator = self.mediator()
        vm = self.vm(mediator, 1, ["vgpu-client", "ping", "--count", "3000000"])
        self.answered(mediator, 1, 1000)
        before = mediator.vm(1)["resets"]
        self.assertNotIn("error", vm.qmp("system_reset"))
        host.wait_for("the mediator hears of the reset", lambda: mediator.vm(1)["resets"] > before)
        status, out, err = vm.wait(600)
        self.assertEqual(status, 0, err)
        self.assertIn("3000000 requests, depth 1, 0 wrong", out)

    def test_vm_is_paused_and_resumed(self):
        mediator = self.mediator()
        vm = self.vm(mediator, 1, ["vgpu-client", "ping", "--count", "3000000"])
        self.answered(mediator, 1, 1000)
        self.assertNotIn("error", vm.qmp("stop"))
        self.assertEqual(mediator.vm(1)["state"], "attached")
        self.assertNotIn("error", vm.qmp("cont"))
        status, out, err = vm.wait(600)
        self.assertEqual(status, 0, err)
        self.assertIn("3000000 requests, depth 1, 0 wrong", out)

    def test_qemu_is_killed_and_its_place_is_free_at_once(self):
        mediator = self.mediator()
        vm = self.vm(mediator, 1, ["vgpu-client", "ping", "--count", "100000000"])
        self.answered(mediator, 1, 1000)
        os.kill(vm.qemu_pid(), signal.SIGKILL)
        host.wait_for("VM 1 is gone", lambda: mediator.vm(1) is None, timeout_s=1)
        self.assertIn("1 + 2 = 3\n", self.run_in_vm(mediator, ["vgpu-client", "add", "1", "2"]))


class Refused(VmTest):
    def test_who_has_a_number_that_is_taken_is_told_so(self):
        mediator = self.mediator()
        self.vm(mediator, 1, ["vgpu-client", "ping", "--count", "100000000"])
        self.answered(mediator, 1, 1)
        status, _, err = self.vm(mediator, 1, ["vgpu-client", "--timeout", "1", "add", "1", "2"]).wait()
        self.assertNotEqual(status, 0)
        self.assertRegex(err, r"tools/vm: .*vgpu-stub: vm_id=1: .*VM 1 is attached already")


if __name__ == "__main__":
    HAS_VMS = os.environ.get("VGPU_QEMU") and os.environ.get("VGPU_KERNEL")
    unittest_xml.main(lacking=None if HAS_VMS else "VGPU_QEMU and VGPU_KERNEL are not set; run tools/test")

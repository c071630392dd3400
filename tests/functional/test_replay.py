# SPDX-License-Identifier: GPL-2.0-or-later
"""A recorded run is replayed: to its end, to any instant and back, and a single instruction backwards.

All of that begins at the snapshot that QEMU takes when a recording begins. One that is taken later can be saved, but QEMU 10.0 does
not replay from it, with this drive in the machine or without.
"""

import os
import socket
import tempfile
import time

from conzone import DATA, GuestTest, Monitored

SCRIPT = f"""
fio --name=job --filename={DATA} --direct=1 --ioengine=libaio --iodepth=8 --zonemode=zbd --rw=write --bs=16k --size=2z \\
    --io_size=16m --randseed=1 --output-format=json --output=/root/out & pid=$!
sleep 0.05; echo STARTED
wait $pid || exit
cat /root/out; nvme smart-log /dev/nvme0; cat /proc/uptime /proc/interrupts; dmesg
"""

# Instructions until the machine is looked at again.
BEHIND = 5_000_000


class Debugger:
    """As much of gdb's remote protocol as a step takes."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(120)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rwb")

    def ask(self, text):
        """Sends a packet, and gives the answer."""
        data = text.encode()
        self.stream.write(b"$%s#%02x" % (data, sum(data) % 256))
        self.stream.flush()
        while (byte := self.stream.read(1)) != b"$":
            assert byte, "the connection is gone"
        answer = b""
        while (byte := self.stream.read(1)) != b"#":
            assert byte, "the connection is gone"
            answer += byte
        self.stream.read(2)
        self.stream.write(b"+")
        self.stream.flush()
        return answer.decode()

    def close(self):
        """Goes, and leaves the machine as it is."""
        self.stream.close()
        self.socket.close()


class Replay(GuestTest):
    """`-icount rr=record` and `rr=replay` with the drive in the machine."""

    def options(self, folder, mode, *more):
        """A run in virtual time that is recorded, or replayed."""
        log, snapshots = (os.path.join(folder, name) for name in ("log", "vm.qcow2"))
        return [
            *("--timing", "virtual", "--set", "zones=8", "--qemu-arg=-icount"),
            f"--qemu-arg=rr={mode},rrfile={log},rrsnapshot=init",
            *("--qemu-arg=-drive", f"--qemu-arg=if=none,id=vm,file={snapshots},format=qcow2"),
            *more,
        ]

    def hmp(self, guest, line):
        """Runs a command of the human monitor."""
        return guest.qmp("human-monitor-command", **{"command-line": line})

    def where(self, guest):
        """How many instructions the machine has executed."""
        return guest.qmp("query-replay")["icount"]

    def state(self, guest):
        """What tells two instants apart."""
        drive = {"path": "/machine/peripheral/conzone0"}
        asked = [guest.qmp("qom-get", property=name, **drive) for name in ("clock-ns", "stats")]
        return [self.where(guest), *asked, self.hmp(guest, "info registers")]

    def settled(self, guest, wanted):
        """Waits until the machine has stopped there."""
        for _ in range(1200):
            if guest.qmp("query-status")["status"] == "paused" and self.where(guest) == wanted:
                return
            time.sleep(0.1)
        self.fail(f"at {self.where(guest)}, not {wanted}: {guest.qmp('query-status')}")

    def seek(self, guest, to):
        """Goes to an instant, and gives the state there."""
        guest.qmp("replay-seek", icount=to)
        self.settled(guest, to)
        return self.state(guest)

    def step_back(self, guest, folder):
        """Goes back by an instruction, and on again."""
        here = self.where(guest)
        path = os.path.join(folder, "gdb")
        self.hmp(guest, f"gdbserver unix:{path},server=on,wait=off")
        debugger = Debugger(path)
        try:
            self.assertRegex(debugger.ask("?"), "^T05")
            self.assertRegex(debugger.ask("bs"), "^T05")
            self.assertEqual(self.where(guest), here - 1)
            self.assertRegex(debugger.ask("s"), "^T05")
            self.assertEqual(self.where(guest), here)
        finally:
            debugger.close()
        self.hmp(guest, "gdbserver none")

    def make_qcow2(self, folder):
        """The image for snapshots, which a recording needs from its begin on."""
        guest = Monitored(self, "sleep 1000", ())
        try:
            guest.add_qcow2(os.path.join(folder, "vm.qcow2"))
        finally:
            guest.close()

    def record(self, folder):
        """Records a run during which somebody stops the machine: what it said, and an instant at which fio writes."""
        guest = Monitored(self, SCRIPT, self.options(folder, "record"))
        try:
            guest.until("STARTED")
            guest.qmp("stop")
            time.sleep(0.2)
            guest.qmp("cont")
            busy = self.where(guest) + BEHIND
            result = guest.finish()
        finally:
            guest.close()
        self.assertEqual(result.status, 0, result.stdout)
        return result, busy

    def test_record_and_replay(self):
        """A run is replayed to an instant, further, back, an instruction back, and to its end."""
        with tempfile.TemporaryDirectory(prefix="conzone-test-") as folder:
            self.make_qcow2(folder)
            recorded, at = self.record(folder)
            guest = Monitored(self, SCRIPT, self.options(folder, "replay", "--qemu-arg=-S"))
            try:
                guest.connect()
                there = self.seek(guest, at)
                self.assertNotEqual(self.seek(guest, at + BEHIND), there)
                self.assertEqual(self.seek(guest, at), there)
                self.step_back(guest, folder)
                self.assertEqual(self.state(guest), there)
                guest.qmp("cont")
                replayed = guest.finish()
            finally:
                guest.close()
        self.assertEqual(replayed.status, 0, replayed.stdout)
        # What the guest says on its way it says each time.
        said = [line for line in replayed.stdout.splitlines() if line != "STARTED"]
        self.assertEqual(said, recorded.stdout.splitlines()[1:])

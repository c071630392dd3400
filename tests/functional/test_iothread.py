# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives whose timers iothreads work, on a guest with four processors: nothing is lost whatever happens to them."""

import json

from conzone import GuestTest, Monitored
from conzone import fio as fio_on

DRIVES = 4
POLL_NS = (0, 50_000, 0, 50_000)

HELPERS = """
# Makes a link of this name to the data namespace of the drive with this serial number, once it is there.
locate() {
    for i in $(seq 300); do
        for sys in /sys/block/nvme*; do
            [ "$(cat $sys/nsid 2> /dev/null)" = 2 ] && [ "$(tr -d ' ' < $sys/device/serial)" = "$1" ] &&
                [ -b /dev/${sys##*/} ] && { ln -sfn /dev/${sys##*/} /root/$1; return; }
        done
        sleep 0.1
    done
    return 1
}
# The others come and go meanwhile: a file that is gone is no error.
controller_of() {
    for sys in /sys/class/nvme/*; do
        [ "$(tr -d ' ' < $sys/serial)" = "$1" ] && echo /dev/${sys##*/} && return
    done 2> /dev/null
    return 1
}
vanishes() { for i in $(seq 300); do controller_of $1 > /dev/null || return 0; sleep 0.1; done; return 1; }
"""


def drive(number):
    """A drive's properties, for the monitor."""
    return {
        "driver": "conzone-nvme",
        "id": f"drive{number}",
        "bus": f"port{number}",
        "serial": f"drive{number}",
        "zones": 4,
        "iothread": f"io{number}",
        "poll-ns": POLL_NS[number],
    }


def options():
    """Four processors, four drives behind ports, four iothreads."""
    words = ["--smp", "4", "--timing", "real"]
    for number in range(DRIVES):
        words += ["--qemu-arg=-object", f"--qemu-arg=iothread,id=io{number}"]
        words += ["--device", f"pcie-root-port,id=port{number},chassis={number},slot={number}"]
    for number in range(DRIVES):
        properties = drive(number)
        words += ["--device", ",".join([properties.pop("driver"), *(f"{k}={v}" for k, v in properties.items())])]
    return words


def fio(number, **more):
    """A fio command on a drive that was located."""
    return fio_on(filename=f"/root/drive{number}", **more)


READS = {"zonemode": "none", "rw": "randread", "bs": "4k", "iodepth": 8, "size": "16m", "time_based": True}


class Iothread(GuestTest):
    """One boot with everything at once."""

    def test_resets_and_unplugging_under_load(self):
        """Two drives' controllers are reset, one drive is left alone, one comes and goes with its iothread, and the
        machine stops and goes on; all of them are read all the time."""
        fill = [fio(n, rw="write", bs="128k", iodepth=4, size="1z", io_size="16m") + " > /dev/null || exit 2" for n in range(DRIVES)]
        loads = [
            fio(n, runtime=20, **READS) + f" > /root/drive{n}.json & loads=\"$loads $!\"" for n in range(DRIVES - 1)
        ]
        newline = "\n"
        script = HELPERS + f"""
        for n in 0 1 2 3; do locate drive$n || exit 1; done
        {newline.join(fill)}
        {newline.join(loads)}
        load() {{ {fio(3, runtime=600, **READS)} > /dev/null 2>&1 & last=$!; }}
        load
        (for round in 1 2 3 4 5 6; do
            sleep 1; nvme reset $(controller_of drive0) && nvme reset $(controller_of drive1) || exit 1
        done) & resets=$!
        sleep 2
        for round in 1 2; do
            echo READY $round
            vanishes drive3 || exit 3
            kill -9 $last; wait $last
            echo GONE $round
            locate drive3 || exit 4
            {fio(3, rw="write", bs="64k", iodepth=4, size="1z", io_size="8m", verify="crc32c")} > /dev/null || exit 5
            load
            sleep 1
        done
        wait $resets || exit 6
        for load in $loads; do wait $load || exit 7; done
        kill -9 $last; wait $last
        grep -h '"error"' /root/drive*.json | sort | uniq -c
        cat /sys/class/nvme/nvme*/state | sort | uniq -c"""
        running = Monitored(self, script, options())
        self.addCleanup(running.close)
        for number in (1, 2):
            running.until(f"READY {number}")
            running.qmp("stop")
            running.qmp("cont")
            running.qmp("device_del", id="drive3")
            running.event("DEVICE_DELETED")
            running.qmp("object-del", id="io3")
            running.until(f"GONE {number}")
            running.qmp("object-add", **{"qom-type": "iothread", "id": "io3"})
            running.qmp("device_add", **drive(3))
        stats = json.loads(running.qmp("qom-get", path="/machine/peripheral/drive1", property="stats"))
        late = stats["timer_lateness"]
        self.log.info("timer lateness: %s", late)
        self.assertGreater(late["count"], 100)
        self.assertLessEqual(late["p50_ns"], late["p99_ns"])
        self.assertLessEqual(late["p99_ns"], late["max_ns"])
        result = running.finish()
        self.assertEqual(result.status, 0, result.stdout)
        self.assertRegex(result.stdout, r"(?m)^ *3 .*\"error\" : 0")
        self.assertRegex(result.stdout, r"(?m)^ *4 live$")

    def test_counted_instructions_are_refused(self):
        """Virtual time and an iothread exclude each other, and QEMU says so."""
        options = ("--timing", "virtual", "--qemu-arg=-object", "--qemu-arg=iothread,id=io", "--set", "iothread=io")
        result = self.guest("true", options)
        self.assertNotEqual(result.status, 0)
        self.assertIn("-icount", result.stderr)

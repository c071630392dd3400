# SPDX-License-Identifier: GPL-2.0-or-later
"""The drive and its driver come and go, at the worst moments, and nobody notices but those who used it."""

from conzone import META, SMALL, GuestTest, Monitored
from conzone import fio as fio_on

# Linux 6.12 scans namespaces in parallel and may number them otherwise each time the driver is bound, so the data
# namespace is found by its identifier. `locate` waits for it and makes this link.
DATA = "/root/data"


def fio(**options):
    """A fio command on whatever the link leads to."""
    return fio_on(filename=DATA, **options)


# What is read for a load.
READS = {"zonemode": "none", "rw": "randread", "bs": "4k", "iodepth": 16, "size": "96m"}

# A load that keeps commands in flight until it is killed: reads of a drive that has gone end at once with nothing
# read, and fio then tries again for ever.
LOAD = fio(time_based=True, runtime=600, **READS)
STOP = "killall -q -9 fio; wait"

# Fills what LOAD reads.
FILL = fio(rw="write", bs="128k", iodepth=4, size="1z")

# blkzone looks in sysfs for what it is given, and so cannot follow the link.
BLKZONE_TARGET = f"$(readlink {DATA})"

# A zone is reset, and written and read back with checks.
TRY = f"blkzone reset -c 1 {BLKZONE_TARGET} && " + fio(rw="write", bs="64k", iodepth=4, size="1z", io_size="16m", verify="crc32c")

HELPERS = f"""
vanishes() {{ for i in $(seq 300); do [ -e "$1" ] || return 0; sleep 0.1; done; return 1; }}
locate() {{
    for i in $(seq 300); do
        name=$(grep -lx 2 /sys/block/nvme*/nsid 2> /dev/null | cut -d/ -f4)
        [ -n "$name" ] && [ -b "/dev/$name" ] && ln -sfn "/dev/$name" {DATA} && return
        sleep 0.1
    done
    return 1
}}
locate
"""


class Lifecycle(GuestTest):
    """Resets, unbinding, unplugging; several drives."""

    def monitored(self, script, options):
        """Starts a script whose machine is going to be interfered with."""
        running = Monitored(self, HELPERS + script, options)
        self.addCleanup(running.close)
        return running

    def test_rebind_under_load(self):
        """The driver is taken off the drive while commands are in flight, and put back, three times."""
        results = self.checks(
            {
                "fill": HELPERS + FILL,
                "rebind": f"""
                cd /sys/bus/pci/drivers/nvme; set -- 0*; function=$1
                for round in 1 2 3; do
                    {LOAD} > /dev/null 2>&1 &
                    sleep 1
                    echo "$function" > unbind && vanishes /dev/nvme0 || exit 1
                    {STOP}
                    echo "$function" > bind && locate || exit 2
                done""",
                "try": TRY,
                "state": "cat /sys/class/nvme/nvme*/state",
            }
        )
        self.assert_all_succeed(results)
        self.assertEqual(results["state"].stdout.strip(), "live")

    def test_controller_reset_under_load(self):
        """The driver resets the controller while commands are in flight; they are tried again and succeed."""
        results = self.checks(
            {
                "fill": HELPERS + FILL,
                "load": fio(time_based=True, runtime=6, **READS)
                + """ > /root/fio.json & fio=$!
                for round in 1 2 3; do sleep 1; nvme reset /dev/nvme0 || exit 1; done
                wait $fio""",
                "report": "cat /root/fio.json",
                "state": "cat /sys/class/nvme/nvme*/state",
            }
        )
        self.assert_all_succeed(results)
        self.assertIn('"error" : 0', results["report"].stdout)
        self.assertEqual(results["state"].stdout.strip(), "live")

    def test_system_reset_under_load(self):
        """The machine's reset button; the next boot finds the drive working and its data there."""
        script = f"""
        if [ "$(head -c 6 {META})" = marked ]; then
            echo BOOTED AGAIN
            blkzone report -c 1 {BLKZONE_TARGET}
            {TRY} > /dev/null && ! dmesg | grep -i 'nvme.*error'
            exit
        fi
        printf marked | dd of={META} bs=4096 conv=sync oflag=direct 2> /dev/null
        {FILL} > /dev/null
        {LOAD} > /dev/null &
        sleep 1; echo READY; wait"""
        reboot = ("--qemu-arg=-action", "--qemu-arg=reboot=reset")
        running = self.monitored(script, (*SMALL, *reboot))
        running.until("READY")
        running.qmp("system_reset")
        running.until("BOOTED AGAIN")
        result = running.finish()
        self.assertEqual(result.status, 0, result.stdout)
        self.assertIn("14(fu)", result.stdout)

    def test_unplug_under_load(self):
        """The drive is unplugged while commands are in flight, and another one plugged in."""
        script = f"""
        {FILL} > /dev/null
        {LOAD} > /dev/null 2>&1 &
        sleep 1; echo READY
        vanishes /dev/nvme0 || exit 1
        {STOP}; echo GONE
        locate && {TRY} > /dev/null || exit 2"""
        bridge = "pcie-root-port,id=bridge"
        drive = {"driver": "conzone-nvme", "id": "drive", "bus": "bridge", "zones": 8}
        first = "conzone-nvme,id=drive,bus=bridge,zones=8"
        running = self.monitored(script, ("--device", bridge, "--device", first))
        running.until("READY")
        running.qmp("device_del", id="drive")
        running.event("DEVICE_DELETED")
        running.until("GONE")
        running.qmp("device_add", **drive)
        result = running.finish()
        self.assertEqual(result.status, 0, result.stdout)

    def test_several_drives(self):
        """Drives of different presets side by side keep their data apart."""
        drives = (
            "conzone-nvme,serial=first,zones=8",
            "conzone-nvme,serial=second,preset=qlc-zoned-page-slc,zones=8",
            "conzone-nvme,serial=third,preset=tlc-block",
        )
        options = [word for drive in drives for word in ("--device", drive)]
        find = "find() { grep -lx \"$1 *\" /sys/class/nvme/*/serial | cut -d/ -f5; }; "
        pattern = "yes $name | head -c 1M > /root/$name"
        results = self.checks(
            {
                "count": "ls -d /sys/class/nvme/nvme* | wc -l",
                "write": find
                + f"for name in first second third; do {pattern};"
                + " dd if=/root/$name of=/dev/$(find $name)n2 bs=64k oflag=direct || exit 1; done",
                "read": find
                + "for name in first second third; do"
                + " dd if=/dev/$(find $name)n2 bs=64k count=16 iflag=direct"
                + " | cmp - /root/$name || exit 1; done",
                "zoned": find + "cat /sys/block/$(find first)n2/queue/zoned /sys/block/$(find third)n2/queue/zoned",
                "dmesg": "dmesg",
            },
            options,
        )
        self.assert_all_succeed(results)
        self.assertEqual(results["count"].stdout.strip(), "3")
        self.assertEqual(results["zoned"].stdout.split(), ["host-managed", "none"])
        self.assert_calm(results["dmesg"].stdout)

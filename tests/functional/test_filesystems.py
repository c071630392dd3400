# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems on the drive: what was written is there after a remount and after controller resets under load.

They are made by the functions that `cargo conzone run --fs` uses (rust/cli/src/run/filesystem.sh).
"""

import json
import os
import subprocess

from conzone import GuestTest, conzone, counted, replayed, repository

FUNCTIONS = (
    *("--file", repository("rust/cli/src/run/filesystem.sh") + ":/root/filesystem.sh"),
    *("--file", repository("rust/cli/src/crash/fsck.sh") + ":/root/fsck.sh"),
)

# F2FS keeps some twenty zones in reserve; btrfs keeps eight active.
ZONED = ("--set", "zones=32", "--set", "max-active=8", "--set", "max-open=8", "--memory", "2G")
BLOCK = ("--preset", "tlc-block", "--memory", "2G")

# While fio writes for four seconds, each piece made durable soon, the controller is reset three times. Every command
# must be tried again or be done: then every block has its checksum, at once, after a remount, and by the checker.
HELPERS = r"""
. /root/filesystem.sh
. /root/fsck.sh
DATA=/dev/nvme0n2 META=/dev/nvme0n1
load() {
    fio --name=load --filename=$file --bs=64k --size=48m --verify=crc32c --verify_fatal=1 \
        --verify_state_save=0 --ioengine=psync --create_on_open=1 "$@"
}
write_and_reset() {
    FS=$1 file=/mnt/file direct=(--fsync=8)
    if [ $FS = zonefs ]; then
        file=/mnt/seq/3 direct=(--direct=1 --file_append=1 --ioengine=${engine:-psync})
    fi
    fs_make && fs_mount || return
    load --rw=write --do_verify=0 --rate=12m "${direct[@]}" > /tmp/load.log 2>&1 &
    for round in 1 2 3; do
        sleep 1
        nvme reset /dev/nvme0 || return
    done
    wait $! || { cat /tmp/load.log; return 1; }
    grep -o ' io=[^ ]*' /tmp/load.log
}
# Whether the checker found this to be wrong, and nothing else.
is_forgiven() {
    [ "$(sed -n 's/ *\[Fail\].*//p' /tmp/fsck.log)" = "[FSCK] ${forgiven-nothing}" ]
}
compare() {
    sync
    load --rw=read > /tmp/read.log 2>&1 || { cat /tmp/read.log; return 1; }
    fs_remount_verify || return
    load --rw=read > /tmp/read.log 2>&1 || { cat /tmp/read.log; return 1; }
    umount /mnt || return
    fs_look > /tmp/fsck.log 2>&1 || is_forgiven || { tail -n 20 /tmp/fsck.log; return 1; }
    echo "$FS_VERIFIED files"
}
"""


class Filesystems(GuestTest):
    """One boot for each kernel and kind of drive."""

    timeout = 900

    def survive(self, filesystems, options, known="nothing is", **environment):
        """Each file system keeps its files through remounts and resets. `known` are warnings of the kernel's own."""
        commands = {"helpers": HELPERS + "".join(f"{name}={value}\n" for name, value in environment.items())}
        for name in filesystems:
            commands[f"{name}_resets"] = f"write_and_reset {name}"
            commands[f"{name}_content"] = "compare"
        commands["state"] = "cat /sys/class/nvme/nvme0/state"
        wrong = "I/O error|critical|[Cc]orrupt|emount.*read-only|BUG:|WARNING:"
        commands["errors"] = f"! dmesg | grep -E '{wrong}' | grep -v '{known}'"
        results = self.checks(commands, (*options, *FUNCTIONS))
        self.assert_all_succeed(results)
        self.assertEqual(results["state"].stdout.strip(), "live")
        for name in filesystems:
            self.assertIn("io=48.0MiB", results[f"{name}_resets"].stdout)
            self.assertIn("1 files", results[f"{name}_content"].stdout)

    def test_zoned_linux_6_12(self):
        """All four on a drive with zones."""
        self.survive(("f2fs", "zonefs", "btrfs", "ext4"), ZONED)

    def test_zoned_linux_6_1(self):
        """The same under Debian 12's kernel. On null_blk as well it fails every synchronous write of zonefs, and warns
        that btrfs removes a block group "before metadata write out" (6.1.176)."""
        options = (*ZONED, "--kernel", "6.1")
        known = "WARNING: .*btrfs_remove_block_group"
        self.survive(("f2fs", "zonefs", "btrfs", "ext4"), options, known, engine="io_uring")

    def test_zoned_linux_of_today(self):
        """The newest that Debian rebuilds for its stable release, whose XFS has zones, too. f2fs-tools 1.16 and it may count
        free segments differently where zones have less capacity than size: on QEMU's `nvme` as well, there under 6.12, too."""
        options = (*ZONED, "--kernel", "backports", "--set", "meta-size=512M")
        forgiven = "'free segment_count matched with CP'"
        self.survive(("f2fs", "zonefs", "btrfs", "ext4", "xfs"), options, forgiven=forgiven)

    def test_block(self):
        """Those that need no zones on a drive without."""
        self.survive(("f2fs", "btrfs", "ext4"), BLOCK)

    def test_block_linux_of_today(self):
        """The same, with XFS."""
        self.survive(("f2fs", "btrfs", "ext4", "xfs"), (*BLOCK, "--kernel", "backports"))


class MetaSize(GuestTest):
    """`meta-size=auto` against the layout that mkfs.f2fs makes."""

    DRIVES = {
        "few": "zones=32",
        "many": "zones=900",
        "large": "preset=ufs4-tlc,zones=64",
        "enterprise": "preset=zns-zn540,zones=48,zone-capacity=32M",
        "block": "preset=tlc-block,block-data-size=12G",
    }

    def test_auto_fits_exactly(self):
        """F2FS's main area begins where the meta namespace ends."""
        options = ["--memory", "2G"]
        for serial, properties in self.DRIVES.items():
            options += ["--device", f"conzone-nvme,serial={serial},meta-size=auto,timing=off,{properties}"]
        commands = {
            "define": r"""
            find() { # Linux 6.12 may number the namespaces of one of many drives the other way round
                name=$(grep -l "^$1 " /sys/class/nvme/*/serial | cut -d/ -f5)
                meta=/dev/$(grep -lx 1 /sys/block/${name}n*/nsid | cut -d/ -f4)
                data=/dev/$(grep -lx 2 /sys/block/${name}n*/nsid | cut -d/ -f4)
            }
            fit() { # a drive and mkfs's options
                find $1; shift
                mkfs.f2fs -f "$@" -c $data $meta > /tmp/mkfs 2>&1 || { tail -n 5 /tmp/mkfs; return 1; }
                main=$(dump.f2fs -d 1 $meta | sed -n 's/^main_blkaddr.*: *\([0-9]*\)\]*$/\1/p' | head -n 1)
                echo $((main * 4096)) $(blockdev --getsize64 $meta)
            }"""
        }
        commands |= {name: f"fit {name} {'' if name == 'block' else '-m'}" for name in self.DRIVES}
        results = self.checks(commands, options)
        self.assert_all_succeed(results)
        for name in self.DRIVES:
            main, size = results[name].stdout.split()
            self.assertEqual(main, size, name)


class RunOnFilesystem(GuestTest):
    """`run --fs`."""

    timeout = 600

    def run_on(self, *options):
        """Runs, and gives what became of it."""
        out = os.path.join(self.workdir, "out")
        command = [conzone(), "run", "--json", "--out", out, *options]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        self.log.info("%s\n%s\n%s", command, done.stdout, done.stderr)
        return done

    def test_report(self):
        """A job on F2FS in virtual time is verified and reported."""
        job = ("--rw=write", "--bs=64k", "--size=4m", "--verify=crc32c")
        trace = os.path.join(self.workdir, "trace.gz")
        done = self.run_on("--fs", "f2fs", "--record", trace, "--", *job)
        self.assertEqual(done.returncode, 0, done.stderr)
        summary = json.loads(done.stdout)
        stats = counted(summary["out"])
        self.assertEqual(stats, {key: value for key, value in replayed(trace).items() if key in stats})
        self.assertEqual(summary["errors"], 0)
        self.assertEqual({job["op"] for job in summary["jobs"]}, {"read", "write"})
        with open(os.path.join(summary["out"], "report.html"), encoding="utf-8") as page:
            text = page.read()
        self.assertIn("mkfs.f2fs -f -m -c /dev/nvme0n2 /dev/nvme0n1", text)
        self.assertIn("1 files, the same after a remount", text)
        self.assertIn("[SBI: ", text, "F2FS's own figures")
        with open(os.path.join(summary["out"], "run.json"), encoding="utf-8") as file:
            phases = {phase["name"]: phase["counters"] for phase in json.load(file)["phases"]}
        # By the clock that Linux told the drive: mkfs writes before the job, and the remount reads after it.
        self.assertEqual(list(phases), ["before", "run", "after"])
        self.assertEqual(sum(phase["host_writes"] for phase in phases.values()), stats["host_writes"])

    def test_misfits(self):
        """A file system that the drive cannot have is refused with what to do."""
        for options, words in [
            (("--fs", "zonefs", "--preset", "tlc-block"), "preset with zones"),
            (("--fs", "f2fs", "--set", "meta-size=0"), "meta-size"),
            (("--fs", "btrfs", "--set", "max-active=6"), "max-active"),
        ]:
            done = self.run_on(*options, "--timing", "off")
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(f"--fs {options[1]}", done.stderr)
            self.assertIn(words, done.stderr)

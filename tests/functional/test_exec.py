# SPDX-License-Identifier: GPL-2.0-or-later
"""`exec` itself: what a command in the guest says and leaves comes back as it was."""

import hashlib
import os
import subprocess
import time

from conzone import GUEST_LIMIT, SMALL, GuestTest


class Exec(GuestTest):
    """One boot."""

    def test_everything_comes_back(self):
        """Exit status, both streams, files in both directions, all bytes."""
        sent, fetched = (os.path.join(self.workdir, name) for name in ("sent", "fetched"))
        content = os.urandom(1 << 20)
        with open(sent, "wb") as file:
            file.write(content)
        script = (
            "sha256sum < /root/in; seq 200000; printf 'to stderr\\n\\377\\305\\132' >&2;"
            " cat /root/in /root/in > /root/out; exit 42"
        )
        options = (*SMALL, "--file", f"{sent}:/root/in", "--fetch", f"/root/out:{fetched}")
        command = self.command(script, options)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        self.assertEqual(done.returncode, 42)
        first, *lines = done.stdout.decode().splitlines()
        self.assertEqual(first.split()[0], hashlib.sha256(content).hexdigest())
        self.assertEqual(lines, [str(number) for number in range(1, 200001)])
        self.assertEqual(done.stderr, b"to stderr\n\xff\xc5Z")
        with open(fetched, "rb") as file:
            self.assertEqual(file.read(), content + content)

    def test_programs_of_packages(self):
        """A package's programs work, with what they depend on; one that there is not, or that does not fit, is refused."""
        ask = "import ssl, sqlite3; print(sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0])"
        done = self.guest(f'python3 -c "{ask}" && ioping -c 2 -q -D /dev/nvme0n1', ("--package", "python3", "--package", "ioping"))
        self.assertEqual((done.status, done.stdout.split()[0]), (0, "42"), done.stderr)
        self.assertIn("generated 2 requests", done.stdout)
        for options, words in (
            (("--package", "no-such-package"), "--package no-such-package: no package no-such-package in trixie"),
            (("--package", "python3", "--memory", "160M"), "need --memory"),
        ):
            done = self.guest("true", options)
            self.assertEqual(done.status, 2)
            self.assertIn(words, done.stderr)

    def test_a_guest_that_dies_is_an_error(self):
        """A panic ends the command with status 1 and the kernel's last words."""
        done = self.guest("echo before; echo c > /proc/sysrq-trigger; sleep 60", ())
        self.assertEqual(done.status, 1)
        self.assertEqual(done.stdout, "before\n")
        self.assertIn("guest died", done.stderr)
        self.assertIn("sysrq triggered crash", done.stderr)

    def test_a_guest_that_has_booted_before(self):
        """One that is restored has nothing of what others did, and brings everything back, too."""
        look = "dmesg | md5sum; head -c 5 /dev/nvme0n1 | tr '\\0' 0; echo; ls /job"
        write = "echo hello | dd of=/dev/nvme0n1 bs=4k conv=sync,fsync status=none"
        first = self.guest(f"{look}; {write}", (*SMALL, "--from-snapshot"))
        self.assertEqual(first.status, 0, first.stderr)
        fetched = os.path.join(self.workdir, "fetched")
        options = (*SMALL, "--from-snapshot", "--file", f"{__file__}:/root/in", "--fetch", f"/root/in:{fetched}")
        again = self.guest(f"{look}; date +%s; exit 7", options)
        *lines, seconds = again.stdout.splitlines()
        self.assertEqual((again.status, lines), (7, first.stdout.splitlines()))
        self.assertEqual(lines[1:], ["00000", "fetch", "script"])
        self.assertAlmostEqual(int(seconds), time.time(), delta=GUEST_LIMIT)
        with open(fetched, "rb") as here, open(__file__, "rb") as sent:
            self.assertEqual(here.read(), sent.read())
        booted = self.guest(look)
        self.assertNotEqual(booted.stdout.splitlines()[0], lines[0])

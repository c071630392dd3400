# SPDX-License-Identifier: GPL-2.0-or-later
"""`exec` itself: what a command in the guest says and leaves comes back as it was."""

import hashlib
import os
import subprocess

from conzone import SMALL, GuestTest


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

    def test_a_guest_that_dies_is_an_error(self):
        """A panic ends the command with status 1 and the kernel's last words."""
        done = self.guest("echo before; echo c > /proc/sysrq-trigger; sleep 60", ())
        self.assertEqual(done.status, 1)
        self.assertEqual(done.stdout, "before\n")
        self.assertIn("guest died", done.stderr)
        self.assertIn("sysrq triggered crash", done.stderr)

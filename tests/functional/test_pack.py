# SPDX-License-Identifier: GPL-2.0-or-later
"""`pack`: the archive runs where there is nothing but Debian's essential packages, and gives the same bytes."""

import os
import re
import subprocess

from avocado import skipUnless
from conzone import SMALL, GuestTest, conzone

# A root of its own, with what programs expect to find in any; what was unpacked is read-only.
INSIDE = """
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
[ ! -d "$0/opt" ] || { mount --bind "$0/opt" "$0/opt"; mount -o remount,bind,ro "$0/opt"; }
exec env -i PATH=/usr/sbin:/usr/bin chroot "$0" /bin/sh -euc "$1"
"""
ENTER = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
if os.geteuid() != 0:
    ENTER.append("--map-root-user")

# Few commands, many kinds of them.
RUN = ["run", "--set", "zones=8", "--", "--name=w", "--rw=write", "--bs=64k", "--size=1z", "--do_verify=1", "--verify=crc32c"]


def may_enter():
    """Whether this user may have mounts of its own."""
    tried = subprocess.run([*ENTER, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


def essential():
    """The essential packages of this machine and what they need."""
    form = "${Essential}\t${binary:Package}\t${Provides}\t${Pre-Depends},${Depends}\n"
    listed = subprocess.run(["dpkg-query", "-W", "-f", form], capture_output=True, text=True, check=True).stdout
    def names(text):
        return [re.split(r"[ (:]", name.strip())[0] for name in re.split(r"[,|]", text)]

    needs, wanted, provider = {}, [], {}
    for line in listed.splitlines():
        kind, package, provides, depends = line.split("\t")
        needs[package] = names(depends)
        for name in [package.split(":")[0], *names(provides)]:
            provider.setdefault(name, package)
        if kind == "yes":
            wanted.append(package)
    found = []
    while wanted:
        package = wanted.pop()
        # A dependency of which nothing is installed is the other half of an alternative.
        if package not in found:
            found.append(package)
            wanted += [provider[name] for name in needs[package] if name in provider]
    return found


def bare_root(root):
    """Makes a root file system of the essential packages' files."""
    for name in ("bin", "lib", "lib64", "sbin"):
        os.makedirs(os.path.join(root, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(root, name))
    for name in ("proc", "dev", "tmp"):
        os.makedirs(os.path.join(root, name))
    listed = subprocess.run(["dpkg", "-L", *essential()], capture_output=True, text=True, check=True).stdout
    files = sorted({line for line in listed.splitlines() if os.path.lexists(line) and not os.path.isdir(line)})
    taken = ["tar", "--create", "--directory=/", "--no-recursion", "--ignore-failed-read", "--files-from=-"]
    packed = subprocess.run(taken, input="\n".join(files).encode(), capture_output=True, check=True).stdout
    # The loader's cache is made by a script of a package; without it libraries are looked for in the usual folders.
    subprocess.run(["tar", "--extract", f"--directory={root}", "--keep-directory-symlink"], input=packed, check=True)


class Pack(GuestTest):
    """Four boots: one here, three in the bare root."""

    timeout = 1200

    def inside(self, root, script):
        """Runs a script in the bare root."""
        done = subprocess.run([*ENTER, "sh", "-euc", INSIDE, root, script], capture_output=True, text=True, check=False)
        self.log.info("%s\n-- stdout\n%s\n-- stderr\n%s", script, done.stdout, done.stderr)
        return done

    @skipUnless(may_enter(), "a root of its own needs mounts, which this user may not make")
    def test_bare_debian(self):
        """`run`, `exec`, `crash`, the model; what needs sources says so."""
        root, archive, here = (os.path.join(self.workdir, name) for name in ("root", "pack.tar.gz", "here"))
        subprocess.run([conzone(), "pack", "--out", archive], check=True)
        bare_root(root)
        os.rename(archive, os.path.join(root, "pack.tar.gz"))
        self.assertNotIn("glib-2.0", self.inside(root, "ls /usr/lib/x86_64-linux-gnu").stdout)
        self.assertEqual(self.inside(root, "mkdir /opt; tar xzf /pack.tar.gz -C /opt").returncode, 0)

        words = " ".join(RUN[1:])
        done = self.inside(root, f"cd /tmp; PATH=/opt/conzone:$PATH; conzone run --out out {words}; conzone run --help")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("cargo", done.stdout)
        with open(f"{root}/tmp/out/report.html", encoding="utf-8") as file:
            report = file.read()
        self.assertIn(">conzone run --out out --set ", report)
        self.assertNotIn("cargo", report)
        subprocess.run([conzone(), "run", "--out", here, *RUN[1:]], check=True, stdout=subprocess.DEVNULL)
        for name in ("fio.json", "stats.json"):
            with open(f"{root}/tmp/out/{name}", "rb") as there, open(f"{here}/{name}", "rb") as file:
                self.assertEqual(there.read(), file.read(), name)

        done = self.inside(root, "cd /tmp; /opt/conzone/conzone exec --kernel 6.1 --timing off -- 'uname -r; exit 7'")
        self.assertEqual((done.returncode, done.stdout[:4]), (7, "6.1."), done.stderr)
        done = self.inside(root, "cd /tmp; /opt/conzone/conzone crash --cuts 2 --set zones=64 --out crash")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.inside(root, "cd /tmp; echo '0 1 W 0 8 0' >t; /opt/conzone/conzone sim --trace t; /opt/conzone/conzone validate")
        self.assertEqual(done.returncode, 0, done.stderr)
        for command in ("setup", "test", "bench device", "wheel", "pack"):
            done = self.inside(root, f"cd /tmp; /opt/conzone/conzone {command}")
            self.assertEqual(done.returncode, 2, command)
            self.assertIn("needs the conzone repository: there are no sources in a pack", done.stderr)

        for option, words in (
            ("--kernel backports", "--kernel backports: this pack has 6.1 and 6.12"),
            ("--package python3", "--package python3: a pack fetches nothing"),
            ("--tests", "--tests: a pack fetches nothing"),
        ):
            done = self.inside(root, f"cd /tmp; /opt/conzone/conzone exec {option} -- true")
            self.assertEqual(done.returncode, 2, option)
            self.assertIn(words, done.stderr)

    def test_places(self):
        """An archive that cannot be written is said before anything is packed."""
        done = subprocess.run([conzone(), "pack", "--out", "/proc/x.tar.gz"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/proc/x.tar.gz", done.stderr)

// SPDX-License-Identifier: GPL-2.0-or-later
//! The Debian packages that the build needs on this machine.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use indicatif::ProgressBar;

use crate::tool::Log;
use lab::failure::Prerequisite;

/// What QEMU and the guest image are built with. Debian 12 and 13 have all of them.
pub const NEEDED: &[&str] = &[
    "bindgen",
    "bison",
    "debian-archive-keyring",
    "dpkg-dev",
    "flex",
    "gcc",
    "libc6-dev",
    "libclang-dev",
    "libfdt-dev",
    "libglib2.0-dev",
    "libpixman-1-dev",
    "libslirp-dev",
    "make",
    "ninja-build",
    "patch",
    "pkg-config",
    "python3-venv",
    "xz-utils",
    "zlib1g-dev",
];

/// Installs what is missing, as root or through sudo.
///
/// # Errors
/// [`Prerequisite`] with the line to run, when this user cannot install; apt's own failure.
pub fn ensure(bar: &ProgressBar, log: &Log) -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(prefix) = privilege() else {
        return Err(Prerequisite(format!(
            "{} missing; install with\n  {}\nand start this again",
            if missing.len() == 1 {
                "a package is"
            } else {
                "packages are"
            },
            install_line("sudo ", &missing)
        ))
        .into());
    };
    if prefix == ["sudo"] {
        // It asks for the password here, where nothing is drawn over its question.
        let asked = bar.suspend(|| Command::new("sudo").arg("-v").status());
        anyhow::ensure!(
            asked.is_ok_and(|status| status.success()),
            "sudo did not let us in"
        );
    }
    bar.set_message(format!("installing {} Debian packages", missing.len()));
    log.run(&mut apt_get(prefix, &["update"], &[]))?;
    log.run(&mut apt_get(
        prefix,
        &["install", "--yes", "--no-install-recommends"],
        &missing,
    ))?;
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let query = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .args(NEEDED)
        .output();
    let listed = query
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    not_installed(&listed)
}

/// `listed` has lines `installed NAME`; packages that dpkg has never seen have none.
fn not_installed(listed: &str) -> Vec<&'static str> {
    let installed = |name: &&str| {
        listed.lines().any(|line| {
            line.strip_prefix("installed ")
                .is_some_and(|found| found == *name)
        })
    };
    NEEDED
        .iter()
        .copied()
        .filter(|name| !installed(name))
        .collect()
}

/// The words before `apt-get` that make it root; `None` if there is no way.
fn privilege() -> Option<&'static [&'static str]> {
    let succeeds = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
            .output()
            .ok()
            .filter(|output| output.status.success())
    };
    let id = succeeds("id", &["-u"])?;
    if String::from_utf8_lossy(&id.stdout).trim() == "0" {
        return Some(&[]);
    }
    if succeeds("sudo", &["-n", "true"]).is_some() {
        return Some(&["sudo", "-n"]);
    }
    // A person at a terminal can be asked for the password: sudo opens the terminal itself.
    let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    (asks && succeeds("sudo", &["-V"]).is_some()).then_some(&["sudo"])
}

fn apt_get(prefix: &[&str], arguments: &[&str], packages: &[&str]) -> Command {
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let mut words = prefix
        .iter()
        .chain(&environment)
        .chain(arguments)
        .chain(packages);
    let mut command = Command::new(words.next().copied().unwrap_or("env"));
    command.args(words);
    command
}

fn install_line(prefix: &str, packages: &[&str]) -> String {
    format!(
        "{prefix}apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dpkg_does_not_call_installed_is_missing() {
        assert_eq!(not_installed(""), NEEDED);
        let all: String = NEEDED
            .iter()
            .map(|name| format!("installed {name}\n"))
            .collect();
        assert_eq!(not_installed(&all), [""; 0]);
        let removed = all.replace("installed flex\n", "config-files flex\n");
        assert_eq!(not_installed(&removed), ["flex"]);
        assert_eq!(
            not_installed(&all.replace("gcc\n", "gcc-12\n")),
            ["gcc"],
            "a longer name is another package"
        );
    }

    #[test]
    fn one_line_installs_everything() {
        let line = install_line("sudo ", &["flex", "gcc"]);
        assert_eq!(
            line,
            "sudo apt-get install --yes --no-install-recommends flex gcc"
        );
        assert_eq!(
            apt_get(&["sudo", "-n"], &["update"], &[]).get_program(),
            "sudo"
        );
        assert_eq!(apt_get(&[], &["update"], &[]).get_program(), "env");
    }
}

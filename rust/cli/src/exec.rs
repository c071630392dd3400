// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone exec`: a command in the guest, as if it ran here.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::failure::Prerequisite;
use crate::vm::{self, Timing};
use setup::Context;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo conzone exec -- nvme list
  cargo conzone exec --preset ufs4-tlc -- 'blkzone report /dev/nvme0n2 | head; dmesg'
  cargo conzone exec --file job.fio:/root/job.fio --fetch /root/out.json:out.json -- \\
      fio --output-format=json --output=/root/out.json /root/job.fio
  cargo conzone exec --device nvme,serial=1,drive=d \\
      --qemu-arg=-drive --qemu-arg=if=none,id=d,file=disk.img,format=raw -- lsblk")]
pub struct Args {
    #[command(flatten)]
    vm: vm::Options,
    /// Put a file into the guest first; DST is absolute
    #[arg(short, long, value_name = "SRC:DST", value_parser = pair)]
    file: Vec<(String, String)>,
    /// Take a file out of the guest afterwards
    #[arg(long, value_name = "SRC:DST", value_parser = pair)]
    fetch: Vec<(String, String)>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    timeout: u64,
    /// Move the machine to another QEMU every so many ms, by a socket and through a file in turn: to see that nobody notices
    #[arg(long, value_name = "MS", conflicts_with_all = ["qmp", "image"])]
    migrate_every: Option<u64>,
    /// Restore a guest that has booted before, with this drive and machine, instead of booting one; the first time it is
    /// saved. Not in virtual time, where results would change
    #[arg(long, conflicts_with_all = ["device", "image", "qemu_arg", "migrate_every"])]
    from_snapshot: bool,
    /// One argument is a script for the guest's shell; several are a command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// Runs the command; its output and its exit status are ours.
pub fn run(context: &Context, args: &Args) -> Result<ExitCode> {
    let script = script(&args.command)?;
    for (_, destination) in &args.fetch {
        let name = Path::new(destination);
        let dir = name.parent().filter(|dir| !dir.as_os_str().is_empty());
        if name.is_dir() || dir.is_some_and(|dir| !dir.is_dir()) {
            let why = format!("--fetch {destination}: is not a file in a folder that is there");
            return Err(Prerequisite(why).into());
        }
    }
    if args.from_snapshot {
        args.vm.check_snapshot(Timing::Real)?;
    }
    let mut machine = args.vm.machine(context, Timing::Real)?;
    machine.snapshots = args.from_snapshot.then(|| context.paths.snapshots());
    machine.move_every = args.migrate_every.map(Duration::from_millis);
    let mut job = guest::Job::new(script);
    for (source, destination) in &args.file {
        job = job.file(PathBuf::from(source), destination.clone());
    }
    for (source, destination) in &args.fetch {
        job = job.fetch(source.clone(), PathBuf::from(destination));
    }
    let mut running = machine.start(&job)?;
    let outcome = running.wait(Duration::from_secs(args.timeout), pass_on)?;
    running.quit()?;
    if args.migrate_every.is_some() {
        eprintln!("moved {} times", outcome.moves);
    }
    for missing in &outcome.missing {
        eprintln!("not fetched: {missing}");
    }
    let failed = outcome.status == 0 && !outcome.missing.is_empty();
    let status = u8::try_from(outcome.status).unwrap_or(u8::MAX);
    Ok(ExitCode::from(if failed { 1 } else { status }))
}

/// Writes the guest's output where it would have gone. A reader that went away (`| head`) is no failure of the
/// command.
fn pass_on(stream: guest::Stream, bytes: &[u8]) {
    let _ = match stream {
        guest::Stream::Stdout => write_all(&mut io::stdout(), bytes),
        guest::Stream::Stderr => write_all(&mut io::stderr(), bytes),
    };
}

fn write_all(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

fn script(command: &[String]) -> Result<String> {
    match command {
        [script] => Ok(script.clone()),
        words => shlex::try_join(words.iter().map(String::as_str))
            .map_err(|_| Prerequisite("a command cannot contain a NUL byte".into()).into()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((source, destination)) if !source.is_empty() && !destination.is_empty() => {
            Ok((source.into(), destination.into()))
        }
        _ => Err("write SOURCE:DESTINATION".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_script_and_several_are_quoted() {
        assert_eq!(
            script(&["nvme list; dmesg".into()]).unwrap(),
            "nvme list; dmesg"
        );
        let words = ["echo".to_owned(), "a b".into(), "$x".into()];
        assert_eq!(script(&words).unwrap(), "echo 'a b' '$x'");
    }

    #[test]
    fn pairs_have_two_sides() {
        assert_eq!(pair("a:/b"), Ok(("a".into(), "/b".into())));
        assert!(pair("a").is_err() && pair(":b").is_err() && pair("a:").is_err());
    }
}

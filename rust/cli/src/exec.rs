// SPDX-License-Identifier: GPL-2.0-or-later
//! `cargo conzone exec`: a command in the guest, as if it ran here.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::failure::Prerequisite;
use crate::files::Files;
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
    #[command(flatten)]
    files: Files,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u64,
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
    args.files.check()?;
    if args.from_snapshot {
        args.vm.check_snapshot(Timing::Real)?;
    }
    let no_image = args.from_snapshot || args.migrate_every.is_some();
    if no_image && args.vm.aged.age.is_some() {
        let why = "--age: its drive lives in an image, which --from-snapshot and --migrate-every cannot have";
        return Err(Prerequisite(why.into()).into());
    }
    let (vm, _old) = args.vm.aged()?;
    let mut machine = vm.machine(context, Timing::Real)?;
    machine.snapshots = args.from_snapshot.then(|| context.paths.snapshots());
    machine.move_every = args.migrate_every.map(Duration::from_millis);
    let job = args.files.add_to(guest::Job::new(script));
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
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! `witness`: writes files, tells the drive itself which of its writes fsync has answered for, and says after a power cut
//! whether that is what is there.
//!
//! ```text
//! witness note NUMBER                               the drive notes it, at its own instant
//! witness write DIR SEED STEPS [append]             notes a step's number when it is promised
//! witness check DIR SEED STEPS PROMISED [append]    0: promises kept; 1: not, with a line that says which
//! ```
//!
//! A step writes some blocks of a file over or behind others, or a whole new version that takes the old one's place
//! (written, fsync, rename, fsync of the folder). After some steps the file is made durable by fsync or fdatasync; then the
//! step is promised, and so is all that was promised before. Each block says which file, version, place and step it is of, so
//! what is there after a cut is one of:
//!
//! - the version that was promised last, each of its promised blocks as it was then or as a later step left it;
//! - a later version, as a whole.
//!
//! With `append`, for file systems whose files only grow (zonefs): blocks go to the end, past the page cache, and a file that is
//! full is emptied. It uses nothing but `std`, and is compiled by the image builder with rustc alone.

use std::collections::{HashMap, HashSet};
use std::ffi::c_int;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const BLOCK: usize = 4096;
const MAGIC: u64 = 0x7773_656e_7469_77c0;
/// The controller.
const DRIVE: &str = "/dev/nvme0";
/// The drive's command for noting a number (docs/device.md).
const NOTE: u8 = 0xc0;
/// Linux, include/uapi/linux/nvme_ioctl.h: NVME_IOCTL_ADMIN_CMD.
const ADMIN_COMMAND: u64 = 0xc048_4e41;
/// Linux, include/uapi/asm-generic/fcntl.h.
const O_DIRECT: c_int = 0o40000;

extern "C" {
    fn ioctl(file: c_int, request: u64, command: *mut AdminCommand) -> c_int;
}

/// Linux, include/uapi/linux/nvme_ioctl.h: struct nvme_passthru_cmd.
#[repr(C)]
#[derive(Default)]
struct AdminCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["note", number] => parse(number).and_then(note),
        ["write", dir, seed, steps, rest @ ..] => {
            plan(seed, steps, rest).and_then(|plan| write(Path::new(dir), &plan))
        }
        ["check", dir, seed, steps, promised, rest @ ..] => {
            let checked = plan(seed, steps, rest)
                .and_then(|plan| Ok(check(Path::new(dir), &plan, parse(promised)?)));
            match checked {
                Ok(Ok(())) => Ok(()),
                Ok(Err(lost)) => {
                    println!("{lost}");
                    return ExitCode::from(1);
                }
                Err(error) => Err(error),
            }
        }
        _ => Err(io::Error::other(
            "witness note NUMBER | write DIR SEED STEPS [append] | check DIR SEED STEPS PROMISED [append]",
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("witness: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(text: &str) -> io::Result<u64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text} is not a number")))
}

fn plan(seed: &str, steps: &str, rest: &[&str]) -> io::Result<Plan> {
    let appends = match rest {
        [] => false,
        ["append"] => true,
        _ => return Err(io::Error::other("there is only append")),
    };
    Ok(Plan {
        seed: parse(seed)?,
        steps: parse(steps)?,
        appends,
    })
}

/// Has the drive note a number; or a file, where WITNESS_NOTES names one.
fn note(number: u64) -> io::Result<()> {
    if let Some(path) = std::env::var_os("WITNESS_NOTES") {
        return fs::write(path, number.to_string());
    }
    let drive = File::open(DRIVE)?;
    let mut command = AdminCommand {
        opcode: NOTE,
        cdw10: number as u32,
        cdw11: (number >> 32) as u32,
        ..AdminCommand::default()
    };
    // SAFETY: the command is valid for the call, and moves no data.
    match unsafe { ioctl(drive.as_raw_fd(), ADMIN_COMMAND, &mut command) } {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        status => Err(io::Error::other(format!(
            "{DRIVE} refuses to note a number (status {status:#x}): it needs vendor-commands=on"
        ))),
    }
}

/// What is done, the same for whoever writes and whoever checks.
struct Plan {
    seed: u64,
    steps: u64,
    appends: bool,
}

/// What a step does with its file.
enum Action {
    /// Writes these blocks.
    Blocks { first: usize, count: usize },
    /// Puts a new version of so many blocks in the file's place.
    Replace { count: usize },
    /// Empties the file.
    Empty,
}

struct Step {
    number: u64,
    file: u32,
    version: u64,
    action: Action,
    /// Whether it is promised afterwards, and by fdatasync.
    syncs: bool,
    data_only: bool,
}

impl Plan {
    /// Files, and blocks of each at most.
    fn shape(&self) -> (u32, usize) {
        if self.appends {
            (4, 512)
        } else {
            (24, 96)
        }
    }

    fn each(&self, mut work: impl FnMut(&Step) -> io::Result<()>) -> io::Result<()> {
        let (files, most) = self.shape();
        let mut random = Random(self.seed);
        // The version of each file, and its blocks.
        let mut now = vec![(0_u64, 0_usize); files as usize];
        for number in 1..=self.steps {
            let file = random.below(files.into()) as u32;
            let (version, size) = &mut now[file as usize];
            let count = 1 + random.below(8) as usize;
            let kind = random.below(10);
            let action = if self.appends {
                if *size + count > most {
                    (*version, *size) = (number, 0);
                    Action::Empty
                } else {
                    let first = *size;
                    *size += count;
                    Action::Blocks { first, count }
                }
            } else if kind == 0 && *size > 0 {
                (*version, *size) = (number, count);
                Action::Replace { count }
            } else {
                let first = match kind {
                    1..=5 => random.below(*size as u64 + 1) as usize,
                    _ => *size,
                };
                let first = first.min(most - count);
                *size = (*size).max(first + count);
                Action::Blocks { first, count }
            };
            let replaces = matches!(action, Action::Replace { .. });
            let version = *version;
            work(&Step {
                number,
                file,
                version,
                action,
                syncs: replaces || random.below(3) == 0,
                data_only: !replaces && random.below(2) == 0,
            })?;
        }
        Ok(())
    }

    fn path(&self, dir: &Path, file: u32) -> PathBuf {
        dir.join(file.to_string())
    }
}

/// Pseudo-random numbers (splitmix64, Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What a block is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Block {
    file: u32,
    version: u64,
    place: usize,
    step: u64,
}

impl Block {
    fn fill(self, seed: u64, bytes: &mut [u8]) {
        let head = [
            MAGIC,
            seed,
            self.file.into(),
            self.version,
            self.place as u64,
            self.step,
        ];
        let mut random = Random(head.iter().fold(0, |sum, word| sum.rotate_left(9) ^ word));
        for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
            let value = head.get(at).copied().unwrap_or_else(|| random.next());
            word.copy_from_slice(&value.to_le_bytes());
        }
    }

    /// What the bytes are of, if they are a whole block.
    fn of(seed: u64, bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes[8 * at..][..8].try_into().unwrap_or_default();
            u64::from_le_bytes(bytes)
        };
        let block = Self {
            file: word(2) as u32,
            version: word(3),
            place: word(4) as usize,
            step: word(5),
        };
        let mut whole = [0; BLOCK];
        block.fill(seed, &mut whole);
        (whole == bytes).then_some(block)
    }
}

fn write(dir: &Path, plan: &Plan) -> io::Result<()> {
    plan.each(|step| {
        let path = plan.path(dir, step.file);
        let (first, count) = match step.action {
            Action::Empty => {
                OpenOptions::new().write(true).open(&path)?.set_len(0)?;
                (0, 0)
            }
            Action::Blocks { first, count } => (first, count),
            Action::Replace { count } => (0, count),
        };
        // Aligned as direct I/O wants it.
        let mut memory = vec![0; count * BLOCK + BLOCK];
        let skip = memory.as_ptr().align_offset(BLOCK);
        let bytes = &mut memory[skip..][..count * BLOCK];
        for (n, bytes) in bytes.chunks_exact_mut(BLOCK).enumerate() {
            let block = Block {
                file: step.file,
                version: step.version,
                place: first + n,
                step: step.number,
            };
            block.fill(plan.seed, bytes);
        }
        let open = |path: &Path| {
            let mut options = OpenOptions::new();
            options.write(true).create(!plan.appends);
            if plan.appends {
                options.custom_flags(O_DIRECT);
            }
            options.open(path)
        };
        if let Action::Replace { .. } = step.action {
            let new = dir.join(format!("{}.new", step.file));
            let file = open(&new)?;
            file.set_len(0)?;
            file.write_all_at(bytes, 0)?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(dir)?.sync_all()?;
        } else {
            let file = open(&path)?;
            file.write_all_at(bytes, (first * BLOCK) as u64)?;
            match (step.syncs, step.data_only) {
                (false, _) => {}
                (true, true) => file.sync_data()?,
                (true, false) => file.sync_all()?,
            }
        }
        if step.syncs {
            note(step.number)?;
        }
        Ok(())
    })
}

/// What a file is by the plan: a version, and of each of its blocks the step that wrote it last.
#[derive(Clone, Default)]
struct Known {
    version: u64,
    blocks: Vec<u64>,
}

fn check(dir: &Path, plan: &Plan, promised: u64) -> Result<(), String> {
    let mut now: HashMap<u32, Known> = HashMap::new();
    let mut kept: HashMap<u32, Known> = HashMap::new();
    // Versions as they were when they took their places, and all blocks that were ever written.
    let mut versions: HashMap<(u32, u64), Vec<u64>> = HashMap::new();
    let mut written: HashSet<Block> = HashSet::new();
    let simulated = plan.each(|step| {
        let known = now.entry(step.file).or_default();
        let (first, count) = match step.action {
            Action::Blocks { first, count } => (first, count),
            Action::Replace { count } => (0, count),
            Action::Empty => (0, 0),
        };
        if known.version != step.version {
            *known = Known {
                version: step.version,
                blocks: Vec::new(),
            };
            versions.insert((step.file, step.version), vec![step.number; count]);
        }
        known
            .blocks
            .resize(known.blocks.len().max(first + count), 0);
        for place in first..first + count {
            known.blocks[place] = step.number;
            written.insert(Block {
                file: step.file,
                version: step.version,
                place,
                step: step.number,
            });
        }
        if step.syncs && step.number <= promised {
            kept.insert(step.file, known.clone());
        }
        Ok(())
    });
    simulated.map_err(|error| error.to_string())?;
    let (files, _) = plan.shape();
    for file in 0..files {
        let path = plan.path(dir, file);
        let is_promised = kept.contains_key(&file);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_promised => continue,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let kept = kept.remove(&file).unwrap_or_default();
        let name = path.display();
        let mut found = Vec::new();
        for (place, bytes) in bytes.chunks(BLOCK).enumerate() {
            if bytes.iter().all(|byte| *byte == 0) {
                found.push(None);
                continue;
            }
            let whole = (bytes.len() == BLOCK).then(|| Block::of(plan.seed, bytes));
            let block = whole.flatten();
            let right = block.filter(|block| {
                block.file == file && block.place == place && written.contains(block)
            });
            match right {
                Some(block) => found.push(Some(block)),
                None => {
                    return Err(format!(
                        "{name}: block {place} holds what was never written there"
                    ))
                }
            }
        }
        let version = found.iter().flatten().map(|block| block.version).max();
        let version = match version {
            Some(version) => version,
            // Emptied, or nothing of it was promised.
            None if plan.appends
                && versions
                    .keys()
                    .any(|(f, v)| *f == file && *v > kept.version) =>
            {
                continue
            }
            None => kept.version,
        };
        if let Some(block) = found
            .iter()
            .flatten()
            .find(|block| block.version != version)
        {
            return Err(format!(
                "{name}: block {} is of another version",
                block.place
            ));
        }
        if version < kept.version {
            return Err(format!(
                "{name}: is the version of step {version}, that of step {} was promised",
                kept.version
            ));
        }
        let must = if version == kept.version {
            kept.blocks
        } else if plan.appends {
            Vec::new()
        } else {
            versions.remove(&(file, version)).unwrap_or_default()
        };
        for (place, step) in must.iter().enumerate().filter(|(_, step)| **step > 0) {
            match found.get(place).copied().flatten() {
                Some(block) if block.step >= *step => {}
                Some(block) => {
                    return Err(format!(
                        "{name}: block {place} is of step {}, that of step {step} was promised",
                        block.step
                    ));
                }
                None => {
                    return Err(format!(
                        "{name}: block {place} is not there, that of step {step} was promised"
                    ));
                }
            }
        }
    }
    Ok(())
}

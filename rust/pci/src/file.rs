// SPDX-License-Identifier: GPL-2.0-or-later
//! Files mapped into the process and shared: what is stored there is in the file, also when the process is killed next.
//!
//! A store to a page that the file has no room for yet ends the process if the file system is full, so room is asked for
//! first, in pieces of 1 MiB ([`Extent::prepare`]); where a file system cannot tell, one trusts it.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// Room is asked for in pieces of this.
const PIECE: u64 = 1 << 20;

/// Part of a file, mapped.
pub struct FileMap {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping stays where it is for as long as the value lives; words are stored atomically, and bytes are only
// handed out to this crate, which copies under the big QEMU lock.
unsafe impl Send for FileMap {}
// SAFETY: as above.
unsafe impl Sync for FileMap {}

impl std::fmt::Debug for FileMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileMap of {} bytes", self.bytes)
    }
}

impl FileMap {
    /// Maps `bytes` bytes from `at` on, a multiple of the host's page size.
    ///
    /// # Errors
    /// The host has no such address space, or the file cannot be mapped.
    pub fn new(file: &File, at: u64, bytes: u64) -> Result<Self, Error> {
        let cannot = |e: &dyn std::fmt::Display| {
            Error::new(format!("{bytes} bytes of it cannot be mapped: {e}"))
        };
        let bytes = usize::try_from(bytes).map_err(|e| cannot(&e))?;
        let at = libc::off_t::try_from(at).map_err(|e| cannot(&e))?;
        // SAFETY: a new mapping, somewhere.
        let start = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let fd = file.as_raw_fd();
            libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, fd, at)
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, bytes }),
            _ => Err(cannot(&io::Error::last_os_error())),
        }
    }

    /// Stores a word of 64 bits, little-endian, after everything stored before; there is room for it in the file. One
    /// beyond the end is not stored.
    pub fn store(&self, at: u64, word: u64) {
        let end = usize::try_from(at)
            .ok()
            .and_then(|at| at.checked_add(1)?.checked_mul(8));
        if end.is_some_and(|end| end <= self.bytes) {
            let to = self.start.as_ptr().cast::<u64>().wrapping_add(at as usize);
            // SAFETY: inside the mapping, which starts on a page boundary, and used as atomic words alone.
            unsafe { AtomicU64::from_ptr(to) }.store(word.to_le(), Ordering::Release);
        }
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size, and not used any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Part of a file that is used as memory.
pub(crate) struct Extent {
    map: FileMap,
    file: File,
    at: u64,
    bytes: u64,
    /// Pieces that the file is known to have room for, a bit each.
    ready: RefCell<Vec<u64>>,
}

impl Extent {
    pub(crate) fn new(file: &File, at: u64, bytes: u64) -> Result<Self, Error> {
        let words = bytes.div_ceil(PIECE).div_ceil(64) as usize;
        Ok(Self {
            map: FileMap::new(file, at, bytes)?,
            file: file
                .try_clone()
                .map_err(|e| Error::new(format!("it cannot be kept open: {e}")))?,
            at,
            bytes,
            ready: RefCell::new(vec![0; words]),
        })
    }

    pub(crate) const fn start(&self) -> NonNull<u8> {
        self.map.start
    }

    /// Makes sure that bytes can be stored; whether they can. They lie inside.
    pub(crate) fn prepare(&self, at: u64, bytes: u64) -> bool {
        let mut ready = self.ready.borrow_mut();
        for piece in at / PIECE..(at + bytes).div_ceil(PIECE) {
            let Some(word) = ready.get_mut((piece / 64) as usize) else {
                return false;
            };
            let bit = 1 << (piece % 64);
            if *word & bit == 0 {
                let start = piece * PIECE;
                let length = PIECE.min(self.bytes - start);
                if !reserve(&self.file, self.at + start, length) {
                    return false;
                }
                *word |= bit;
            }
        }
        true
    }

    /// Gives the file's room for bytes back; they read as zeroes. Whether that was possible.
    pub(crate) fn punch(&self, at: u64, bytes: u64) -> bool {
        let mut ready = self.ready.borrow_mut();
        for piece in at / PIECE..(at + bytes).div_ceil(PIECE) {
            if let Some(word) = ready.get_mut((piece / 64) as usize) {
                *word &= !(1 << (piece % 64));
            }
        }
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        allocate(&self.file, mode, self.at + at, bytes).is_ok()
    }
}

/// Has the file have room for bytes; false if there is none.
pub fn reserve(file: &File, at: u64, bytes: u64) -> bool {
    match allocate(file, 0, at, bytes) {
        Ok(()) => true,
        Err(e) => !matches!(
            e.raw_os_error(),
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::EIO)
        ),
    }
}

fn allocate(file: &File, mode: i32, at: u64, bytes: u64) -> io::Result<()> {
    let place =
        |n: u64| libc::off_t::try_from(n).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG));
    let (at, bytes) = (place(at)?, place(bytes)?);
    loop {
        // SAFETY: changes what a file has on disk; bytes of it that are mapped change under atomics and copies alone.
        if unsafe { libc::fallocate(file.as_raw_fd(), mode, at, bytes) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Takes a file for this open one alone, until it is closed.
///
/// # Errors
/// Somebody else has it.
pub fn lock(file: &File) -> Result<(), Error> {
    // SAFETY: a struct of integers.
    let mut all: libc::flock = unsafe { std::mem::zeroed() };
    all.l_type = libc::F_WRLCK as _;
    all.l_whence = libc::SEEK_SET as _;
    // SAFETY: a lock of an open file; the struct is only read.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &all) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Error::new("another process, or drive, has it open"),
        _ => Error::new(format!("it cannot be locked: {error}")),
    })
}

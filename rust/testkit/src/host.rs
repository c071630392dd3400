// SPDX-License-Identifier: GPL-2.0-or-later
//! A machine made of byte vectors.

use core::fmt;
use core::ops::Range;
use std::collections::BTreeMap;
use std::sync::Arc;

use nvme::{DmaFault, GuestError, Host};
use units::{GuestAddr, Instant};

/// Guest memory, media, clock and interrupt lines of a test.
#[derive(Debug)]
pub struct FakeHost {
    /// Guest memory from address 0; everything above is unmapped.
    pub memory: Vec<u8>,
    /// The drive's media.
    pub media: Vec<u8>,
    /// The clock.
    pub clock: Instant,
    /// The last wake-up asked for.
    pub wake: Option<Instant>,
    /// Signals per interrupt vector.
    pub interrupts: BTreeMap<u16, u32>,
    /// Level of the pin.
    pub pin: bool,
    /// Whether MSI-X is enabled, so that the pin is not used.
    pub msix: bool,
    /// Guest errors reported.
    pub guest_errors: Vec<GuestError>,
    /// Address range that faults although it is inside `memory`, as the drive's own BAR would.
    pub hole: Range<u64>,
    /// Media bytes discarded.
    pub discarded: u64,
    /// Is shown the media before and after any change of it, when old bytes have been put aside, and before an answer.
    pub watch: Option<Watch>,
}

/// Who looks at the media as it changes.
#[derive(Clone)]
pub struct Watch(pub Arc<Look>);

/// Is given the media, and what happens next, or has happened.
pub type Look = dyn Fn(&[u8], Change) + Send + Sync;

/// What happens next, or has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bytes of the media change.
    Bytes,
    /// So many bytes of the media from here on have changed.
    New(u64, u64),
    /// Old bytes have been put aside.
    Kept,
    /// New bytes are all there.
    Moved,
    /// The guest is given an answer.
    Answer,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl FakeHost {
    /// A machine with this much guest memory and media, both zero.
    #[must_use]
    pub fn new(memory_bytes: usize, media_bytes: usize) -> Self {
        Self {
            memory: vec![0; memory_bytes],
            media: vec![0; media_bytes],
            clock: Instant::ZERO,
            wake: None,
            interrupts: BTreeMap::new(),
            pin: false,
            msix: false,
            guest_errors: Vec::new(),
            hole: 0..0,
            discarded: 0,
            watch: None,
        }
    }

    fn show(&self, next: Change) {
        if let Some(Watch(watch)) = &self.watch {
            watch(&self.media, next);
        }
    }

    /// The part of guest memory at an address, if all of it is mapped.
    fn guest(&self, at: GuestAddr, len: usize) -> Result<Range<usize>, DmaFault> {
        let start = at.get();
        let end = start.checked_add(len as u64).ok_or(DmaFault)?;
        let is_in_hole = start < self.hole.end && self.hole.start < end;
        if is_in_hole || end > self.memory.len() as u64 {
            return Err(DmaFault);
        }
        // Both are at most the length of a vector.
        Ok(start as usize..end as usize)
    }

    /// The part of the media at an offset; the controller must never ask for more than there is.
    fn part(&self, at: u64, len: u64) -> Range<usize> {
        let size = self.media.len();
        let end = at.checked_add(len).filter(|&end| end <= size as u64);
        assert!(
            end.is_some(),
            "{len} bytes at {at} of {size} bytes of media"
        );
        at as usize..end.unwrap_or(at) as usize
    }
}

/// Copies between parts that have been checked.
fn copy(to: &mut [u8], to_part: Range<usize>, from: &[u8], from_part: Range<usize>) {
    if let (Some(to), Some(from)) = (to.get_mut(to_part), from.get(from_part)) {
        to.copy_from_slice(from);
    }
}

impl Host for FakeHost {
    fn now(&self) -> Instant {
        self.clock
    }

    fn dma_read(&mut self, from: GuestAddr, into: &mut [u8]) -> Result<(), DmaFault> {
        let (part, whole) = (self.guest(from, into.len())?, 0..into.len());
        copy(into, whole, &self.memory, part);
        Ok(())
    }

    fn dma_write(&mut self, to: GuestAddr, from: &[u8]) -> Result<(), DmaFault> {
        let part = self.guest(to, from.len())?;
        copy(&mut self.memory, part, from, 0..from.len());
        Ok(())
    }

    fn post_completion(&mut self, to: GuestAddr, entry: &[u8; 16]) -> Result<(), DmaFault> {
        self.show(Change::Answer);
        self.dma_write(to, entry)
    }

    fn media_from_guest(&mut self, at: u64, from: GuestAddr, len: u32) -> Result<(), DmaFault> {
        let from = self.guest(from, len as usize)?;
        let to = self.part(at, u64::from(len));
        self.show(Change::Bytes);
        copy(&mut self.media, to, &self.memory, from);
        self.show(Change::New(at, len.into()));
        Ok(())
    }

    fn media_to_guest(&mut self, at: u64, to: GuestAddr, len: u32) -> Result<(), DmaFault> {
        let from = self.part(at, u64::from(len));
        let to = self.guest(to, len as usize)?;
        copy(&mut self.memory, to, &self.media, from);
        Ok(())
    }

    fn media_read(&mut self, at: u64, into: &mut [u8]) {
        let (part, whole) = (self.part(at, into.len() as u64), 0..into.len());
        copy(into, whole, &self.media, part);
    }

    fn media_write(&mut self, at: u64, from: &[u8]) -> Result<(), DmaFault> {
        let part = self.part(at, from.len() as u64);
        self.show(Change::Bytes);
        copy(&mut self.media, part, from, 0..from.len());
        self.show(Change::New(at, from.len() as u64));
        Ok(())
    }

    fn media_discard(&mut self, at: u64, len: u64) {
        let part = self.part(at, len);
        self.show(Change::Bytes);
        if let Some(bytes) = self.media.get_mut(part) {
            bytes.fill(0);
        }
        self.show(Change::New(at, len));
        self.discarded += len;
    }

    fn kept(&mut self) {
        self.show(Change::Kept);
    }

    fn moved(&mut self) {
        self.show(Change::Moved);
    }

    fn interrupt(&mut self, vector: u16) {
        *self.interrupts.entry(vector).or_default() += 1;
    }

    fn pin(&mut self, level: bool) {
        self.pin = level;
    }

    fn uses_pin(&self) -> bool {
        !self.msix
    }

    fn wake_at(&mut self, deadline: Instant) {
        self.wake = Some(deadline);
    }

    fn guest_error(&mut self, error: GuestError) {
        self.guest_errors.push(error);
    }
}

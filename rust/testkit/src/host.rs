// SPDX-License-Identifier: GPL-2.0-or-later
//! A machine made of byte vectors.

use std::collections::BTreeMap;

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
    /// Guest errors reported.
    pub guest_errors: Vec<GuestError>,
    /// Address range that faults although it is inside `memory`, as the drive's own BAR would.
    pub hole: core::ops::Range<u64>,
    /// Media bytes discarded.
    pub discarded: u64,
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
            guest_errors: Vec::new(),
            hole: 0..0,
            discarded: 0,
        }
    }

    /// Guest memory at an address, if all of it is mapped.
    fn guest(&mut self, at: GuestAddr, len: usize) -> Result<&mut [u8], DmaFault> {
        let start = at.get();
        let end = start.checked_add(len as u64).ok_or(DmaFault)?;
        if start < self.hole.end && self.hole.start < end {
            return Err(DmaFault);
        }
        let range = usize::try_from(start).map_err(|_| DmaFault)?
            ..usize::try_from(end).map_err(|_| DmaFault)?;
        self.memory.get_mut(range).ok_or(DmaFault)
    }

    /// Media bytes, which the controller must never look for outside the media.
    fn media(&mut self, at: u64, len: u64) -> &mut [u8] {
        let range = at as usize..(at + len) as usize;
        let size = self.media.len();
        let found = self.media.get_mut(range);
        assert!(
            found.is_some(),
            "{len} bytes at {at} of {size} bytes of media"
        );
        found.unwrap_or_default()
    }
}

impl Host for FakeHost {
    fn now(&self) -> Instant {
        self.clock
    }

    fn dma_read(&mut self, from: GuestAddr, into: &mut [u8]) -> Result<(), DmaFault> {
        into.copy_from_slice(self.guest(from, into.len())?);
        Ok(())
    }

    fn dma_write(&mut self, to: GuestAddr, from: &[u8]) -> Result<(), DmaFault> {
        self.guest(to, from.len())?.copy_from_slice(from);
        Ok(())
    }

    fn media_from_guest(&mut self, at: u64, from: GuestAddr, len: u32) -> Result<(), DmaFault> {
        let bytes = self.guest(from, len as usize)?.to_vec();
        self.media(at, u64::from(len)).copy_from_slice(&bytes);
        Ok(())
    }

    fn media_to_guest(&mut self, at: u64, to: GuestAddr, len: u32) -> Result<(), DmaFault> {
        let bytes = self.media(at, u64::from(len)).to_vec();
        self.guest(to, len as usize)?.copy_from_slice(&bytes);
        Ok(())
    }

    fn media_read(&mut self, at: u64, into: &mut [u8]) {
        into.copy_from_slice(self.media(at, into.len() as u64));
    }

    fn media_write(&mut self, at: u64, from: &[u8]) {
        self.media(at, from.len() as u64).copy_from_slice(from);
    }

    fn media_discard(&mut self, at: u64, len: u64) {
        self.media(at, len).fill(0);
        self.discarded += len;
    }

    fn interrupt(&mut self, vector: u16) {
        *self.interrupts.entry(vector).or_default() += 1;
    }

    fn pin(&mut self, level: bool) {
        self.pin = level;
    }

    fn wake_at(&mut self, deadline: Instant) {
        self.wake = Some(deadline);
    }

    fn guest_error(&mut self, error: GuestError) {
        self.guest_errors.push(error);
    }
}

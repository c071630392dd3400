// SPDX-License-Identifier: GPL-2.0-or-later
//! What the controller sees of QEMU during one visit, and what it leaves to be done after it.

use image::Live;
use nvme::{DmaFault, GuestError, Host};
use pci::{guest_error, PciDevice};
use qemu::BqlCell;
use units::{GuestAddr, Instant};

use crate::history::Historian;
use crate::media::Store;
use crate::persistence::Mapped;

/// Most lines one device writes to the guest error log: a broken guest makes millions.
const MAX_LOGGED_ERRORS: u64 = 1000;

/// What the controller asked for that must wait until it is no longer borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Signals {
    /// Bit n: MSI-X vector n. A controller has at most 65.
    vectors: u128,
    /// When the controller wants to run again.
    pub(crate) wake: Option<Instant>,
}

impl Signals {
    /// Takes the lowest vector that is to be sent.
    pub(crate) fn take_vector(&mut self) -> Option<u16> {
        if self.vectors == 0 {
            return None;
        }
        let vector = self.vectors.trailing_zeros();
        self.vectors &= self.vectors - 1;
        u16::try_from(vector).ok()
    }
}

/// QEMU, as lent to the controller for one call.
pub(crate) struct Visit<'a> {
    pub(crate) device: &'a PciDevice,
    pub(crate) media: &'a Store,
    /// Of the drive's file, if it has one.
    pub(crate) live: Option<&'a Live<Mapped>>,
    /// Who writes down all that happens, if it is to be.
    pub(crate) historian: Option<&'a Historian>,
    /// The guest's clock when the visit began: all of it happens at one instant.
    pub(crate) now: Instant,
    pub(crate) signals: Signals,
    pub(crate) log: &'a GuestLog,
}

impl Visit<'_> {
    /// Bytes of the media are about to change: what has given their places up is on the host's disk, if it is to be there.
    fn give_up_places(&self) -> Result<(), DmaFault> {
        let is_there = self.live.is_none_or(Live::moves);
        is_there.then_some(()).ok_or(DmaFault)
    }

    /// Bytes of the media are new.
    fn note(&self, at: u64, len: u64) {
        if let Some(historian) = self.historian {
            historian.put(at, len, self.media);
        }
    }
}

impl Host for Visit<'_> {
    fn now(&self) -> Instant {
        self.now
    }

    fn dma_read(&mut self, from: GuestAddr, into: &mut [u8]) -> Result<(), DmaFault> {
        self.device.dma_read(from.get(), into).map_err(fault)
    }

    fn dma_write(&mut self, to: GuestAddr, from: &[u8]) -> Result<(), DmaFault> {
        self.device.dma_write(to.get(), from).map_err(fault)
    }

    fn post_completion(&mut self, to: GuestAddr, entry: &[u8; 16]) -> Result<(), DmaFault> {
        if !self.live.is_none_or(Live::answers) {
            return Err(DmaFault);
        }
        self.device.dma_write_tagged(to.get(), entry).map_err(fault)
    }

    fn media_from_guest(&mut self, at: u64, from: GuestAddr, len: u32) -> Result<(), DmaFault> {
        self.give_up_places()?;
        let copied = self.media.copy_from_guest(self.device, at, from.get(), len);
        // Also what was copied before a fault.
        self.note(at, len.into());
        copied.map_err(fault)
    }

    fn media_to_guest(&mut self, at: u64, to: GuestAddr, len: u32) -> Result<(), DmaFault> {
        self.media
            .copy_to_guest(self.device, at, to.get(), len)
            .map_err(fault)
    }

    fn media_read(&mut self, at: u64, into: &mut [u8]) {
        self.media.read(at, into);
    }

    fn media_write(&mut self, at: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.give_up_places()?;
        let written = self.media.write(at, from);
        self.note(at, from.len() as u64);
        written.map_err(fault)
    }

    fn kept(&mut self) {
        if let Some(live) = self.live {
            live.kept();
        }
    }

    fn moved(&mut self) {
        if let Some(live) = self.live {
            live.moved();
        }
    }

    fn media_discard(&mut self, at: u64, len: u64) {
        // If that cannot be, the command that gives them up is not answered for.
        let _ = self.give_up_places();
        self.media.discard(at, len);
        if let Some(historian) = self.historian {
            historian.gone(at, len);
        }
    }

    fn interrupt(&mut self, vector: u16) {
        if vector < 128 {
            self.signals.vectors |= 1 << vector;
        }
    }

    // The device asks Controller::pin_level after the visit, which also covers a guest that turns
    // MSI-X off while a completion waits.
    fn pin(&mut self, _level: bool) {}

    fn uses_pin(&self) -> bool {
        !self.device.msix_enabled()
    }

    fn wake_at(&mut self, deadline: Instant) {
        self.signals.wake = Some(deadline);
    }

    fn guest_error(&mut self, error: GuestError) {
        self.log.note(format_args!("{error}"));
    }
}

/// The guest's mistakes: all are counted, the first of them logged (`-d guest_errors`).
#[derive(Debug, Default)]
pub(crate) struct GuestLog(BqlCell<u64>);

impl GuestLog {
    /// Notes one mistake.
    pub(crate) fn note(&self, message: std::fmt::Arguments<'_>) {
        let count = self.0.get().saturating_add(1);
        self.0.set(count);
        if count <= MAX_LOGGED_ERRORS {
            guest_error(format_args!("conzone-nvme: {message}"));
        }
    }
}

fn fault(_: pci::DmaFault) -> DmaFault {
    DmaFault
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory that holds the drive's data, in one of three forms, or nothing in its place.

use pci::{DmaFault, Error, PciDevice, Ram};
use ssd::Media;
use units::Bytes;

/// Where the drive's data goes.
pub(crate) enum Store {
    Memory(Ram),
    /// Nowhere (`media=none`): what is written is not even fetched from the guest.
    Nothing,
}

impl Store {
    /// Opens the media that the properties ask for; it has at least `needed` bytes.
    pub(crate) fn open(media: &Media, needed: Bytes, device: &PciDevice) -> Result<Self, Error> {
        memory(media, needed, device).map(|memory| memory.map_or(Self::Nothing, Self::Memory))
    }

    /// The memory, if there is any.
    pub(crate) const fn memory(&self) -> Option<&Ram> {
        match self {
            Self::Memory(ram) => Some(ram),
            Self::Nothing => None,
        }
    }

    /// Whether nobody but the device can save what is in it.
    pub(crate) fn is_private(&self) -> bool {
        self.memory().is_some_and(Ram::is_private)
    }

    /// What kind of media it is, for streams: those of one kind travel alike.
    pub(crate) fn kind(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Memory(ram) if ram.is_private() => 1,
            Self::Memory(_) => 2,
        }
    }

    /// The name of a kind.
    pub(crate) const fn kind_name(kind: u64) -> &'static str {
        match kind {
            0 => "media=none",
            1 => "private media",
            2 => "media in memory of the machine's",
            _ => "media of an unknown kind",
        }
    }

    /// Copies media bytes to guest memory.
    pub(crate) fn copy_to_guest(
        &self,
        device: &PciDevice,
        at: u64,
        guest: u64,
        bytes: u32,
    ) -> Result<(), DmaFault> {
        let Some(ram) = self.memory() else {
            return device.dma_clear(guest, bytes);
        };
        ram.copy_to_guest(device, at, guest, bytes)
    }

    /// Copies guest memory to the media.
    pub(crate) fn copy_from_guest(
        &self,
        device: &PciDevice,
        at: u64,
        guest: u64,
        bytes: u32,
    ) -> Result<(), DmaFault> {
        self.memory()
            .map_or(Ok(()), |ram| ram.copy_from_guest(device, at, guest, bytes))
    }

    /// Copies media bytes out.
    pub(crate) fn read(&self, at: u64, into: &mut [u8]) {
        match self {
            Self::Memory(ram) => ram.read(at, into),
            Self::Nothing => into.fill(0),
        }
    }

    /// Copies bytes to the media.
    pub(crate) fn write(&self, at: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.memory().map_or(Ok(()), |ram| ram.write(at, from))
    }

    /// Makes media bytes read as zeroes.
    pub(crate) fn discard(&self, at: u64, bytes: u64) {
        if let Self::Memory(ram) = self {
            ram.discard(at, bytes);
        }
    }
}

/// The memory that the properties ask for.
fn memory(media: &Media, needed: Bytes, device: &PciDevice) -> Result<Option<Ram>, Error> {
    match media {
        Media::None => Ok(None),
        Media::Private => Ram::private(needed.get()).map(Some).map_err(|e| {
            e.context(
                "the drive's private memory (set memdev= for another kind, media=none for none)",
            )
        }),
        Media::Backend(id) => {
            let ram = Ram::backend(id, device)
                .map_err(|e| e.context(&format!("property 'memdev' = {id}")))?;
            let size = Bytes::new(ram.size());
            if size < needed {
                return Err(Error::new(format!(
                    "property 'memdev' = {id}: the backend has {size}, the drive needs {needed} \
                     (size={})",
                    needed.get()
                )));
            }
            Ok(Some(ram))
        }
        Media::GuestRange { start, size } => {
            if *size < needed {
                return Err(Error::new(format!(
                    "property 'memmap-size' = {size}: the drive needs {needed}"
                )));
            }
            Ram::guest(*start, size.get())
                .map(Some)
                .map_err(|e| e.context(&format!("property 'memmap-start' = {start:#x}")))
        }
    }
}

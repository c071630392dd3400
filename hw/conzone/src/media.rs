// SPDX-License-Identifier: GPL-2.0-or-later
//! The memory that holds the drive's data, in one of three forms.

use pci::{Error, Ram};
use qemu_api::memory::MemoryRegion;
use ssd::Media;
use units::Bytes;

use crate::device::ConzoneNvme;

/// Opens the media that the properties ask for; it has at least `needed` bytes.
///
/// `region` is the device's own, for private memory.
pub(crate) fn open(
    media: &Media,
    needed: Bytes,
    device: &ConzoneNvme,
    region: &MemoryRegion,
) -> Result<Ram, Error> {
    match media {
        Media::Private => Ram::private(region, device, c"conzone-nvme.media", needed.get())
            .map_err(|e| {
                e.context(&format!(
                    "the drive's private memory of {needed} (set memdev= for another kind)"
                ))
            }),
        Media::Backend(id) => {
            let ram =
                Ram::backend(id).map_err(|e| e.context(&format!("property 'memdev' = {id}")))?;
            let size = Bytes::new(ram.size());
            if size < needed {
                return Err(Error::new(format!(
                    "property 'memdev' = {id}: the backend has {size}, the drive needs {needed} \
                     (size={})",
                    needed.get()
                )));
            }
            Ok(ram)
        }
        Media::GuestRange { start, size } => {
            if *size < needed {
                return Err(Error::new(format!(
                    "property 'memmap-size' = {size}: the drive needs {needed}"
                )));
            }
            Ram::guest(*start, size.get())
                .map_err(|e| e.context(&format!("property 'memmap-start' = {start:#x}")))
        }
    }
}

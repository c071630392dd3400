// SPDX-License-Identifier: GPL-2.0-or-later
//! Snapshots and migration: what the device adds to QEMU's stream.
//!
//! ```text
//!   deadline | length, state (ssd::save) | kind of media | offset, length, bytes ... | end
//!                                                          private media alone
//! ```
//! A memory backend is a RAM block that travels by itself, and so is guest memory. Of private media
//! those bytes are written that the model says may hold data, without chunks of zeroes. Commands in flight
//! have moved their data already; their completions keep their instants, and the alarm its own.
//!
//! A load makes a new drive with media of its own, which take the old ones' places when all of it has been
//! read: whatever is wrong with the stream leaves the old drive.

use pci::{Error, Incoming, Migrate, Outgoing};
use units::Instant;

use crate::device::{ConzoneNvme, Inner};
use crate::media::Store;

/// Media is read, and looked at for zeroes, in pieces of this size and alignment.
const CHUNK: u64 = 64 << 10;
/// In place of a deadline or an offset: there is none (any more).
const NONE: u64 = u64::MAX;

impl Migrate for ConzoneNvme {
    fn save(&self, to: &mut Outgoing<'_>) -> Result<(), Error> {
        let inner = self.inner.borrow();
        let Some(inner) = inner.as_ref() else {
            return Err(Error::new("the device is being unplugged"));
        };
        refuse_files(inner)?;
        let state = ssd::save(&inner.core, &self.config.borrow());
        to.put_u64(self.alarm.deadline().map_or(NONE, Instant::as_nanos));
        to.put_u64(state.len() as u64);
        to.put(&state);
        to.put_u64(inner.media.kind());
        if inner.media.is_private() {
            let mut chunk = Vec::with_capacity(CHUNK as usize);
            for range in inner.core.drive().written() {
                let mut at = range.start;
                while at < range.end {
                    let end = range.end.min((at / CHUNK + 1) * CHUNK);
                    chunk.resize((end - at) as usize, 0);
                    inner.media.read(at, &mut chunk);
                    if chunk.iter().any(|byte| *byte != 0) {
                        to.put_u64(at);
                        to.put_u64(end - at);
                        to.put(&chunk);
                    }
                    at = end;
                }
            }
            to.put_u64(NONE);
        }
        Ok(())
    }

    fn load(&self, from: &mut Incoming<'_>) -> Result<(), Error> {
        let deadline = from.get_u64()?;
        let length = from.get_u64()?;
        let state = from.get_vec(length)?;
        let loaded = ssd::load(&self.config.borrow(), &state);
        let (mut core, config) = loaded.map_err(|e| Error::new(format!("conzone-nvme: {e}")))?;
        let plan = config.plan().map_err(|e| Error::new(e.to_string()))?;
        core.set_interrupt_hold(Self::interrupt_hold(&plan));
        let kind = from.get_u64()?;
        let (kind_here, is_private) = match self.inner.borrow().as_ref() {
            Some(inner) => {
                refuse_files(inner)?;
                (inner.media.kind(), inner.media.is_private())
            }
            None => return Err(Error::new("the device is being unplugged")),
        };
        if kind != kind_here {
            return Err(Error::new(format!(
                "conzone-nvme: the state is of a drive with {}, this one has {}",
                Store::kind_name(kind),
                Store::kind_name(kind_here)
            )));
        }
        let media = match is_private {
            true => {
                let store = Store::open(&plan.media, plan.layout.size, &self.parent_obj)?;
                read_media(from, &store, plan.layout.size.get())?;
                Some(store)
            }
            false => None,
        };
        // Not before: where the rest of the stream is waited for, others get the big lock, and nothing may be borrowed.
        let mut inner = self.inner.borrow_mut();
        let Some(inner) = inner.as_mut() else {
            return Err(Error::new("the device is being unplugged"));
        };
        if let Some(media) = media {
            inner.media = media;
        }
        if inner.recorder.is_some() {
            core.drive_mut().record();
        }
        inner.core = core;
        *self.config.borrow_mut() = config;
        self.alarm.cancel();
        if deadline != NONE {
            self.alarm.set(Instant::from_nanos(deadline));
        }
        Ok(())
    }
}

/// A drive with a file of its own is not saved beside it.
fn refuse_files(inner: &Inner) -> Result<(), Error> {
    let image = inner.persistence.as_ref().map(|p| ("image", p.path()));
    let history = inner.historian.as_ref().map(|h| ("history", h.path()));
    match image.or(history) {
        Some((property, path)) => Err(Error::new(format!(
            "conzone-nvme: {property}={path} has the drive; snapshots and migration are for drives without it"
        ))),
        None => Ok(()),
    }
}

/// Reads chunks up to the end mark into media of nothing but zeroes.
fn read_media(from: &mut Incoming<'_>, media: &Store, size: u64) -> Result<(), Error> {
    let mut chunk = Vec::with_capacity(CHUNK as usize);
    loop {
        let at = from.get_u64()?;
        if at == NONE {
            return Ok(());
        }
        let length = from.get_u64()?;
        let inside = at.checked_add(length).is_some_and(|end| end <= size);
        if !inside || length > CHUNK {
            return Err(Error::new(format!(
                "conzone-nvme: {length} bytes at {at:#x} of the stream are outside the media"
            )));
        }
        chunk.resize(length as usize, 0);
        from.get(&mut chunk)?;
        // Memory of its own always has room.
        let _ = media.write(at, &chunk);
    }
}

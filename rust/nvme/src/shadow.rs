// SPDX-License-Identifier: GPL-2.0-or-later
//! Shadow doorbells (Base, section 5.8 and Annex B.5).
//!
//! The guest keeps tails and heads in memory and rings the register only when they pass the event
//! index it finds beside them. The controller never polls: a command counts from the instant it is
//! rung for. So the event index always is the last value seen, which makes the guest ring for
//! every change; what changes while it is being written is picked up at once.

use core::sync::atomic::{fence, Ordering};

use units::{GuestAddr, QueueId};

use crate::controller::Controller;
use crate::drive::Drive;
use crate::host::Host;

impl<D: Drive> Controller<D> {
    /// Tells the guest where it should ring next and picks up what it did not ring for.
    pub(crate) fn sync_shadows<H: Host>(&mut self, host: &mut H) {
        while let Some(id) = self.rung.0.pop() {
            let Some(sq) = self.queues.sq(id) else {
                continue;
            };
            let (tail, shadow) = (sq.tail, sq.shadow);
            let Some(shadow) = shadow else { continue };
            match exchange(host, shadow.event_index, tail, shadow.doorbell) {
                Ok(newer) => {
                    if newer != tail {
                        self.ring_shadow_sq(id, newer);
                    }
                }
                Err(()) => self.fail(host, id),
            }
        }
        while let Some(id) = self.rung.1.pop() {
            let Some(cq) = self.queues.cq(id) else {
                continue;
            };
            let (head, shadow) = (cq.head, cq.shadow);
            let Some(shadow) = shadow else { continue };
            match exchange(host, shadow.event_index, head, shadow.doorbell) {
                Ok(newer) => {
                    if newer != head {
                        self.ring_shadow_cq(id, newer);
                    }
                }
                Err(()) => self.fail(host, id),
            }
        }
    }

    /// A shadow doorbell moved without the real one. A value outside the queue is ignored: unlike
    /// the register, guest memory may hold anything at any time.
    fn ring_shadow_sq(&mut self, id: u16, tail: u32) {
        if let Some(sq) = self.queues.sq(id).filter(|sq| tail < sq.entries) {
            sq.tail = tail;
            self.queues.refresh(id);
        }
    }

    fn ring_shadow_cq(&mut self, id: u16, head: u32) {
        // `ring_cq` marks the queue as rung; it has been looked at in this run already.
        let _ = self.ring_cq(QueueId::new(id), head);
        self.rung.1.remove(id);
    }
}

/// Writes an event index, then reads the doorbell it is for: whatever the guest writes after that
/// it will ring for.
fn exchange<H: Host>(
    host: &mut H,
    event_index: GuestAddr,
    seen: u32,
    doorbell: GuestAddr,
) -> Result<u32, ()> {
    host.dma_write(event_index, &seen.to_le_bytes())
        .map_err(|_| ())?;
    fence(Ordering::SeqCst);
    let mut value = [0; 4];
    host.dma_read(doorbell, &mut value).map_err(|_| ())?;
    Ok(u32::from_le_bytes(value))
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Shadow doorbells (Base, section 5.8 and Annex B.5).
//!
//! The guest keeps tails and heads in memory and rings the register only when they pass the event index it finds beside
//! them. Commands that take time count from the instant they are rung for, so the controller does not poll for them: a
//! submission queue's event index is the last tail seen, which makes the guest ring for every change. What changes
//! while it is being written is picked up at once, and the index moved again: a guest whose processors share a queue
//! would not ring for what comes after a tail that the index has not reached.
//!
//! Where commands take no time and a guest is known to be busy ([`crate::moderation`]), the event index lies some
//! commands ahead, so that it rings once for several. The timer looks for what it does not ring for.
//!
//! A completion queue's head matters only when the queue looks full, and then it can be read. Its
//! event index is parked at the queue's last entry, which spares the guest all rings but one a lap,
//! unless completions wait for room or the pin is in use, whose level follows the head.

use core::sync::atomic::{fence, Ordering};

use units::{GuestAddr, Instant, QueueId};

use super::Controller;
use crate::drive::Drive;
use crate::host::Host;
use crate::queue::CompletionQueue;

/// Rounds in which one run follows a tail that moves while it looks.
const ROUNDS: u32 = 4;

impl<D: Drive> Controller<D> {
    /// Tells the guest where it should ring next and picks up what it did not ring for.
    pub(super) fn sync_shadows<H: Host>(&mut self, host: &mut H, now: Instant) {
        if self.queues.look_at.is_some_and(|at| at <= now) {
            self.look(host);
        }
        let mut rung = core::mem::take(&mut self.queues.rung.0);
        while let Some(id) = rung.pop() {
            let ahead = self.patience(id);
            self.follow_tail(host, id, ahead);
            if ahead > 0 {
                self.queues.ahead.insert(id);
                let at = now + self.coalescing().time();
                self.queues.look_at.get_or_insert(at);
            }
        }
        while let Some(id) = self.queues.rung.1.pop() {
            let Some(cq) = self.queues.cq(id).filter(|cq| cq.shadow.is_some()) else {
                continue;
            };
            let is_blocked = !cq.waiting.is_empty();
            if is_blocked || host.uses_pin() {
                self.follow_head(host, id);
            } else {
                self.park(host, id);
            }
        }
        if self.queues.has_parked && host.uses_pin() {
            self.queues.has_parked = false;
            for id in 1..=self.config.io_queues {
                self.follow_head(host, id);
            }
        }
    }

    /// Commands that may wait in a submission queue for one more: as many as completions wait for an interrupt.
    fn patience(&mut self, id: u16) -> u32 {
        let coalescing = self.coalescing();
        let vector = self.vector_of(id);
        vector.map_or(0, |vector| self.interrupts.patience(vector, coalescing))
    }

    fn vector_of(&mut self, sq: u16) -> Option<u16> {
        let cq = self.queues.sq(sq)?.cq;
        self.queues.cq(cq)?.vector
    }

    /// Picks up the commands that the guest was not to ring for and that waited long enough, and has it ring for the
    /// next one.
    fn look<H: Host>(&mut self, host: &mut H) {
        self.queues.look_at = None;
        while let Some(id) = self.queues.ahead.pop() {
            let before = self.queues.sq(id).map(|sq| sq.tail);
            self.follow_tail(host, id, 0);
            if self.queues.sq(id).map(|sq| sq.tail) != before {
                if let Some(vector) = self.vector_of(id) {
                    self.interrupts.hurry(vector);
                }
            }
        }
    }

    /// Moves a submission queue's event index to `ahead` commands after its tail, until the guest stands still: it
    /// rings for the command after them then. A tail that keeps moving is followed further in the next run.
    fn follow_tail<H: Host>(&mut self, host: &mut H, id: u16, ahead: u32) {
        for _ in 0..ROUNDS {
            let Some((sq, shadow)) = self.queues.sq(id).and_then(|sq| sq.shadow.map(|s| (sq, s)))
            else {
                return;
            };
            let (tail, event) = (sq.tail, (sq.tail + ahead) % sq.entries);
            match exchange(host, shadow.event_index, event, shadow.doorbell) {
                Ok(newer) => self.ring_shadow_sq(id, newer),
                Err(()) => return self.fail(host, id),
            }
            if self.queues.sq(id).is_some_and(|sq| sq.tail == tail) {
                return;
            }
        }
        self.queues.rung.0.insert(id);
    }

    /// Tells the guest to ring for a completion queue once a lap only.
    fn park<H: Host>(&mut self, host: &mut H, id: u16) {
        let Some((cq, shadow)) = self.queues.cq(id).and_then(|cq| cq.shadow.map(|s| (cq, s)))
        else {
            return;
        };
        if cq.is_parked {
            return;
        }
        cq.is_parked = true;
        let last = cq.entries - 1;
        self.queues.has_parked = true;
        if host
            .dma_write(shadow.event_index, &last.to_le_bytes())
            .is_err()
        {
            self.fail(host, id);
        }
    }

    /// Reads a completion queue's head, and has the guest ring when it moves on from there.
    fn follow_head<H: Host>(&mut self, host: &mut H, id: u16) {
        let Some((cq, shadow)) = self.queues.cq(id).and_then(|cq| cq.shadow.map(|s| (cq, s)))
        else {
            return;
        };
        cq.is_parked = false;
        // Until the guest stands still, or is where it cannot be: each round consumes an entry.
        while let Some(head) = self.queues.cq(id).map(|cq| cq.head) {
            match exchange(host, shadow.event_index, head, shadow.doorbell) {
                Ok(newer) => self.ring_shadow_cq(id, newer),
                Err(()) => return self.fail(host, id),
            }
            if self.queues.cq(id).is_some_and(|cq| cq.head == head) {
                return;
            }
        }
    }

    /// Looks where the guest is in a queue that seems full.
    pub(super) fn catch_up<H: Host>(&mut self, host: &mut H, id: u16) {
        let is_behind = |cq: &mut CompletionQueue| cq.is_parked && cq.is_full();
        if !self.queues.cq(id).is_some_and(is_behind) {
            return;
        }
        self.follow_head(host, id);
        if self.queues.cq(id).is_some_and(|cq| !cq.is_full()) {
            self.park(host, id);
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
        self.queues.rung.1.remove(id);
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

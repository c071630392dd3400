// SPDX-License-Identifier: GPL-2.0-or-later
//! Admin commands on queues, doorbells and other commands (Base, section 5).

use nvme_spec::{AbortCdw10, CreateCqCdw11, CreateQueueCdw10, CreateSqCdw11, Sqe, Status};
use units::{GuestAddr, Instant};

use super::Controller;
use crate::drive::Drive;
use crate::host::Host;
use crate::queue::{CompletionQueue, Shadow, SubmissionQueue};
use crate::reject::{Reject, CDW10, CDW11, DPTR, PRP2};
use crate::work::{at_once, Done};

impl<D: Drive> Controller<D> {
    /// Checks identifier, size, contiguity and place of an I/O queue to be created.
    fn check_queue(&self, sqe: &Sqe, exists: bool, contiguous: bool) -> Result<(u16, u32), Reject> {
        let queue = CreateQueueCdw10::from(sqe.cdw10());
        if exists || queue.id() == 0 || queue.id() > self.config.io_queues {
            return Err(Reject::at(Status::InvalidQueueId, CDW10, 0));
        }
        let entries = u32::from(queue.size_z()) + 1;
        if entries < 2 || entries > self.config.queue_entries {
            return Err(Reject::at(Status::InvalidQueueSize, CDW10 + 2, 0));
        }
        // CAP.CQR is set.
        if !contiguous {
            return Err(Reject::invalid(CDW11, 0));
        }
        if sqe.prp1 % self.registers.page() != 0 {
            return Err(Reject::at(Status::PrpOffsetInvalid, DPTR, 0));
        }
        if !self.registers.has_io_entry_sizes() {
            return Err(Reject::at(Status::InvalidQueueSize, CDW10 + 2, 0));
        }
        Ok((queue.id(), entries))
    }

    pub(crate) fn create_cq(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let dword = CreateCqCdw11::from(sqe.cdw11());
        let exists = self.queues.cq(sqe.cdw10() as u16).is_some();
        let (id, entries) = self.check_queue(sqe, exists, dword.contiguous())?;
        if usize::from(dword.vector()) >= self.interrupts.vectors() {
            return Err(Reject::at(Status::InvalidVector, CDW11 + 2, 0));
        }
        let vector = dword.interrupts().then_some(dword.vector());
        let mut cq = CompletionQueue::new(sqe.prp1, entries, vector);
        cq.shadow = self.shadow(u64::from(id) * 2 + 1);
        self.queues.set_cq(id, Some(cq));
        at_once(now, 0)
    }

    pub(crate) fn create_sq(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let dword = CreateSqCdw11::from(sqe.cdw11());
        let exists = self.queues.sq(sqe.cdw10() as u16).is_some();
        if dword.cq() == 0 || self.queues.cq(dword.cq()).is_none() {
            return Err(Reject::at(Status::CompletionQueueInvalid, CDW11 + 2, 0));
        }
        let (id, entries) = self.check_queue(sqe, exists, dword.contiguous())?;
        let mut sq = SubmissionQueue::new(sqe.prp1, entries, dword.cq());
        sq.shadow = self.shadow(u64::from(id) * 2);
        self.queues.insert_sq(id, sq);
        self.reserve();
        at_once(now, 0)
    }

    pub(crate) fn delete_cq(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let id = CreateQueueCdw10::from(sqe.cdw10()).id();
        match self.queues.cq(id) {
            None => Err(Reject::at(Status::InvalidQueueId, CDW10, 0)),
            Some(_) if id == 0 => Err(Reject::at(Status::InvalidQueueId, CDW10, 0)),
            Some(cq) if cq.users > 0 => Err(Reject::at(Status::InvalidQueueDeletion, CDW10, 0)),
            Some(_) => {
                self.queues.set_cq(id, None);
                self.interrupts.forget(id);
                at_once(now, 0)
            }
        }
    }

    /// Deletes a submission queue. Its commands in flight complete before this command does, as far
    /// as their completion queue has room; the others complete implicitly (Base, section 5.7).
    ///
    /// They complete with their own status: they took effect when they were fetched. Were they
    /// called aborted, a driver that resets the controller under load (as Linux does, deleting its
    /// queues first) would send a zone's writes again, behind a write pointer that they have moved.
    pub(crate) fn delete_sq<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let id = CreateQueueCdw10::from(sqe.cdw10()).id();
        let Some(sq) = self.queues.sq(id).filter(|_| id != 0) else {
            return Err(Reject::at(Status::InvalidQueueId, CDW10, 0));
        };
        let cq_id = sq.cq;
        // What is due in this very run has been executed to its end.
        self.post_due(host, now);
        if let Some(cq) = self.queues.cq(cq_id) {
            self.pending.drop_from(&mut cq.waiting, id);
        }
        self.pending.drop_lost(id);
        for index in self.pending.take_due(|command| command.sq == id) {
            let command = self.pending.command(index);
            self.pending.release(index);
            let has_room = self
                .queues
                .cq(cq_id)
                .is_some_and(|cq| !cq.is_full() && cq.waiting.is_empty());
            if let Some(command) = command.filter(|_| has_room) {
                self.post(host, &command, now);
            }
        }
        self.queues.remove_sq(id);
        at_once(now, 0)
    }

    /// Aborts an Asynchronous Event Request. Any other command took effect when it was fetched and completes with its
    /// own status in its own time, so that it was not aborted (Base, section 5.1): a host that was told otherwise
    /// would send a zone's write again, behind the write pointer that it has moved.
    pub(crate) fn abort(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        const NOT_ABORTED: u32 = 1;
        let dword = AbortCdw10::from(sqe.cdw10());
        let (sq, cid) = (dword.sq(), dword.cid());
        if sq != 0 || !self.events.remove_request(cid) {
            return at_once(now, NOT_ABORTED);
        }
        self.complete_request(cid, Status::AbortRequested.field(), 0, now);
        at_once(now, 0)
    }

    pub(crate) fn async_event_request(&mut self, sqe: &Sqe) -> Result<Done, Reject> {
        if !self.events.add_request(sqe.cid) {
            return Err(Reject::new(Status::AsyncEventLimit));
        }
        self.check_health();
        Ok(Done::Held)
    }

    /// Where the doorbell with this index has its shadow.
    fn shadow(&self, index: u64) -> Option<Shadow> {
        let (doorbells, event_indices) = self.queues.doorbell_buffer?;
        let at = |base: GuestAddr| base.checked_add(index.saturating_mul(4));
        Some(Shadow {
            doorbell: at(doorbells)?,
            event_index: at(event_indices)?,
        })
    }

    pub(crate) fn doorbell_buffer_config(
        &mut self,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let page = self.registers.page();
        for (address, byte) in [(sqe.prp1, DPTR), (sqe.prp2, PRP2)] {
            if address % page != 0 {
                return Err(Reject::invalid(byte, 0));
            }
        }
        self.queues.doorbell_buffer = Some((GuestAddr::new(sqe.prp1), GuestAddr::new(sqe.prp2)));
        for id in 1..=self.config.io_queues {
            let shadow = self.shadow(u64::from(id) * 2);
            if let Some(sq) = self.queues.sq(id) {
                sq.shadow = shadow;
            }
            let shadow = self.shadow(u64::from(id) * 2 + 1);
            if let Some(cq) = self.queues.cq(id) {
                cq.shadow = shadow;
                cq.is_parked = false;
            }
        }
        at_once(now, 0)
    }
}

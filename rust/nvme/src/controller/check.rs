// SPDX-License-Identifier: GPL-2.0-or-later
//! What must hold between any two calls; for tests and fuzzing.

use super::Controller;
use crate::drive::Drive;
use crate::host_buffer;
use crate::queue::MAX_QUEUES;

impl<D: Drive> Controller<D> {
    /// Checks the controller's books against each other.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let more = match self.config.host_buffer {
            0 => 0,
            _ => host_buffer::MOST_WORK,
        };
        let is_bounded = self.config.mdts > 8 || self.work.is_bounded(more);
        check(is_bounded, "a run did more work than it may")?;
        let power = self.power_states.as_ref();
        let is_good = power.is_none_or(|power| power.check_invariants().is_ok());
        check(is_good, "power states do not agree")?;
        let mut in_flight = [0_u32; MAX_QUEUES];
        let lists = self.queues.cqs.iter().flatten().map(|cq| cq.waiting);
        let mut is_astray = false;
        self.pending.check(lists, |command| {
            if let Some(count) = in_flight.get_mut(usize::from(command.sq)) {
                *count += 1;
            }
            let sq = self.queues.sqs.get(usize::from(command.sq));
            let sq = sq.and_then(Option::as_ref);
            is_astray |= sq.is_some_and(|sq| sq.cq != command.cq);
        })?;
        check(!is_astray, "a command completes in another queue")?;
        for (id, cq) in (0..).zip(&self.queues.cqs) {
            let waiting = cq.as_ref().map(|cq| self.pending.list(cq.waiting));
            let is_here = waiting.iter().flatten().all(|command| command.cq == id);
            check(is_here, "a command waits for room in another queue")?;
        }
        if let Some(job) = self.work.job() {
            if let Some(count) = in_flight.get_mut(usize::from(job.sq)) {
                *count += 1;
            }
        }
        for (id, (sq, counted)) in self.queues.sqs.iter().zip(in_flight).enumerate() {
            let Some(sq) = sq else {
                check(counted == 0, "a command outlives its submission queue")?;
                continue;
            };
            check(sq.in_flight == counted, "commands in flight are miscounted")?;
            // Asynchronous events complete outside the admin queue's own limit.
            let limit = sq.entries + if id == 0 { 4 } else { 0 };
            check(sq.in_flight <= limit, "more commands than the queue holds")?;
            check(
                sq.head < sq.entries && sq.tail < sq.entries,
                "a submission queue's pointer is outside it",
            )?;
            let id = id as u16;
            let is_listed = self.queues.ready.contains(id);
            check(is_listed == sq.is_ready(), "the ready set is out of date")?;
            check(
                self.queues
                    .cqs
                    .get(usize::from(sq.cq))
                    .is_some_and(Option::is_some),
                "a submission queue has no completion queue",
            )?;
        }
        for (id, cq) in self.queues.cqs.iter().enumerate() {
            let Some(cq) = cq else { continue };
            let users = self.queues.sqs.iter().flatten();
            let users = users.filter(|sq| usize::from(sq.cq) == id).count();
            check(usize::from(cq.users) == users, "users are miscounted")?;
            check(
                cq.head < cq.entries && cq.tail < cq.entries,
                "a completion queue's pointer is outside it",
            )?;
            let is_stuck = !cq.is_full() && !cq.waiting.is_empty();
            check(
                !is_stuck || self.queues.unblocked.contains(id as u16),
                "completions wait although there is room",
            )?;
        }
        Ok(())
    }
}

fn check(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds {
        Ok(())
    } else {
        Err(what)
    }
}

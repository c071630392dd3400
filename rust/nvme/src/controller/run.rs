// SPDX-License-Identifier: GPL-2.0-or-later
//! The run loop.
//!
//! ```text
//!  run ─► background work ─► post what is due ─► fetch ─► execute ─► post ─► signal ─► re-arm
//! ```
//!
//! A run works at one instant. Its work is bounded ([`crate::work`]).

use nvme_spec::{AsyncEvent, Sqe, MORE};
use units::{Instant, Nanos, QueueId};

use super::{Controller, Shutdown};
use crate::drive::{Drive, DriveEvent, Failure};
use crate::host::{GuestError, Host};
use crate::interrupt::Coalescing;
use crate::pending::Waiting;
use crate::reject::Reject;
use crate::work::{Done, Job};

impl<D: Drive> Controller<D> {
    /// Fetches, executes and completes what is due, until `budget` units of work are done (each is about a microsecond
    /// of the host's time, and at least one command); re-arms the host's timer. To be called after each register write
    /// and when the timer fires.
    pub fn run<H: Host>(&mut self, host: &mut H, budget: u32) {
        let now = host.now();
        if !self.has_power(host, now) {
            return;
        }
        self.visit_power_states(now);
        self.work.begin(budget);
        for error in self.guest_errors.drain(..) {
            host.guest_error(error);
        }
        if self.drive.next_event().is_some_and(|at| at <= now) {
            self.drive.advance(now);
        }
        let erases = self.work_sanitize(host, now);
        self.work_self_test(now);
        let mut has_more = false;
        if self.registers.is_running() {
            self.sync_shadows(host, now);
            self.unblock(host, now);
            self.post_due(host, now);
            has_more = erases || self.fetch(host, now);
            self.deliver_events(now);
            self.post_due(host, now);
        }
        // A command may have been one that power does not outlast.
        if !self.has_power(host, now) {
            return;
        }
        self.work_shutdown(now);
        self.visit_power_states(now);
        let is_busy = self.work.job().is_some() || !self.pending.is_idle();
        self.logs.counters.busy(is_busy, now);
        let coalescing = self.coalescing();
        self.interrupts
            .deliver(host, now, coalescing, self.registers.interrupt_mask);
        self.arm(host, now, has_more);
    }

    /// What the guest asked for, or else what the drive's owner allows.
    pub(super) fn coalescing(&self) -> Coalescing {
        let asked = self.features.coalescing();
        match asked.time() {
            0 => Coalescing::Learnt {
                longest: self.interrupt_hold,
            },
            // TIME counts 100 us.
            time => Coalescing::Asked {
                threshold_z: asked.threshold_z().into(),
                time: Nanos::from_micros(100).times(time.into()),
            },
        }
    }

    fn arm<H: Host>(&mut self, host: &mut H, now: Instant, has_more: bool) {
        let shutdown = match self.shutdown {
            Shutdown::Until(at) => Some(at),
            Shutdown::None | Shutdown::Requested => None,
        };
        // A controller that failed waits for a reset, and so do its commands.
        let is_running = self.registers.is_running();
        let completion = self.pending.next_due().filter(|_| is_running);
        // A shadow that keeps moving is looked at again.
        let has_more = is_running && (has_more || !self.queues.rung.0.is_empty());
        let deadline = [
            has_more.then_some(now),
            completion,
            self.drive.next_event(),
            self.interrupts.deadline(self.coalescing()),
            self.queues.look_at.filter(|_| is_running),
            shutdown,
            self.sanitize_due(now),
            self.self_test_due(),
            self.power.cut_at,
            self.recovered_at(),
        ]
        .into_iter()
        .flatten()
        .min();
        if let Some(deadline) = deadline {
            host.wake_at(deadline);
        }
    }

    fn work_shutdown(&mut self, now: Instant) {
        if self.shutdown == Shutdown::Requested {
            let begin = self.begin(now);
            let done = self.drive.shutdown(begin);
            if let Some(power) = &mut self.power_states {
                power.busy(begin, done);
            }
            self.shutdown = Shutdown::Until(done);
        }
        if let Shutdown::Until(at) = self.shutdown {
            if at <= now {
                self.registers.shutdown_complete();
                self.shutdown = Shutdown::None;
            }
        }
    }

    /// Goes on with the long command, then fetches and executes commands round robin, in bursts; whether work is left.
    fn fetch<H: Host>(&mut self, host: &mut H, now: Instant) -> bool {
        if !self.work_left_over(host) {
            return true;
        }
        self.work_job(host, now);
        while self.work.has_budget() && self.work.job().is_none() {
            let Some(id) = self.queues.ready.first_from(self.queues.cursor) else {
                return false;
            };
            let burst = match self.features.arbitration().burst().value() {
                7 => u32::MAX,
                log2 => 1 << log2,
            };
            self.fetch_burst(host, now, id, burst);
            self.queues.cursor = id.wrapping_add(1);
            if !self.registers.is_running() {
                return false;
            }
        }
        self.work.job().is_some() || !self.queues.ready.is_empty()
    }

    /// Executes up to a burst of one queue's commands.
    fn fetch_burst<H: Host>(&mut self, host: &mut H, now: Instant, id: u16, burst: u32) {
        for _ in 0..burst {
            if !self.work.has_budget() || self.work.job().is_some() || !self.registers.is_running()
            {
                break;
            }
            let Some(sq) = self.queues.sq(id).filter(|sq| sq.is_ready()) else {
                break;
            };
            let mut bytes = [0; nvme_spec::SQE_BYTES];
            if host.dma_read(sq.next(), &mut bytes).is_err() {
                self.fail(host, id);
                break;
            }
            sq.advance();
            sq.in_flight += 1;
            self.execute(host, id, &Sqe::decode(&bytes), now);
            host.moved();
            self.work_job(host, now);
        }
        self.queues.refresh(id);
    }

    /// A queue cannot be reached: the controller stops with CSTS.CFS.
    pub(super) fn fail<H: Host>(&mut self, host: &mut H, queue: u16) {
        host.guest_error(GuestError::QueueMemory {
            queue: QueueId::new(queue),
        });
        self.registers.fail();
    }

    fn execute<H: Host>(&mut self, host: &mut H, sq: u16, sqe: &Sqe, now: Instant) {
        self.work.add(1);
        // Any of these wakes the controller (Base, section 8.15.1), also one that fails.
        let now = match &mut self.power_states {
            Some(power) if sq > 0 => power.arrive(now),
            _ => now,
        };
        let outcome = if sqe.fuse() != 0 {
            Err(Reject::invalid(1, 0))
        } else if sq == 0 {
            self.admin(host, sqe, now)
        } else {
            self.io(host, sqe, now)
        };
        self.settle(sq, sqe, outcome, now);
    }

    /// What comes of a command that has been executed.
    pub(crate) fn settle(
        &mut self,
        sq: u16,
        sqe: &Sqe,
        outcome: Result<Done, Reject>,
        now: Instant,
    ) {
        let cq = self.queues.sq(sq).map_or(0, |sq| sq.cq);
        if let Some(failure) = self.drive.take_failure() {
            let cid = sqe.cid;
            self.pending.lose(Waiting {
                sq,
                cq,
                cid,
                ..Waiting::default()
            });
            match failure {
                Failure::Lost => {}
                Failure::Fatal => self.registers.fail(),
                Failure::PowerCut => self.cut_power_now(now),
            }
            return;
        }
        let (done, result, status) = match outcome {
            Ok(Done::At { done, result }) => (done, result, 0),
            Ok(Done::Held) => {
                if let Some(sq) = self.queues.sq(sq) {
                    sq.in_flight = sq.in_flight.saturating_sub(1);
                }
                return;
            }
            Ok(Done::Later(start)) => {
                self.work.put(Job::new(sq, sqe, start, now));
                return;
            }
            Err(reject) => {
                let status = reject.status.field() | MORE;
                self.log_error(sq, sqe, &reject);
                (reject.done.unwrap_or(now), 0, status)
            }
        };
        let command = Waiting {
            sq,
            cq,
            cid: sqe.cid,
            status,
            result,
        };
        let has_room = self.pending.push(command, done.max(now));
        debug_assert!(has_room);
    }

    /// Posts the completions that are due.
    pub(super) fn post_due<H: Host>(&mut self, host: &mut H, now: Instant) {
        while self.registers.is_running() {
            let Some((index, command)) = self.pending.pop_due(now) else {
                break;
            };
            self.catch_up(host, command.cq);
            match self.queues.cq(command.cq) {
                Some(cq) if cq.is_full() || !cq.waiting.is_empty() => {
                    self.pending.append(&mut cq.waiting, index);
                }
                Some(_) => {
                    self.pending.release(index);
                    self.post(host, &command, now);
                }
                // A completion queue is only deleted once no submission queue uses it.
                None => self.pending.release(index),
            }
        }
    }

    /// Posts completions that waited for room in queues whose head has moved.
    fn unblock<H: Host>(&mut self, host: &mut H, now: Instant) {
        while let Some(id) = self.queues.unblocked.pop() {
            while let Some(cq) = self.queues.cq(id).filter(|cq| !cq.is_full()) {
                let Some((index, command)) = self.pending.pop_front(&mut cq.waiting) else {
                    break;
                };
                self.pending.release(index);
                self.post(host, &command, now);
            }
        }
    }

    /// Writes one completion to its queue, which has room.
    pub(super) fn post<H: Host>(&mut self, host: &mut H, command: &Waiting, now: Instant) {
        let sq_head = match self.queues.sq(command.sq) {
            Some(sq) => {
                sq.in_flight = sq.in_flight.saturating_sub(1);
                sq.head as u16
            }
            None => 0,
        };
        self.queues.refresh(command.sq);
        let Some(cq) = self.queues.cq(command.cq) else {
            return;
        };
        let entry = nvme_spec::Cqe {
            result: command.result,
            sq_head,
            sq_id: command.sq,
            cid: command.cid,
            status: command.status,
            phase: cq.phase,
        };
        let (to, vector) = (cq.next(), cq.vector);
        cq.advance();
        if host.post_completion(to, &entry.encode()).is_err() {
            self.fail(host, command.cq);
        } else if let Some(vector) = vector {
            self.interrupts.posted(command.cq, vector, now);
        }
    }

    /// Turns the drive's events into the guest's, and completes requests that wait for some.
    fn deliver_events(&mut self, now: Instant) {
        while let Some(event) = self.drive.take_event() {
            match event {
                DriveEvent::ZoneChanged { ns, zone } => {
                    if let Some(list) = self.logs.changed_zones.get_mut(usize::from(ns.0)) {
                        list.push(zone);
                    }
                    if self.features.events().zone_changed() {
                        self.events.raise(AsyncEvent::zone_changed(ns.nsid().get()));
                    }
                }
                DriveEvent::HealthChanged => {}
            }
            self.check_health();
        }
        while let Some((cid, event)) = self.events.take() {
            self.complete_request(cid, 0, event.result(), now);
        }
    }

    /// Completes an Asynchronous Event Request.
    pub(super) fn complete_request(&mut self, cid: u16, status: u16, result: u64, now: Instant) {
        // Counted again from here on, so that the completion can give it back.
        if let Some(sq) = self.queues.sq(0) {
            sq.in_flight += 1;
        }
        let command = Waiting {
            sq: 0,
            cq: 0,
            cid,
            status,
            result,
        };
        let has_room = self.pending.push(command, now);
        debug_assert!(has_room);
    }
}

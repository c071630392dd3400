// SPDX-License-Identifier: GPL-2.0-or-later
//! A controller's state: what it is in the middle of, and the drive's. Between two runs there is no guest error left to
//! tell of, and no work counted.

use core::ops::Range;

use state::{ensure, state_enum, Decoder, Encoder, Error, Fixed, State};

use super::{Controller, Logs, Shutdown};
use crate::drive::{Drive, NamespaceInfo};
use crate::pending::{Commands, Waiting};
use crate::work::Task;

state_enum!(Shutdown { None = 0, Requested = 1, Until(at) = 2 });

impl<D: Drive + State> State for Controller<D> {
    fn encode(&self, out: &mut Encoder) {
        let Self {
            config: _,
            drive,
            features,
            events,
            logs,
            transfer,
            scratch,
            work,
            sanitizing,
            self_test,
            registers,
            queues,
            pending,
            interrupts,
            guest_errors: _,
            shutdown,
            power,
            power_states,
            host_buffer,
            interrupt_hold: _,
        } = self;
        let Logs {
            errors,
            counters,
            changed_zones,
        } = logs;
        drive.encode(out);
        registers.encode(out);
        queues.encode(out);
        pending.commands().encode(out);
        for cq in queues.cqs.iter().flatten() {
            pending.list(cq.waiting).encode(out);
        }
        interrupts.encode(out);
        events.encode(out);
        State::encode(errors, out);
        features.encode(out);
        counters.encode(out);
        changed_zones.encode_fixed(out);
        shutdown.encode(out);
        power.encode(out);
        power_states.encode_fixed(out);
        host_buffer.encode(out);
        work.encode(out);
        sanitizing.encode(out);
        self_test.encode(out);
        if work.job().is_some() {
            // What a long command keeps there.
            transfer.encode(out);
            out.put_bytes(&**scratch);
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        self.drive.decode(from)?;
        self.registers.decode(from)?;
        self.queues.decode(from)?;
        self.check_queues()?;
        let mut commands = Commands::default();
        commands.decode(from)?;
        self.pending.reserve_for(self.queues.total_entries());
        self.pending.restore(&commands)?;
        for cq in self.queues.cqs.iter_mut().flatten() {
            let mut waiting: Vec<Waiting> = Vec::new();
            waiting.decode(from)?;
            cq.waiting = self.pending.restore_list(&waiting)?;
        }
        self.interrupts.decode(from)?;
        self.events.decode(from)?;
        self.logs.errors.decode(from)?;
        self.features.decode(from)?;
        self.logs.counters.decode(from)?;
        self.logs.changed_zones.decode_fixed(from)?;
        self.shutdown.decode(from)?;
        self.power.decode(from)?;
        self.power_states.decode_fixed(from)?;
        self.host_buffer.decode(from)?;
        self.work.decode(from)?;
        self.sanitizing.decode(from)?;
        self.self_test.decode(from)?;
        if self.work.job().is_some() {
            self.transfer.decode(from)?;
            let kept = from.take_bytes(self.scratch.len())?;
            self.scratch.copy_from_slice(kept);
        }
        self.check_job()?;
        self.check_invariants()
            .map_err(|what| Error::new(what).within("Controller"))
    }
}

impl<D: Drive> Controller<D> {
    /// Is an error if the long command could not have come to where it is.
    fn check_job(&self) -> Result<(), Error> {
        let spaces = self.drive.namespaces();
        let end = |ns: &NamespaceInfo| ns.media_offset.saturating_add(ns.size.get());
        let end = spaces.iter().map(end).max().unwrap_or(0);
        let Range { start, end: stop } = *self.work.to_discard();
        ensure!(
            start <= stop && stop <= end,
            "discards {start} to {stop} of {end} bytes"
        );
        let Some(job) = self.work.job() else {
            return Ok(());
        };
        ensure!(!self.work.has_left_over(), "two long commands");
        match job.task {
            Task::Report(report) => {
                let most = usize::from(u8::MAX) * 64;
                let fits = report.extension <= most && report.filled <= self.scratch.len();
                ensure!(fits, "a report of zones");
            }
            Task::Format { last, .. } => {
                ensure!(last as usize <= spaces.len(), "formats namespace {last}");
            }
            Task::Sanitize { .. } => return Err(Error::new("a command that sanitizes")),
            Task::Discard | Task::Zones { .. } | Task::Deallocate { .. } => {}
        }
        Ok(())
    }

    /// Is an error if queues are larger than the controller offers, or refer to what it has not.
    fn check_queues(&self) -> Result<(), Error> {
        let most = self.config.queue_entries;
        let last = usize::from(self.config.io_queues);
        let sqs = self
            .queues
            .sqs
            .iter()
            .map(|sq| sq.as_ref().map(|sq| sq.entries));
        let cqs = self
            .queues
            .cqs
            .iter()
            .map(|cq| cq.as_ref().map(|cq| cq.entries));
        for (id, entries) in sqs.enumerate().chain(cqs.enumerate()) {
            let Some(entries) = entries else { continue };
            // The admin queues' sizes are register fields of 12 bits.
            let most = if id == 0 { 4096 } else { most };
            ensure!(
                id <= last && 0 < entries && entries <= most,
                "queue {id} of {last} with {entries} entries of {most}"
            );
        }
        for cq in self.queues.cqs.iter().flatten() {
            let vectors = self.interrupts.vectors();
            ensure!(
                cq.vector.is_none_or(|v| usize::from(v) < vectors),
                "vector {:?}",
                cq.vector
            );
        }
        Ok(())
    }
}

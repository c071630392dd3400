// SPDX-License-Identifier: GPL-2.0-or-later
//! Background work: operations that proceed in the time that the host's leave idle.
//!
//! ```text
//!   host        [ read ]              [ read ]                      (firm, booked at once)
//!   background          [program.....]        [....]
//!                                    ^suspend ^resume               the end moves by all of that
//! ```
//! Work is simulated up to the instant that the array has been run to, never further: so whatever
//! the host asks for from then on can still go before it. A sense or a transfer starts only in a gap
//! that holds all of it and is firm from then on. A program or an erase that may be suspended starts
//! in any gap: it works until `suspend` ns before the next firm booking, and goes on `resume` ns
//! after it. One that may not be (any more) waits for a gap that holds all that is left.
//!
//! Steps of all planes are taken in the order of their instants, so transfers of background work are
//! booked in the order in which they are asked for, and running in many small steps comes to the
//! same as in one.
//!
//! [`Media::force`] takes the same steps, for some of the work only, and into the future: everything
//! that it comes to is firm.
//!
//! Not modelled: that the page register of a plane whose load waits for its program is in use, that
//! a suspended erase or program makes its block unreadable.

use crate::agenda::Due;
use crate::book::{Booked, Kind};
use crate::media::{Media, Op, PlaneId};
use crate::shape::{Shape, What};
use crate::work::{Item, Stage, Work};
use crate::BlockId;
use units::{Bytes, Instant, Nanos};

/// Which operations may be suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suspend {
    /// None: what has started runs to its end.
    #[default]
    Off,
    /// Programs and erases of background work.
    Background,
    /// Those, and for reads the host's own, as long as nobody counts on their end.
    All,
}

/// How operations are suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suspension {
    /// Which.
    pub rule: Suspend,
    /// Time from the request until the plane is free.
    pub suspend: Nanos,
    /// Time from the request until the operation goes on.
    pub resume: Nanos,
    /// Most suspensions of one operation; it cannot be suspended after that.
    pub max: u32,
}

impl Media {
    /// The same array under another rule. For one that is idle.
    #[must_use]
    pub fn with_suspend(mut self, rule: Suspension) -> Self {
        self.suspension = rule;
        self
    }

    /// Changes the rule, for what is suspended and resumed from now on.
    pub fn set_suspend(&mut self, rule: Suspension) {
        self.suspension = rule;
        if rule.rule != Suspend::All {
            self.tell(|_, _| true);
        }
        for plane in 0..self.planes.len() {
            if self.backlog.is_busy(plane) {
                self.requeue(plane);
            }
        }
    }

    /// A group of background operations; ended when all of them have.
    pub fn begin(&mut self) -> Work {
        self.backlog.begin()
    }

    /// Queues a background operation behind what is queued on its plane already. It starts at `at`
    /// at the earliest, and not before `after` has ended; `after` takes no more operations. On a
    /// plane that does not exist it takes no time.
    pub fn defer(
        &mut self,
        at: Instant,
        plane: PlaneId,
        block: BlockId,
        op: Op,
        work: Work,
        after: Option<Work>,
    ) {
        let shape = self.shape(op);
        let at = at.max(self.horizon).as_nanos();
        let Some(p) = self.planes.get(plane.0 as usize) else {
            return;
        };
        let at = p.book.after_block(at, block, shape.kind);
        self.backlog.push(at, plane.0, block, shape, work, after);
        self.requeue_touched();
    }

    /// No more operations will be added to `work`. Without any it ends at once.
    pub fn seal(&mut self, work: Work) {
        self.backlog.seal(work, self.horizon.as_nanos());
        self.requeue_touched();
    }

    /// When `work` ended, if it has by the instant run to; or by [`Media::force`], possibly later.
    #[must_use]
    pub fn ended(&self, work: Work) -> Option<Instant> {
        let (end, forced) = self.backlog.end_of(work)?;
        let end = Instant::from_nanos(end);
        (forced || end <= self.horizon).then_some(end)
    }

    /// When `work` ends, if that is certain by the instant run to: its last operation may be under way
    /// and not to be stopped any more.
    #[must_use]
    pub fn certain_end(&self, work: Work) -> Option<Instant> {
        let (end, _) = self.backlog.end_of(work)?;
        Some(Instant::from_nanos(end))
    }

    /// Forgets a group whose end nobody will ask for (again); its operations go on.
    pub fn release(&mut self, work: Work) {
        self.backlog.release(work);
        self.requeue_touched();
    }

    /// Background operations queued and not ended.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.backlog.queued()
    }

    /// Background work proceeds in idle time up to `now`. Nothing will be asked for before it; what
    /// ended before is forgotten.
    pub fn run(&mut self, now: Instant) {
        let now = now.max(self.horizon);
        while let Some(due) = self.backlog.agenda.pop_due(now.as_nanos()) {
            self.horizon = self.horizon.max(Instant::from_nanos(due.at));
            self.step(due);
        }
        self.horizon = now;
        if !self.running.is_empty() {
            self.forget_ended();
        }
    }

    /// A host command needs it: what is left of `work`, of what it waits for and of what is queued
    /// before that on its planes becomes firm. Returns when `work` ends.
    pub fn force(&mut self, work: Work) -> Instant {
        self.seal(work);
        self.backlog.need(work);
        self.run_forced();
        let end = self.backlog.end_of(work).map_or(0, |(end, _)| end);
        Instant::from_nanos(end)
    }

    /// What is queued on a plane and has to come before the host's operation becomes firm. Returns
    /// when that has ended.
    pub(crate) fn force_block(&mut self, plane: usize, block: BlockId, kind: Kind) -> u64 {
        if !self.backlog.need_block(plane, block, kind) {
            return 0;
        }
        self.run_forced();
        self.backlog.cursor(plane)
    }

    fn run_forced(&mut self) {
        self.requeue_touched();
        while let Some(due) = self.backlog.agenda.pop_forced() {
            self.step(due);
        }
    }

    /// When the next background operation would end if nothing else were asked for, or, where several
    /// planes' operations are about to share a channel, the earliest that one of them could; later
    /// than the instant run to. `None` when nothing is queued.
    #[must_use]
    pub fn next_background(&self) -> Option<Instant> {
        if self.queued() == 0 {
            return None;
        }
        let ends = self
            .backlog
            .agenda
            .current()
            .filter_map(|p| self.would_end(p));
        let next = ends.min().map(Instant::from_nanos)?;
        Some(next.max(self.horizon + Nanos::new(1)))
    }

    /// Notes what is due, after decoding.
    pub(crate) fn restore(&mut self) -> Result<(), state::Error> {
        self.requeue_touched();
        self.check_invariants()
    }

    fn requeue_touched(&mut self) {
        while let Some(plane) = self.backlog.next_touched() {
            self.requeue(plane as usize);
        }
    }

    /// Notes when a plane's running array work stops, which a booking may have changed.
    pub(crate) fn requeue_running(&mut self, plane: usize) {
        let front = self.backlog.front(plane);
        if front.is_some_and(|item| matches!(item.stage, Stage::Running { .. })) {
            self.requeue(plane);
        }
    }

    /// Notes when a plane's next step is due.
    pub(crate) fn requeue(&mut self, plane: usize) {
        if let Some((at, starts)) = self.next_step(plane) {
            self.backlog.enqueue(at, starts, plane as u32);
        }
    }

    /// When a plane's next step begins, and whether it starts something.
    fn next_step(&mut self, plane: usize) -> Option<(u64, bool)> {
        if !self.backlog.is_ready(plane) {
            return None;
        }
        let cursor = self.backlog.cursor(plane);
        let item = self.backlog.front(plane)?;
        let at = match item.stage {
            Stage::Moving => self.moves_at(plane, item, cursor),
            Stage::Array { from, suspended } => {
                self.starts_at(plane, item, from.max(cursor), suspended)
            }
            Stage::Running { since } => return Some((self.stops_at(plane, item, since).0, false)),
        };
        Some((at, true))
    }

    /// Where a sense or transfer fits.
    fn moves_at(&self, plane: usize, item: &Item, cursor: u64) -> u64 {
        // What was not used of the time until now cannot be used any more.
        let from = item.at.max(cursor).max(self.horizon.as_nanos());
        self.place(
            plane,
            from,
            &Shape {
                array: 0,
                ..item.shape
            },
        )
    }

    /// Where array work starts or goes on, not before `from`.
    fn starts_at(&self, plane: usize, item: &Item, from: u64, suspended: bool) -> u64 {
        let from = from.max(item.at).max(self.horizon.as_nanos());
        let resume = self.resume(suspended);
        let whole = resume.saturating_add(item.shape.array);
        let some = resume
            .saturating_add(self.suspension.suspend.get())
            .saturating_add(1);
        let least = if self.is_suspendable(item) {
            whole.min(some)
        } else {
            whole
        };
        let Some(p) = self.planes.get(plane) else {
            return from;
        };
        p.book.first_gap(from, |start, end| end - start >= least)
    }

    /// What the array needs before it works (again).
    const fn resume(&self, suspended: bool) -> u64 {
        match suspended {
            true => self.suspension.resume.get(),
            false => 0,
        }
    }

    /// When array work that runs since then ends or is suspended, and the next booking's start in that
    /// case.
    fn stops_at(&self, plane: usize, item: &Item, since: u64) -> (u64, Option<u64>) {
        let end = since.saturating_add(item.shape.array);
        let next = self.planes.get(plane).and_then(|p| p.book.next(since));
        match next {
            Some(next) if next.start < end => {
                let at = next.start.saturating_sub(self.suspension.suspend.get());
                (at.max(since), Some(next.start))
            }
            _ => (end, None),
        }
    }

    fn is_suspendable(&self, item: &Item) -> bool {
        self.suspension.rule != Suspend::Off && item.suspensions < self.suspension.max
    }

    /// When the plane will be the host's, if background work that runs is to be suspended now.
    pub(crate) fn yields_at(&self, plane: usize) -> Option<u64> {
        let item = self.backlog.front(plane)?;
        let Stage::Running { since } = item.stage else {
            return None;
        };
        let suspended = self.horizon.as_nanos().max(since) + self.suspension.suspend.get();
        Some(suspended.min(since.saturating_add(item.shape.array)))
    }

    /// Takes a step that is due if it is still possible then.
    fn step(&mut self, due: Due) {
        let plane = due.plane as usize;
        match self.next_step(plane) {
            None => {}
            Some(step) if step != (due.at, due.starts) => {
                self.backlog.enqueue(step.0, step.1, due.plane);
            }
            Some((at, _)) => {
                self.take(plane, at);
                self.requeue(plane);
            }
        }
        self.requeue_touched();
    }

    fn take(&mut self, plane: usize, at: u64) {
        let Some(&item) = self.backlog.front(plane) else {
            return;
        };
        match item.stage {
            Stage::Moving => self.take_move(plane, at, &item),
            Stage::Array { suspended, .. } => {
                let since = at.saturating_add(self.resume(suspended));
                self.occupy(plane, &item, What::Resume, at, since);
                if self.is_suspendable(&item) {
                    self.goes_on(plane, since, Stage::Running { since }, item.shape.array);
                } else {
                    let end = since.saturating_add(item.shape.array);
                    self.occupy(plane, &item, item.shape.array_what(), since, end);
                    self.finish(plane, end);
                }
            }
            Stage::Running { since } => self.take_stop(plane, since, &item),
        }
    }

    fn take_move(&mut self, plane: usize, at: u64, item: &Item) {
        let asked = Instant::from_nanos(at.saturating_add(item.shape.sense));
        let horizon = self.horizon;
        let Some(link) = self.link_of(plane) else {
            return;
        };
        link.prune(horizon);
        let moved = link
            .transfer(asked, Bytes::new(item.shape.bytes))
            .as_nanos();
        self.occupy(plane, item, item.shape.what, at, moved);
        if item.shape.programs() {
            let stage = Stage::Array {
                from: moved,
                suspended: false,
            };
            self.goes_on(plane, moved, stage, item.shape.array);
        } else {
            self.finish(plane, moved);
        }
    }

    fn take_stop(&mut self, plane: usize, since: u64, item: &Item) {
        let what = item.shape.array_what();
        match self.stops_at(plane, item, since) {
            (end, None) => {
                self.occupy(plane, item, what, since, end);
                self.finish(plane, end);
            }
            (at, Some(next)) => {
                self.occupy(plane, item, what, since, at);
                self.occupy(plane, item, What::Suspend, at, next);
                let stage = Stage::Array {
                    from: next,
                    suspended: true,
                };
                self.goes_on(plane, next, stage, item.shape.array - (at - since));
                if let Some(item) = self.backlog.front_mut(plane) {
                    item.suspensions += 1;
                }
            }
        }
    }

    fn goes_on(&mut self, plane: usize, cursor: u64, stage: Stage, array: u64) {
        self.backlog.set_cursor(plane, cursor);
        if let Some(item) = self.backlog.front_mut(plane) {
            item.stage = stage;
            item.shape.array = array;
        }
    }

    fn finish(&mut self, plane: usize, end: u64) {
        if let Some(p) = self.planes.get_mut(plane) {
            p.stats.operations += 1;
        }
        self.backlog.finish(plane, end);
    }

    fn occupy(&mut self, plane: usize, item: &Item, what: What, start: u64, end: u64) {
        let Some(p) = self.planes.get_mut(plane) else {
            return;
        };
        p.stats.busy += Nanos::new(end - start);
        let booked = Booked {
            start,
            end,
            block: item.block,
            kind: item.shape.kind,
        };
        p.book.insert(booked, self.horizon.as_nanos());
        self.note(plane, item.block, what, (start, end), true);
        self.note_passed(plane);
    }

    /// Power goes: array work that runs has been going on until then.
    pub(crate) fn occupy_cut(&mut self) {
        let now = self.horizon.as_nanos();
        for plane in 0..self.planes.len() {
            let Some(&item) = self.backlog.front(plane) else {
                continue;
            };
            if let Stage::Running { since } = item.stage {
                let what = item.shape.array_what();
                self.occupy(plane, &item, what, since, now.max(since));
            }
        }
    }

    /// When a plane's oldest operation would end.
    fn would_end(&self, plane: usize) -> Option<u64> {
        let mut item = *self.backlog.front(plane)?;
        let mut cursor = self.backlog.cursor(plane);
        loop {
            match item.stage {
                Stage::Moving => {
                    let at = self.moves_at(plane, &item, cursor);
                    cursor = self.would_cross(plane, at, &item.shape);
                    if !item.shape.programs() {
                        return Some(cursor);
                    }
                    item.stage = Stage::Array {
                        from: cursor,
                        suspended: false,
                    };
                }
                Stage::Array { from, suspended } => {
                    let at = self.starts_at(plane, &item, from.max(cursor), suspended);
                    let since = at.saturating_add(self.resume(suspended));
                    item.stage = Stage::Running { since };
                    if !self.is_suspendable(&item) {
                        return Some(since.saturating_add(item.shape.array));
                    }
                }
                Stage::Running { since } => {
                    let (at, next) = self.stops_at(plane, &item, since);
                    let Some(from) = next else {
                        return Some(at);
                    };
                    item.shape.array -= at - since;
                    item.suspensions += 1;
                    cursor = from;
                    item.stage = Stage::Array {
                        from,
                        suspended: true,
                    };
                }
            }
        }
    }
}

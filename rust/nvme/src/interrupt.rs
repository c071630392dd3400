// SPDX-License-Identifier: GPL-2.0-or-later
//! Interrupts: one per vector and run, coalescing, and the pin.
//!
//! Completions mark their vector; [`Interrupts::deliver`] decides, once all entries of a run are in guest memory, which
//! vectors are signalled now and which wait for more ([`Coalescing`]). The pin's level is high while a completion queue
//! that was signalled holds entries the guest has not consumed.

use state::state;
use units::{Instant, Nanos};

use crate::host::Host;
use crate::moderation::Moderation;
use crate::queue::Set;

/// Whether vectors wait for more completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coalescing {
    /// As the guest asked (Base, section 5.27.1.6): for more than `threshold_z` completions, or for `time`.
    Asked { threshold_z: u32, time: Nanos },
    /// As each vector has learnt ([`Moderation`]), for `longest` at most. Not at all if that is zero.
    Learnt { longest: Nanos },
}

impl Coalescing {
    /// How long completions wait at most.
    pub(crate) const fn time(self) -> Nanos {
        match self {
            Self::Asked { time, .. } => time,
            Self::Learnt { longest } => longest,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Vector {
    /// Completions since the last signal.
    count: u32,
    /// When the first of them came.
    since: Instant,
    /// Completion queues they are in.
    queues: Set,
    /// Interrupt Vector Configuration: never hold back.
    coalescing_disabled: bool,
    /// What comes next has waited already.
    is_late: bool,
    moderation: Moderation,
}

state!(Vector {
    count,
    since,
    queues,
    coalescing_disabled,
    is_late,
    moderation
});

impl Vector {
    /// Completions that wait for one more.
    fn patience(&self, coalescing: Coalescing) -> u32 {
        match coalescing {
            _ if coalescing.time() == Nanos::ZERO || self.coalescing_disabled => 0,
            // The admin queue's completions are never held back.
            _ if self.queues.contains(0) => 0,
            Coalescing::Asked { threshold_z, .. } => threshold_z,
            Coalescing::Learnt { .. } => self.moderation.limit(),
        }
    }

    /// Whether the vector is signalled at `now`. What that teaches is noted.
    fn signals(&mut self, now: Instant, coalescing: Coalescing) -> bool {
        let has_run_out = self.count <= self.patience(coalescing);
        if has_run_out && !self.is_late && now < self.since + coalescing.time() {
            return false;
        }
        if let Coalescing::Learnt { .. } = coalescing {
            self.moderation.signalled(self.count, has_run_out, now);
        }
        true
    }
}

/// Interrupt state of all vectors.
#[derive(Debug)]
pub(crate) struct Interrupts {
    vectors: Vec<Vector>,
    /// Vectors with completions that were not signalled.
    marked: Set,
    /// Completion queues that were signalled and hold unconsumed entries.
    unacknowledged: Set,
    pin: bool,
}

state!(Interrupts {
    vectors[fixed],
    marked,
    unacknowledged,
    pin
});

impl Interrupts {
    pub(crate) fn new(vectors: u16) -> Self {
        Self {
            vectors: vec![Vector::default(); usize::from(vectors)],
            marked: Set::default(),
            unacknowledged: Set::default(),
            pin: false,
        }
    }

    /// Controller reset. The pin falls with the next [`Interrupts::deliver`].
    pub(crate) fn clear(&mut self) {
        self.vectors.fill(Vector::default());
        self.marked = Set::default();
        self.unacknowledged = Set::default();
    }

    pub(crate) fn pin_level(&self) -> bool {
        self.pin
    }

    /// Number of vectors.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors.len()
    }

    /// Interrupt Vector Configuration of a vector: whether coalescing is disabled.
    pub(crate) fn coalescing_disabled(&self, vector: u16) -> Option<bool> {
        self.vectors
            .get(usize::from(vector))
            .map(|v| v.coalescing_disabled)
    }

    /// Sets the Interrupt Vector Configuration; `false` if there is no such vector.
    pub(crate) fn set_coalescing_disabled(&mut self, vector: u16, disabled: bool) -> bool {
        match self.vectors.get_mut(usize::from(vector)) {
            Some(v) => {
                v.coalescing_disabled = disabled;
                true
            }
            None => false,
        }
    }

    /// An entry was posted to `cq`, whose vector is `vector`.
    pub(crate) fn posted(&mut self, cq: u16, vector: u16, now: Instant) {
        let Some(v) = self.vectors.get_mut(usize::from(vector)) else {
            return;
        };
        if v.count == 0 {
            v.since = now;
        }
        v.count = v.count.saturating_add(1);
        v.queues.insert(cq);
        self.marked.insert(vector);
    }

    /// Commands that may wait to be rung for, like completions of a vector wait for an interrupt. What the guest asked
    /// for itself is about completions only.
    pub(crate) fn patience(&self, vector: u16, coalescing: Coalescing) -> u32 {
        match (coalescing, self.vectors.get(usize::from(vector))) {
            (Coalescing::Learnt { .. }, Some(v)) => v.patience(coalescing),
            _ => 0,
        }
    }

    /// The next completions of this vector are of commands that have waited already.
    pub(crate) fn hurry(&mut self, vector: u16) {
        if let Some(v) = self.vectors.get_mut(usize::from(vector)) {
            v.is_late = true;
        }
    }

    /// The guest has consumed all entries of `cq`.
    pub(crate) fn acknowledged(&mut self, cq: u16) {
        self.unacknowledged.remove(cq);
    }

    /// The completion queue was deleted: nothing is signalled for its entries any longer.
    pub(crate) fn forget(&mut self, cq: u16) {
        self.unacknowledged.remove(cq);
        for (vector, number) in self.vectors.iter_mut().zip(0..) {
            vector.queues.remove(cq);
            if vector.queues.is_empty() {
                (vector.count, vector.is_late) = (0, false);
                self.marked.remove(number);
            }
        }
    }

    /// Signals the marked vectors that are due, and sets the pin.
    pub(crate) fn deliver<H: Host>(
        &mut self,
        host: &mut H,
        now: Instant,
        coalescing: Coalescing,
        mask: u32,
    ) {
        let mut marked = self.marked;
        while let Some(vector) = marked.pop() {
            let Some(v) = self.vectors.get_mut(usize::from(vector)) else {
                continue;
            };
            if !v.signals(now, coalescing) {
                continue;
            }
            self.marked.remove(vector);
            while let Some(cq) = v.queues.pop() {
                self.unacknowledged.insert(cq);
            }
            (v.count, v.is_late) = (0, false);
            host.interrupt(vector);
        }
        let level = !self.unacknowledged.is_empty() && mask & 1 == 0;
        if level != self.pin {
            self.pin = level;
            host.pin(level);
        }
    }

    /// When the first vector that waits for more completions must be signalled.
    pub(crate) fn deadline(&self, coalescing: Coalescing) -> Option<Instant> {
        let mut marked = self.marked;
        let since = core::iter::from_fn(|| {
            let vector = marked.pop()?;
            self.vectors.get(usize::from(vector)).map(|v| v.since)
        });
        since.min().map(|since| since + coalescing.time())
    }
}

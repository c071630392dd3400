// SPDX-License-Identifier: GPL-2.0-or-later
//! Interrupts: one per vector and run, coalescing, and the pin.
//!
//! Completions mark their vector; [`Interrupts::deliver`] signals the marked ones once all entries
//! of a run are in guest memory. The pin's level is high while a completion queue that was
//! signalled holds entries the guest has not consumed.

use nvme_spec::InterruptCoalescing;
use units::{Instant, Nanos};

use crate::host::Host;
use crate::queue::Set;

#[derive(Clone, Copy, Debug, Default)]
struct Vector {
    /// Completions since the last signal.
    count: u32,
    /// When the first of them came; `None` if none is being held back.
    since: Option<Instant>,
    /// Completion queues they are in.
    queues: Set,
    /// Interrupt Vector Configuration: never hold back.
    coalescing_disabled: bool,
}

/// Interrupt state of all vectors.
#[derive(Debug)]
pub(crate) struct Interrupts {
    vectors: Vec<Vector>,
    /// Vectors to signal at the end of this run.
    marked: Set,
    /// Vectors that hold completions back.
    held: Set,
    /// Completion queues that were signalled and hold unconsumed entries.
    unacknowledged: Set,
    pin: bool,
}

impl Interrupts {
    pub(crate) fn new(vectors: u16) -> Self {
        Self {
            vectors: vec![Vector::default(); usize::from(vectors)],
            marked: Set::default(),
            held: Set::default(),
            unacknowledged: Set::default(),
            pin: false,
        }
    }

    /// Controller reset. The pin falls with the next [`Interrupts::deliver`].
    pub(crate) fn clear(&mut self) {
        self.vectors.fill(Vector::default());
        self.marked = Set::default();
        self.held = Set::default();
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
    pub(crate) fn posted(&mut self, cq: u16, vector: u16, now: Instant, rule: InterruptCoalescing) {
        let Some(v) = self.vectors.get_mut(usize::from(vector)) else {
            return;
        };
        v.queues.insert(cq);
        v.count = v.count.saturating_add(1);
        // The admin queue's completions are never held back.
        let may_hold = cq != 0 && !v.coalescing_disabled && rule.time() != 0;
        if may_hold && v.count <= u32::from(rule.threshold_z()) {
            v.since.get_or_insert(now);
            self.held.insert(vector);
        } else {
            self.marked.insert(vector);
        }
    }

    /// The guest has consumed all entries of `cq`.
    pub(crate) fn acknowledged(&mut self, cq: u16) {
        self.unacknowledged.remove(cq);
    }

    /// The completion queue was deleted.
    pub(crate) fn forget(&mut self, cq: u16) {
        self.unacknowledged.remove(cq);
        for vector in &mut self.vectors {
            vector.queues.remove(cq);
        }
    }

    /// Signals what is marked, or held back long enough, and sets the pin.
    pub(crate) fn deliver<H: Host>(
        &mut self,
        host: &mut H,
        now: Instant,
        rule: InterruptCoalescing,
        mask: u32,
    ) {
        if !self.held.is_empty() {
            self.release_held(now, rule);
        }
        while let Some(vector) = self.marked.pop() {
            self.held.remove(vector);
            if let Some(v) = self.vectors.get_mut(usize::from(vector)) {
                while let Some(cq) = v.queues.pop() {
                    self.unacknowledged.insert(cq);
                }
                (v.count, v.since) = (0, None);
            }
            host.interrupt(vector);
        }
        let level = !self.unacknowledged.is_empty() && mask & 1 == 0;
        if level != self.pin {
            self.pin = level;
            host.pin(level);
        }
    }

    fn release_held(&mut self, now: Instant, rule: InterruptCoalescing) {
        let mut held = self.held;
        while let Some(vector) = held.pop() {
            let since = self.vectors.get(usize::from(vector)).and_then(|v| v.since);
            if since.is_none_or(|since| since + hold_time(rule) <= now) {
                self.marked.insert(vector);
            }
        }
    }

    /// When the first vector that holds completions back must be signalled.
    pub(crate) fn deadline(&self, rule: InterruptCoalescing) -> Option<Instant> {
        if self.held.is_empty() {
            return None;
        }
        let first = self.vectors.iter().filter_map(|v| v.since).min()?;
        Some(first + hold_time(rule))
    }
}

/// TIME counts 100 us.
fn hold_time(rule: InterruptCoalescing) -> Nanos {
    Nanos::from_micros(100).times(u64::from(rule.time()))
}

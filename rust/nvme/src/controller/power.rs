// SPDX-License-Identifier: GPL-2.0-or-later
//! Power cuts: the drive loses what is volatile and is dead until it is reset; then it recovers, and is ready some time
//! later.
//!
//! ```text
//!   on ──cut──► off ──reset──► recovering ──► on
//!               registers read all ones,      CSTS.RDY stays 0
//!               no DMA, no interrupt
//! ```
//! A cut is at its instant exactly, also where the host is late: nothing that is due then or later happens before it.

use command::Command;
use state::{state, state_enum};
use units::{Instant, Nanos, PAGE_BYTES, SECTOR_BYTES};

use super::Controller;
use crate::drive::{Drive, MediaChange, SanitizeStatus};
use crate::host::Host;
use crate::power_states::PowerReport;
use crate::work::Sanitizing;

/// Whether the drive has power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Supply {
    #[default]
    On,
    /// From `off` on; when power is back it takes `recovery` to be ready.
    Off { off: Instant, recovery: Nanos },
    /// It is back, and the drive is ready from then on.
    Recovering(Instant),
}

state_enum!(Supply { On = 0, Off { off, recovery } = 1, Recovering(until) = 2 });

/// The drive's power.
#[derive(Debug, Default)]
pub(super) struct Power {
    pub(super) supply: Supply,
    /// When it is to be cut.
    pub(super) cut_at: Option<Instant>,
    /// When it was cut last, until somebody has asked.
    news: Option<Instant>,
}

// Who is to be told is told within the same visit.
state!(Power { supply, cut_at; news });

impl<D: Drive> Controller<D> {
    /// Cuts power at an instant, in place of any other that was set before; takes it back with `None`. To be called
    /// before the instant, or at it, with [`Controller::run`] right after.
    pub fn cut_power_at(&mut self, at: Option<Instant>) {
        self.power.cut_at = at;
    }

    /// Cuts power at the instant of this run, which does nothing more.
    pub(crate) fn cut_power_now(&mut self, now: Instant) {
        self.registers.held = true;
        self.cut_power_at(Some(now));
    }

    /// When power is to be cut.
    #[must_use]
    pub const fn power_cut_at(&self) -> Option<Instant> {
        self.power.cut_at
    }

    /// Whether power was cut, and has not come back by a reset.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self.power.supply, Supply::Off { .. })
    }

    /// When power was cut since this was asked last, if it was.
    pub fn take_power_cut(&mut self) -> Option<Instant> {
        self.power.news.take()
    }

    /// Cuts power if that is due; whether the drive has power, and so may work.
    pub(super) fn has_power<H: Host>(&mut self, host: &mut H, now: Instant) -> bool {
        let is_due = |at: &Instant| *at <= now && !self.is_off();
        if let Some(at) = self.power.cut_at.filter(is_due) {
            self.cut_power(host, at);
        }
        match self.power.supply {
            Supply::Recovering(until) if until <= now => {
                self.power.supply = Supply::On;
                self.registers.held = false;
                true
            }
            Supply::On | Supply::Recovering(_) => true,
            Supply::Off { .. } => false,
        }
    }

    fn cut_power<H: Host>(&mut self, host: &mut H, at: Instant) {
        self.lose_power(at, &mut |change| match change {
            MediaChange::Gone(bytes) => host.media_discard(bytes.start, bytes.end - bytes.start),
            MediaChange::Restored { from, to } => copy_page(host, from, to),
        });
        self.power.news = Some(at);
    }

    /// Power goes at `at`; `change` is told what becomes of media bytes. The next reset brings it back.
    pub fn lose_power(&mut self, at: Instant, change: &mut dyn FnMut(MediaChange)) {
        self.power.cut_at = None;
        // What the model has reset or given up is gone, however much of the bytes was.
        let rest = core::mem::take(self.work.left_over());
        let rest = self.work.job().map_or(rest, |job| job.discard.clone());
        if !rest.is_empty() {
            change(MediaChange::Gone(rest));
        }
        let power = self.power_states.as_mut();
        let at = power.map_or(at, |power| power.power_off(at));
        let loss = self.drive.power_cut(at, change);
        let counters = &mut self.logs.counters;
        counters.power_cuts = counters.power_cuts.saturating_add(1);
        if !self.registers.is_safe() {
            counters.unsafe_shutdowns = counters.unsafe_shutdowns.saturating_add(1);
        }
        self.disable();
        self.sanitizing = Sanitizing::default();
        self.registers.reset();
        self.power.supply = Supply::Off {
            off: loss.off,
            recovery: loss.recovery,
        };
    }

    /// Counts a command of the guest's that another process has worked, as far as it is known.
    pub fn count_worked(&mut self, command: &Command) {
        let counters = &mut self.logs.counters;
        match *command {
            Command::Read {
                sectors,
                internal: false,
                ..
            } => counters.read(sectors * SECTOR_BYTES),
            Command::Write {
                sectors,
                internal: false,
                ..
            }
            | Command::Append { sectors, .. } => {
                counters.write(sectors * SECTOR_BYTES);
            }
            _ => {}
        }
    }

    /// Puts aside what a power cut can bring back. To be called before the bytes of the media are changed.
    pub(crate) fn keep<H: Host>(&mut self, host: &mut H) {
        let mut any = false;
        while let Some((from, to)) = self.drive.take_kept() {
            copy_page(host, from, to);
            any = true;
        }
        if any {
            host.kept();
        }
    }

    /// A reset at `now` brings power back.
    pub(super) fn restore_power(&mut self, now: Instant) {
        if let Supply::Off { off, recovery } = self.power.supply {
            self.power.supply = Supply::Recovering(now.max(off) + recovery);
            let initial = self.features.initial_power_state();
            if let Some(power) = &mut self.power_states {
                power.power_on(initial, now);
            }
            // A drive without power cannot lose it.
            self.power.cut_at = self.power.cut_at.filter(|at| *at > now);
            self.registers.held = true;
        }
    }

    /// The power states take note of what concerns them.
    pub(super) fn visit_power_states(&mut self, now: Instant) {
        let Some(power) = &mut self.power_states else {
            return;
        };
        let is_sanitizing = self.drive.sanitized().status == SanitizeStatus::InProgress;
        let is_held = is_sanitizing || self.self_test.running.is_some();
        let initial = self.features.initial_power_state();
        power.visit(now, initial, is_held, self.drive.is_timed());
    }

    /// What the controller has counted of its power states, if it has several.
    #[must_use]
    pub fn power_report(&self, now: Instant) -> Option<PowerReport> {
        self.power_states.as_ref().map(|power| power.report(now))
    }

    /// When the drive will have recovered.
    pub(super) fn recovered_at(&self) -> Option<Instant> {
        match self.power.supply {
            Supply::Recovering(until) => Some(until),
            Supply::On | Supply::Off { .. } => None,
        }
    }
}

/// Copies a page of the media.
fn copy_page<H: Host>(host: &mut H, from: u64, to: u64) {
    let mut page = [0; PAGE_BYTES as usize];
    host.media_read(from, &mut page);
    // Where these go the host has room already.
    let _ = host.media_write(to, &page);
}

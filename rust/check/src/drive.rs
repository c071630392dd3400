// SPDX-License-Identifier: GPL-2.0-or-later
//! A drive to be checked: one of the models, and what its configuration says.

use crate::observed::{Event, Occupied};
use ftl::{Command, Namespace, Outcome, ZoneReport};
use ssd::{Model, ModelConfig, Plan};
use std::ops::Range;
use units::{Instant, Nanos, Sector, ZoneId, PAGE_SECTORS, SECTOR_BYTES};

/// A model that tells what it does.
#[derive(Clone, Debug)]
pub struct Drive {
    model: Model,
    zones: u32,
    /// Sectors of a zone's span.
    zone_size: u64,
    sectors: [u64; 2],
    erase: Nanos,
    link_mbps: u64,
    early_completion: bool,
    config: ModelConfig,
}

impl Drive {
    /// An erased drive of a plan.
    ///
    /// # Errors
    /// The plan makes no drive.
    pub fn new(plan: &Plan) -> Result<Self, ssd::ConfigError> {
        let sectors = |space: &ssd::Space| space.size.get() / SECTOR_BYTES;
        let (zones, zone_size, erase, link_mbps) = match &plan.model {
            ModelConfig::Zms(c) => match c.data {
                zms::DataNamespace::Zoned {
                    zones, zone_size, ..
                } => (
                    zones,
                    zone_size.get() / SECTOR_BYTES,
                    c.timing.erase,
                    c.link_mbps,
                ),
                zms::DataNamespace::Block { .. } => (0, 0, c.timing.erase, c.link_mbps),
            },
            ModelConfig::Zns(c) => {
                let size = c.zone_size.get() / SECTOR_BYTES;
                (c.zones, size, c.chips.erase, c.link_mbps)
            }
            ModelConfig::Conv(c) => (0, 0, c.chips.erase, c.link_mbps),
            ModelConfig::Simple(_) => (0, 0, Nanos::ZERO, u64::MAX >> 20),
        };
        let early_completion = match &plan.model {
            ModelConfig::Zms(c) => c.early_completion,
            ModelConfig::Zns(c) => c.early_completion,
            ModelConfig::Conv(c) => c.early_completion,
            ModelConfig::Simple(_) => true,
        };
        let mut model = Model::new(plan)?;
        observe(&mut model);
        Ok(Self {
            model,
            zones,
            zone_size,
            sectors: [plan.meta.as_ref().map_or(0, sectors), sectors(&plan.data)],
            erase,
            link_mbps,
            early_completion,
            config: plan.model.clone(),
        })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// What it was made from.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Zones of the data namespace.
    #[must_use]
    pub const fn zones(&self) -> u32 {
        self.zones
    }

    /// Whether a namespace has zones.
    #[must_use]
    pub fn is_zoned(&self, namespace: Namespace) -> bool {
        namespace == Namespace::Data && self.zones > 0
    }

    /// Sectors of a namespace.
    #[must_use]
    pub const fn sectors(&self, namespace: Namespace) -> u64 {
        self.sectors[namespace as usize]
    }

    /// Time of an erase.
    #[must_use]
    pub const fn erase(&self) -> Nanos {
        self.erase
    }

    /// Bandwidth of the host link.
    #[must_use]
    pub const fn link_mbps(&self) -> u64 {
        self.link_mbps
    }

    /// Whether the command's data is durable when it ends.
    #[must_use]
    pub const fn writes_through(&self, command: &Command) -> bool {
        match *command {
            Command::Write { fua, .. }
            | Command::Append { fua, .. }
            | Command::WriteZeroes { fua, .. } => fua || !self.early_completion,
            _ => false,
        }
    }

    /// Whether a zone is active.
    pub fn is_active(&self, id: u32) -> bool {
        self.zone(id).is_some_and(|zone| zone.state.is_active())
    }

    /// A zone.
    #[must_use]
    pub fn zone(&self, id: u32) -> Option<ZoneReport> {
        self.model.zone(ZoneId::new(id))
    }

    /// The zone with a sector.
    #[must_use]
    pub fn zone_of(&self, at: Sector) -> Option<ZoneReport> {
        let id = at.get().checked_div(self.zone_size)?;
        self.zone(u32::try_from(id).ok()?)
    }

    /// The pages of a zone's span.
    #[must_use]
    pub fn pages_of(&self, id: u32) -> Range<u64> {
        let pages = self.zone_size / PAGE_SECTORS;
        let first = u64::from(id) * pages;
        first..first + pages
    }

    /// The same drive made anew from its plan, with the state of this one decoded into it.
    ///
    /// # Errors
    /// The state is refused.
    pub fn restored(&self, plan: &Plan) -> Result<Self, String> {
        let other = Self::new(plan).map_err(|e| e.to_string())?;
        other.decoded(&state::encode(&self.model))
    }

    /// This drive, which is erased, with a state decoded into it.
    ///
    /// # Errors
    /// The state is refused.
    pub fn decoded(mut self, bytes: &[u8]) -> Result<Self, String> {
        state::decode(&mut self.model, bytes).map_err(|e| e.to_string())?;
        Ok(self)
    }

    /// A number that equal states have in common.
    #[must_use]
    pub fn digest(&self) -> u64 {
        state::digest(&self.model)
    }

    /// Runs a command.
    pub fn submit(&mut self, ns: Namespace, command: &Command, now: Instant) -> Outcome {
        self.model.submit(ns, command, now)
    }

    /// Power goes at `now` and comes back.
    pub fn power_cut(&mut self, now: Instant) -> ftl::PowerCut {
        self.model.power_cut(now)
    }

    /// How long a program of a block takes at least, as the model says.
    #[must_use]
    pub fn program_time(&self, block: nand::BlockId) -> Nanos {
        self.model.program_time(block)
    }

    /// Does the background work due until `now`.
    pub fn advance(&mut self, now: Instant) {
        self.model.advance(now);
    }

    /// When background work is due next.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.model.next_event()
    }

    /// What was done with pages since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        match &mut self.model {
            Model::Zms(zms) => zms.take_events(),
            Model::Zns(zns) => zns.take_events(),
            Model::Conv(conv) => conv.take_events(),
            Model::Simple(_) => Vec::new(),
        }
    }

    /// What planes did since the last call.
    pub fn take_occupied(&mut self) -> Vec<Occupied> {
        match &mut self.model {
            Model::Zms(zms) => zms.take_occupied(),
            Model::Zns(zns) => zns.take_occupied(),
            Model::Conv(conv) => conv.take_occupied(),
            Model::Simple(_) => Vec::new(),
        }
    }

    /// Panics if the model's parts disagree.
    pub fn check_invariants(&self) {
        assert_eq!(self.model.check_invariants(), Ok(()));
    }
}

fn observe(model: &mut Model) {
    match model {
        Model::Zms(zms) => zms.observe(true),
        Model::Zns(zns) => zns.observe(true),
        Model::Conv(conv) => conv.observe(true),
        Model::Simple(_) => {}
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! From property values to what the parts of a drive are built from, with every rule between
//! properties checked on the way.
//!
//! ```text
//!   Planner ── zms | zns | conv | simple ──> ModelConfig, Space of each namespace    one file each
//!      │     zones (zms, zns) ─┴─ chips (zns, conv)
//!      └────── controller, media                                                     any model
//! ```
//! Rules that a single property must obey are in `table`; the models' own validation has the last
//! word. For zns, conv and simple it has the only word: their errors are turned into rules here.

mod chips;
mod controller;
mod conv;
mod resolved;
mod simple;
mod zms;
mod zns;
mod zones;

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::error::ConfigError;
use crate::f2fs;
use crate::layout::Layout;
use crate::properties::{Key, ModelKind, Value};
use crate::table::PROPERTIES;
use nand::Cell;
use nvme::{ControllerConfig, ZonedInfo};
use units::{Bytes, Nanos, MIB, PAGE_BYTES};

/// How long interrupts wait for more completions: long beside the time between a busy guest's commands, even where it
/// is slow, and so seldom lost that it does not show.
const DEFAULT_HOLD: Nanos = Nanos::from_micros(2000);

/// What an undo area is at most: more than is volatile, unless a guest has more than this of writes in flight at once.
const MOST_UNDO: Bytes = Bytes::new(64 * MIB);

/// Everything a drive is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The flash model.
    pub model: ModelConfig,
    /// The meta namespace, if there is one.
    pub meta: Option<Space>,
    /// The data namespace.
    pub data: Space,
    /// Native cells; none without flash.
    pub cell: Option<Cell>,
    /// The controller.
    pub controller: ControllerConfig,
    /// Base-2 logarithm of the LBA size at power-on.
    pub lba_shift: u8,
    /// Whether commands take model time (`timing=on`).
    pub timed: bool,
    /// How long interrupts may wait for more completions; `None` leaves it to [`Plan::interrupt_hold`].
    hold: Option<Nanos>,
    /// Distance of the samples of the counters; 0 for none.
    pub sample_interval: Nanos,
    /// Where the namespaces lie in the media.
    pub layout: Layout,
    /// What the media is made of.
    pub media: Media,
    /// Who works the device's timer; the main loop if nobody.
    pub worker: Option<Worker>,
    /// What follows a power cut; `None` if there can be none.
    pub power_cuts: Option<AfterCut>,
    /// A page that power was cut in the program of cannot be read afterwards.
    pub tears: bool,
}

impl Plan {
    /// How long interrupts may wait for more completions. Never where commands take time: the wait would be part of
    /// it. Nor, unless it is asked for, where the guest's time is counted and not lived: there an interrupt saved is
    /// nobody's gain, and the wait is seen.
    #[must_use]
    pub fn interrupt_hold(&self, is_counted: bool) -> Nanos {
        match self.hold {
            _ if self.timed => Nanos::ZERO,
            Some(hold) => hold,
            None if is_counted => Nanos::ZERO,
            None => DEFAULT_HOLD,
        }
    }
}

/// An iothread that works the device's timer (the device's business; the model does not look).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Id of the iothread.
    pub thread: String,
    /// How near a deadline must be to be waited for busily.
    pub poll: Nanos,
}

/// What the machine does when the drive's power has been cut (the device's business).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCut {
    /// It is shut down.
    Shutdown,
    /// It is reset, with which power comes back.
    Reset,
    /// It goes on with a dead drive.
    Dead,
}

/// What a flash model is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelConfig {
    /// The consumer drive.
    Zms(::zms::Config),
    /// The enterprise zoned drive.
    Zns(::zns::Config),
    /// The conventional SSD.
    Conv(::conv::Config),
    /// A few units that serve requests in turn.
    Simple(::simple::Config),
}

/// A namespace as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// What its addresses span.
    pub size: Bytes,
    /// What can be written.
    pub capacity: Bytes,
    /// What a write should be a multiple of.
    pub preferred_write: Bytes,
    /// Its zones, if it has any.
    pub zoned: Option<ZonedInfo>,
}

impl Space {
    /// A namespace without zones.
    fn block(size: Bytes, preferred_write: Bytes) -> Self {
        Self {
            size,
            capacity: size,
            preferred_write,
            zoned: None,
        }
    }
}

/// What one model's planning comes to.
struct Planned {
    model: ModelConfig,
    meta: Option<Space>,
    data: Space,
    cell: Option<Cell>,
}

/// What the media is made of (the device's business; the model does not look).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media {
    /// Nothing: data is discarded, and everything reads as zeroes.
    None,
    /// Private memory of the size needed.
    Private,
    /// The memory backend of that id.
    Backend(String),
    /// A range of guest memory.
    GuestRange {
        /// First guest physical address.
        start: u64,
        /// Length.
        size: Bytes,
    },
}

impl Config {
    /// Checks all rules and computes what the parts need.
    ///
    /// # Errors
    /// The first rule that does not hold, naming property, value and bound.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        Planner { config: self }.plan()
    }

    /// Checks all rules.
    ///
    /// # Errors
    /// As for [`Config::plan`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.plan().map(drop)
    }
}

struct Planner<'a> {
    config: &'a Config,
}

impl Planner<'_> {
    fn plan(&self) -> Result<Plan, ConfigError> {
        self.all_have_meaning()?;
        let piece = self.u64(Key::ChannelTransfer);
        self.rule(
            piece == 0 || piece >= PAGE_BYTES,
            Key::ChannelTransfer,
            || "must be at least 4 KiB, or 0".into(),
        )?;
        let planned = match self.config.model() {
            ModelKind::Zms => self.meta_is_known().and_then(|()| self.zms()),
            ModelKind::Zns => self.meta_is_known().and_then(|()| self.zns()),
            ModelKind::Conv => self.conv(),
            ModelKind::Simple => self.simple(),
        }?;
        let meta = planned.meta.as_ref().map(|meta| meta.size);
        let layout = Layout::new(meta, planned.data.size, self.undo_pages(&planned));
        Ok(Plan {
            model: planned.model,
            meta: planned.meta,
            data: planned.data,
            cell: planned.cell,
            layout,
            media: self.media(&layout)?,
            worker: self.worker()?,
            controller: self.controller()?,
            lba_shift: if self.u64(Key::LbaSize) == 0 { 9 } else { 12 },
            timed: self.on(Key::Timing),
            hold: self.number(Key::InterruptHold).map(Nanos::new),
            sample_interval: self.nanos(Key::SampleInterval),
            power_cuts: match self.u64(Key::PowerCuts) {
                0 => None,
                1 => Some(AfterCut::Shutdown),
                2 => Some(AfterCut::Reset),
                _ => Some(AfterCut::Dead),
            },
            tears: self.u64(Key::TornProgram) == 1,
        })
    }

    /// Pages of the undo area: as many as are followed (`undo`), but no more than fit into [`MOST_UNDO`].
    fn undo_pages(&self, planned: &Planned) -> u32 {
        let data = Some(&planned.data).filter(|data| data.zoned.is_none());
        let spaces = planned.meta.iter().chain(data);
        let bytes = spaces.fold(Bytes::ZERO, |sum, space| {
            Bytes::new(sum.get().saturating_add(space.size.get()))
        });
        // Without flash nothing is lost.
        let can_lose = self.u64(Key::PowerCuts) > 0 || self.config.outlives;
        let is_needed = can_lose && planned.cell.is_some();
        let pages = bytes.min(MOST_UNDO).get() / PAGE_BYTES;
        u32::try_from(pages).unwrap_or(u32::MAX) * u32::from(is_needed)
    }

    /// What the user sets has an effect: a figure of another model is a mistake.
    fn all_have_meaning(&self) -> Result<(), ConfigError> {
        let model = self.config.model();
        for property in self.config.explicit() {
            self.rule(property.models.contains(&model), property.key, || {
                let names: Vec<_> = property.models.iter().map(|m| m.name()).collect();
                format!(
                    "has no effect with model={}, only with {}",
                    model.name(),
                    names.join(", ")
                )
            })?;
        }
        Ok(())
    }

    fn number(&self, key: Key) -> Option<u64> {
        match self.config.value(key) {
            Value::Number(n) => Some(n),
            Value::Auto if key == Key::MetaSize => self.meta_for_f2fs().map(Bytes::get),
            _ => None,
        }
    }

    /// `meta-size=auto`.
    fn meta_for_f2fs(&self) -> Option<Bytes> {
        let zone = match self.config.model() {
            ModelKind::Zms if !self.zoned() => {
                return f2fs::meta_size(self.bytes(Key::BlockDataSize), Bytes::new(f2fs::SEGMENT));
            }
            ModelKind::Zms => self.zone_size(&self.geometry().ok()?).ok()?,
            ModelKind::Zns => self.zns_zone_size(),
            ModelKind::Conv | ModelKind::Simple => return None,
        };
        let data = zone.get().checked_mul(self.u64(Key::Zones))?;
        f2fs::meta_size(Bytes::new(data), zone)
    }

    /// Zones that F2FS cannot use as sections have no computed meta size.
    fn meta_is_known(&self) -> Result<(), ConfigError> {
        let auto = self.config.value(Key::MetaSize) == Value::Auto;
        self.rule(
            !auto || self.number(Key::MetaSize).is_some(),
            Key::MetaSize,
            || "needs zones of whole 2 MiB, F2FS's segments: give a size, or 0".into(),
        )
    }

    fn u64(&self, key: Key) -> u64 {
        self.number(key).unwrap_or(0)
    }

    fn u32(&self, key: Key) -> u32 {
        u32::try_from(self.u64(key)).unwrap_or(u32::MAX)
    }

    fn bytes(&self, key: Key) -> Bytes {
        Bytes::new(self.u64(key))
    }

    fn nanos(&self, key: Key) -> Nanos {
        Nanos::new(self.u64(key))
    }

    /// A time that the drive takes: none with `timing=off`. What takes no time leaves nothing to be worked off later, either.
    fn time(&self, key: Key) -> Nanos {
        if self.on(Key::Timing) {
            self.nanos(key)
        } else {
            Nanos::ZERO
        }
    }

    fn on(&self, key: Key) -> bool {
        self.u64(key) != 0
    }

    fn text(&self, key: Key) -> String {
        match self.config.value(key) {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    /// Times of a wordline's pages, like `time`.
    fn page_times(&self, key: Key) -> Option<[Nanos; 4]> {
        match self.config.value(key) {
            Value::PageNanos(times) if self.on(Key::Timing) => Some(times.map(Nanos::new)),
            Value::PageNanos(_) => Some([Nanos::ZERO; 4]),
            _ => None,
        }
    }

    fn cell(&self) -> Cell {
        match self.u64(Key::Cell) {
            0 => Cell::Slc,
            1 => Cell::Mlc,
            2 => Cell::Tlc,
            _ => Cell::Qlc,
        }
    }

    fn costs(&self) -> ftl::Costs {
        ftl::Costs {
            read_4k: self.time(Key::FwRead4k),
            read: self.time(Key::FwRead),
            append: self.time(Key::FwAppend),
            buffer_base: self.time(Key::WbufBase),
            buffer_page: self.time(Key::WbufPage),
        }
    }

    /// Fails with the rule unless it `holds`.
    fn rule(
        &self,
        holds: bool,
        key: Key,
        rule: impl FnOnce() -> String,
    ) -> Result<(), ConfigError> {
        if holds {
            Ok(())
        } else {
            Err(self.broken(key, rule()))
        }
    }

    /// The rule does not hold for the property's value.
    fn broken(&self, key: Key, rule: String) -> ConfigError {
        let property = &PROPERTIES[key as usize];
        ConfigError::Conflict {
            name: property.name(),
            value: property.show(&self.config.value(key)),
            rule,
        }
    }

    fn pages(&self, key: Key) -> Result<(), ConfigError> {
        self.rule(self.u64(key) % PAGE_BYTES == 0, key, || {
            "must be a multiple of 4 KiB, the mapping unit".into()
        })
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! The flash model behind the drive. The one place that knows which models there are.

use crate::error::ConfigError;
use crate::plan::{ModelConfig, Plan};
use command::{Command, Error, Outcome, ZoneReport};
use conv::Conv;
use ftl::{totals, Event, Namespace, PowerCut, Stats, Totals};
use nand::BlockId;
use simple::Simple;
use state::{Decoder, Encoder, State};
use units::{Instant, Nanos, Sector, ZoneId, PAGE_BYTES};
use zms::{Pools, Zms};
use zns::Zns;

/// A flash model.
#[derive(Clone, Debug)]
pub enum Model {
    /// The consumer drive.
    Zms(Box<Zms>),
    /// The enterprise zoned drive.
    Zns(Box<Zns>),
    /// The conventional SSD.
    Conv(Box<Conv>),
    /// A few units that serve requests in turn.
    Simple(Box<Simple>),
}

/// Which model it is follows from the configuration.
impl State for Model {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Self::Zms(zms) => zms.encode(out),
            Self::Zns(zns) => zns.encode(out),
            Self::Conv(conv) => conv.encode(out),
            Self::Simple(simple) => simple.encode(out),
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        match self {
            Self::Zms(zms) => zms.decode(from),
            Self::Zns(zns) => zns.decode(from),
            Self::Conv(conv) => conv.decode(from),
            Self::Simple(simple) => simple.decode(from),
        }
    }
}

impl Model {
    /// The model that the plan asks for.
    ///
    /// # Errors
    /// The plan makes no drive.
    pub fn new(plan: &Plan) -> Result<Self, ConfigError> {
        match &plan.model {
            ModelConfig::Zms(config) => made(Zms::new(config), Self::Zms),
            ModelConfig::Zns(config) => made(Zns::new(config), Self::Zns),
            ModelConfig::Conv(config) => made(Conv::new(config), Self::Conv),
            ModelConfig::Simple(config) => made(Simple::new(config), Self::Simple),
        }
    }

    /// Takes over the times of a plan of the same model, for what is asked for from now on; the
    /// rest of it stays as it is.
    pub fn set_times(&mut self, plan: &Plan) {
        match (self, &plan.model) {
            (Self::Zms(zms), ModelConfig::Zms(config)) => zms.set_times(config),
            (Self::Zns(zns), ModelConfig::Zns(config)) => zns.set_times(config),
            (Self::Conv(conv), ModelConfig::Conv(config)) => conv.set_times(config),
            (Self::Simple(simple), ModelConfig::Simple(config)) => simple.set_times(config),
            // The model is no time.
            (Self::Zms(_) | Self::Zns(_) | Self::Conv(_) | Self::Simple(_), _) => {}
        }
    }

    /// How long it takes to do something to all of its flash, all planes side by side, with the plan's times.
    #[must_use]
    pub(crate) fn whole(&self, plan: &Plan) -> Whole {
        match (self, &plan.model) {
            (Self::Zms(zms), ModelConfig::Zms(config)) => {
                let g = &config.geometry;
                let superblocks: u64 = zms.pool_erases().map(|(.., n)| u64::from(n)).sum();
                // Each has a block of every plane of its die group.
                let blocks = superblocks.div_ceil(u64::from(g.groups().max(1)));
                let one_shots = blocks.saturating_mul(g.rows(g.cell).into());
                let times = config.timing.of(g.cell);
                Whole {
                    erase: config.timing.erase.times(blocks),
                    program: times.program.times(one_shots),
                    read: longest(&times.read)
                        .times(one_shots.saturating_mul(g.cell.bits().into())),
                }
            }
            (Self::Zns(_), ModelConfig::Zns(config)) => {
                let (chips, planes) = (&config.chips, u64::from(config.chips.planes().max(1)));
                let lanes = u64::from(config.dies_per_zone) * u64::from(chips.planes_per_lun);
                let blocks = (u64::from(config.zones) * lanes).div_ceil(planes);
                let stripe = chips.one_shot.get().saturating_mul(lanes).max(1);
                let one_shots = config.zone_capacity.get().div_ceil(stripe);
                let zones = Whole::of(chips, blocks, blocks.saturating_mul(one_shots));
                let meta = config.meta.as_ref().map(|meta| paged(meta, chips));
                let meta = meta.unwrap_or_default();
                Whole {
                    erase: zones.erase + meta.erase,
                    program: zones.program + meta.program,
                    read: zones.read + meta.read,
                }
            }
            (Self::Conv(_), ModelConfig::Conv(config)) => paged(&config.paged, &config.chips),
            // Without flash there is nothing to do.
            _ => Whole::default(),
        }
    }

    /// Runs a command that arrives at `now`.
    pub fn submit(&mut self, ns: Namespace, command: &Command, now: Instant) -> Outcome {
        match (self, ns) {
            (Self::Zms(zms), _) => zms.submit(ns, command, now),
            (Self::Zns(zns), _) => zns.submit(ns, command, now),
            (Self::Conv(conv), Namespace::Data) => conv.submit(command, now),
            (Self::Simple(simple), Namespace::Data) => simple.submit(command, now),
            (Self::Conv(_) | Self::Simple(_), Namespace::Meta) => {
                Outcome::failed(now, Error::Unsupported)
            }
        }
    }

    /// The host lends memory ([`Zms::hmb_lend`]).
    pub fn hmb_lend(&mut self, slots: u32, is_kept: bool) {
        if let Self::Zms(zms) = self {
            zms.hmb_lend(slots, is_kept);
        }
    }

    /// Slots of the host's memory in use.
    #[must_use]
    pub fn hmb_lent(&self) -> u32 {
        match self {
            Self::Zms(zms) => zms.hmb_lent(),
            Self::Zns(_) | Self::Conv(_) | Self::Simple(_) => 0,
        }
    }

    pub(crate) fn hmb_next(
        &self,
        ns: Namespace,
        command: &Command,
        cursor: &mut zms::Cursor,
    ) -> Option<(u32, u32)> {
        match self {
            Self::Zms(zms) => zms.hmb_next(ns, command, cursor),
            Self::Zns(_) | Self::Conv(_) | Self::Simple(_) => None,
        }
    }

    pub(crate) fn hmb_piece(&self, slot: u32, piece: u32) -> [u8; zms::PIECE_BYTES] {
        match self {
            Self::Zms(zms) => zms.hmb_piece(slot, piece),
            Self::Zns(_) | Self::Conv(_) | Self::Simple(_) => [0; zms::PIECE_BYTES],
        }
    }

    pub(crate) fn hmb_slot(&self, slot: u32, bytes: &mut [u8; PAGE_BYTES as usize]) {
        if let Self::Zms(zms) = self {
            zms.hmb_slot(slot, bytes);
        }
    }

    pub(crate) fn hmb_spoil(&mut self, slot: u32, pieces: u64) {
        if let Self::Zms(zms) = self {
            zms.hmb_spoil(slot, pieces);
        }
    }

    pub(crate) fn hmb_take_fill(&mut self) -> Option<u32> {
        match self {
            Self::Zms(zms) => zms.hmb_take_fill(),
            Self::Zns(_) | Self::Conv(_) | Self::Simple(_) => None,
        }
    }

    /// When background work is due next.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        match self {
            Self::Zms(zms) => zms.next_event(),
            // Their background work is booked when it is caused.
            Self::Zns(_) | Self::Conv(_) | Self::Simple(_) => None,
        }
    }

    /// Does the background work due until `now`, inclusive.
    pub fn advance(&mut self, now: Instant) {
        match self {
            Self::Zms(zms) => zms.advance(now),
            Self::Zns(zns) => zns.advance(now),
            Self::Conv(conv) => conv.advance(now),
            Self::Simple(simple) => simple.advance(now),
        }
    }

    /// Power goes at `now` and comes back. What was volatile is lost.
    pub fn power_cut(&mut self, now: Instant) -> PowerCut {
        match self {
            Self::Zms(zms) => zms.power_cut(now),
            Self::Zns(zns) => zns.power_cut(now),
            Self::Conv(conv) => conv.power_cut(now),
            Self::Simple(simple) => simple.power_cut(now),
        }
    }

    /// How long a program of a block takes at least; zero where there is no flash.
    #[must_use]
    pub fn program_time(&self, block: BlockId) -> Nanos {
        match self {
            Self::Zms(zms) => zms.program_time(block),
            Self::Zns(zns) => zns.program_time(),
            Self::Conv(conv) => conv.program_time(),
            Self::Simple(_) => Nanos::ZERO,
        }
    }

    /// Remembers what happens to pages without zones from now on, for [`Model::drain_events`].
    pub(crate) fn follow(&mut self) {
        match self {
            Self::Zms(zms) => zms.follow(),
            Self::Zns(zns) => zns.follow(),
            Self::Conv(conv) => conv.follow(),
            // It has no memory to lose.
            Self::Simple(_) => {}
        }
    }

    /// Tells what happened to pages since this was asked last; those of a page in order.
    pub(crate) fn drain_events(&mut self, each: &mut dyn FnMut(&Event)) {
        match self {
            Self::Zms(zms) => zms.drain_events(each),
            Self::Zns(zns) => zns.drain_events(each),
            Self::Conv(conv) => conv.drain_events(each),
            Self::Simple(_) => {}
        }
    }

    /// A zone, if there is one of that number.
    #[must_use]
    pub fn zone(&self, id: ZoneId) -> Option<ZoneReport> {
        match self {
            Self::Zms(zms) => zms.zone(id),
            Self::Zns(zns) => zns.zone(id),
            Self::Conv(_) | Self::Simple(_) => None,
        }
    }

    /// How many zones there are.
    #[must_use]
    pub fn zones(&self) -> u32 {
        match self {
            Self::Zms(zms) => zms.zones(),
            Self::Zns(zns) => zns.zones(),
            Self::Conv(_) | Self::Simple(_) => 0,
        }
    }

    /// Whether some page of a sector range is unmapped.
    #[must_use]
    pub fn has_unmapped(&self, ns: Namespace, at: Sector, sectors: u64) -> bool {
        match self {
            Self::Zms(zms) => zms.has_unmapped(ns, at, sectors),
            Self::Zns(zns) => zns.has_unmapped(ns, at, sectors),
            Self::Conv(conv) => conv.has_unmapped(at, sectors),
            Self::Simple(simple) => simple.has_unmapped(at, sectors),
        }
    }

    /// What it has done so far. Counters of what a model does not have are zero.
    #[must_use]
    pub fn stats(&self) -> Stats {
        match self {
            Self::Zms(zms) => zms.stats(),
            Self::Zns(zns) => zns.report(),
            Self::Conv(conv) => conv.report(),
            Self::Simple(simple) => Stats {
                data: simple.counters(),
                ..Stats::default()
            },
        }
    }

    /// Counts from here on; wear stays.
    pub fn forget_counts(&mut self) {
        match self {
            Self::Zms(zms) => zms.forget_counts(),
            Self::Zns(zns) => zns.forget_counts(),
            Self::Conv(conv) => conv.forget_counts(),
            Self::Simple(simple) => simple.forget_counts(),
        }
    }

    /// The counters of both namespaces together, in the order of [`ftl::Counter`]; without allocating.
    pub(crate) fn totals(&self) -> Totals {
        match self {
            Self::Zms(zms) => totals(
                [Namespace::Meta, Namespace::Data]
                    .into_iter()
                    .filter_map(|ns| zms.counters(ns)),
            ),
            Self::Zns(zns) => totals(&zns.stats().counters()),
            Self::Conv(conv) => totals([&conv.stats().counters()]),
            Self::Simple(simple) => totals([&simple.counters()]),
        }
    }

    /// How long all planes, all channels and the host link were busy; without allocating.
    pub(crate) fn busy(&self) -> [Nanos; 3] {
        match self {
            Self::Zms(zms) => zms.busy(),
            Self::Zns(zns) => zns.busy(),
            Self::Conv(conv) => conv.flash().busy(),
            Self::Simple(_) => [Nanos::ZERO; 3],
        }
    }

    /// The granularity at which a zone's first page is mapped; `-` if it is not in flash, or if
    /// the drive has no map.
    pub(crate) fn mapping(&self, id: ZoneId) -> &'static str {
        let Self::Zms(zms) = self else {
            return "-";
        };
        match zms.zone_grain(id) {
            None => "-",
            Some(zms::Grain::Zone) => "zone",
            Some(zms::Grain::SubZone) => "sub-zone",
            Some(zms::Grain::Chunk) => "chunk",
            Some(zms::Grain::Page) => "page",
        }
    }

    /// What it counts beyond [`Model::stats`].
    #[must_use]
    pub fn own_stats(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Zms(_) => Vec::new(),
            Self::Zns(zns) => zns.stats().own(),
            Self::Conv(conv) => conv.stats().own(),
            Self::Simple(simple) => vec![("pieces", simple.stats().pieces)],
        }
    }

    /// Mean erases of a superblock in pSLC and in native pools, the most worn pool of each kind,
    /// rounded down; in constant time.
    #[must_use]
    pub fn mean_erases(&self) -> MeanErases {
        let mut mean = MeanErases::default();
        match self {
            Self::Zms(zms) => {
                for (pool, erases, superblocks) in zms.pool_erases() {
                    let worn = match pool {
                        Pools::Native => &mut mean.native,
                        Pools::Meta | Pools::Slc => &mut mean.slc,
                    };
                    *worn = (*worn).max(erases / u64::from(superblocks.max(1)));
                }
            }
            Self::Zns(zns) => mean.native = zns.mean_erases(),
            Self::Conv(conv) => mean.native = conv.mean_erases(),
            Self::Simple(_) => {}
        }
        mean
    }

    /// Makes a zone read-only, or offline.
    ///
    /// # Errors
    /// There is no such zone.
    pub fn inject_zone(&mut self, id: ZoneId, offline: bool) -> Result<(), Error> {
        match self {
            Self::Zms(zms) => zms.inject_zone(id, offline),
            Self::Zns(zns) => zns.inject_zone(id, offline),
            Self::Conv(_) | Self::Simple(_) => Err(Error::Unsupported),
        }
    }

    /// Is an error if the model's books are inconsistent.
    pub fn check_invariants(&self) -> Result<(), state::Error> {
        match self {
            Self::Zms(zms) => zms.check_invariants(),
            Self::Zns(zns) => zns.check_invariants(),
            Self::Conv(conv) => conv.check_invariants(),
            Self::Simple(_) => Ok(()),
        }
    }
}

/// Times to do something to all flash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole {
    /// Each block is erased.
    pub erase: Nanos,
    /// Each one-shot page is programmed.
    pub program: Nanos,
    /// Each flash page is sensed.
    pub read: Nanos,
}

impl Whole {
    /// Of so many blocks, and one-shot pages, of each plane.
    fn of(chips: &nand::Chips, blocks: u64, one_shots: u64) -> Self {
        let pages = chips.one_shot.get() / chips.flash_page.get().max(1);
        Self {
            erase: chips.erase.times(blocks),
            program: chips.program.times(one_shots),
            read: longest(&chips.read_page).times(one_shots.saturating_mul(pages)),
        }
    }
}

fn longest(times: &[Nanos]) -> Nanos {
    times.iter().copied().max().unwrap_or_default()
}

/// The same of a page-mapped namespace.
fn paged(paged: &conv::Paged, chips: &nand::Chips) -> Whole {
    let bytes = u128::from(paged.size.get()) * u128::from(100 + paged.over_provisioning) / 100;
    let stripe = u128::from(chips.one_shot.get()) * u128::from(chips.planes());
    let one_shots = u64::try_from(bytes.div_ceil(stripe.max(1))).unwrap_or(u64::MAX);
    Whole::of(chips, paged.blocks_per_plane.into(), one_shots)
}

/// A model, boxed, or what is wrong with its configuration. The rules of `plan` leave nothing.
fn made<M, E: core::fmt::Display>(
    model: Result<M, E>,
    variant: fn(Box<M>) -> Model,
) -> Result<Model, ConfigError> {
    match model {
        Ok(model) => Ok(variant(Box::new(model))),
        Err(error) => Err(ConfigError::Conflict {
            name: "preset",
            value: "as set".into(),
            rule: error.to_string(),
        }),
    }
}

/// Mean erases of a superblock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanErases {
    /// Of blocks used with one bit per cell.
    pub slc: u64,
    /// Of blocks used with all their bits.
    pub native: u64,
}

/// NVMe status code type and code of a failed command, as completions carry them.
#[must_use]
pub const fn status_code(error: Error) -> u16 {
    nvme::status_of(error).wire()
}

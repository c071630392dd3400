// SPDX-License-Identifier: GPL-2.0-or-later
//! Faults on demand: rules that make commands fail, take longer, or find their zone failed.
//!
//! ```text
//!   read-error,ns=2,lba=0+1024,probability=1/100,seed=7,count=3
//!   kind       which commands  how often each    draws  how often in all
//! ```
//! A rule looks at each command that reads or writes, and at Flush where that makes sense; if the
//! command touches its range, it draws. What rules do is a function of the commands and the rules'
//! seeds alone: the same run fails in the same places.
//!
//! - `read-error`: Read, Compare, Verify and the source of Copy end with Unrecovered Read Error,
//!   after the time that the read takes.
//! - `write-error`: Write, Zone Append, Write Zeroes, Write Uncorrectable and the destination of Copy end with Write
//!   Fault, at once; nothing is written and no write pointer moves.
//! - `latency`: the command completes so much later, also with `timing=off`.
//! - `zone-read-only`, `zone-offline`: the first zone that the command touches fails before the
//!   command is executed, and the guest is told.
//! - `hang`: the command is not executed and never completes, whatever the guest does short of deleting its queue or
//!   resetting the controller.
//! - `fatal`: nor does this one, and the controller stops (CSTS.CFS) until it is reset. With `op=enable` it does so
//!   whenever it is enabled, so that resets fail, too.
//! - `flush=ignored`: the drive lies: Flush is answered at once, and FUA has no effect, so that nothing is more durable by it.
//! - `sanitize-error`: looks at no command; a sanitize operation that ends has failed.
//! - `power-cut`: power goes before the command is executed; once, unless `count` says otherwise.

use crate::error::ConfigError;
use command::Command;
use core::fmt;
use core::ops::Range;
use ftl::Random;
use nvme::Failure;
use state::{Decoder, Encoder, State};
use units::{Bytes, Nanos, Sector, ZoneId, SECTOR_BYTES};

/// Most rules at a time: each of them looks at each command.
pub const MAX_RULES: usize = 64;
/// Longest latency spike: an hour.
const MAX_DELAY: u64 = 3_600_000_000_000;
/// Largest denominator of a probability.
const MAX_ODDS: u64 = 1 << 32;

/// Why power cannot be cut.
pub const NO_CUTS: &str = "power can only be cut with power-cuts=shutdown, reset or dead";

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ReadError,
    WriteError,
    Latency(Nanos),
    ZoneReadOnly,
    ZoneOffline,
    Hang,
    Fatal,
    PowerCut,
    FlushIgnored,
    SanitizeError,
}

impl Kind {
    /// Whether a rule may be about this operation by `op=`.
    fn allows(self, op: Op) -> bool {
        match self {
            Self::ReadError | Self::WriteError | Self::SanitizeError => false,
            Self::ZoneReadOnly | Self::ZoneOffline => !matches!(op, Op::Flush | Op::Enable),
            Self::Latency(_) | Self::Hang | Self::PowerCut => op != Op::Enable,
            Self::FlushIgnored => matches!(op, Op::Any | Op::Flush | Op::Write),
            Self::Fatal => true,
        }
    }
}

/// Commands that a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Any,
    Read,
    Write,
    Flush,
    /// No command: the controller is enabled.
    Enable,
    /// No command: a sanitize operation ends.
    Sanitize,
}

/// Where a command must be for a rule to look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Everywhere,
    Lbas(Range<u64>),
    Zones(Range<u64>),
}

/// One rule, with what has become of it.
#[derive(Clone, Debug)]
struct Rule {
    kind: Kind,
    op: Op,
    nsid: Option<u32>,
    place: Place,
    /// The chance of each draw.
    odds: (u64, u64),
    seed: u64,
    /// State of the generator.
    random: Random,
    /// How often it lets go by what it would act on, and how often it still will.
    skip: u64,
    to_skip: u64,
    /// How often it may act, and how often it has.
    count: Option<u64>,
    hits: u64,
}

/// The namespace that a command is for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Site {
    pub nsid: u32,
    /// Base-2 logarithm of its LBA size.
    pub lba_shift: u8,
    /// From zone to zone, if it has zones.
    pub zone_size: Option<Bytes>,
}

impl Site {
    /// The sectors of some LBAs, or of some zones.
    fn sectors(self, place: &Place) -> Option<Range<u64>> {
        let (range, each) = match place {
            Place::Everywhere => return None,
            Place::Lbas(range) => (range, (1 << self.lba_shift) / SECTOR_BYTES),
            Place::Zones(range) => (range, self.zone_size?.get() / SECTOR_BYTES),
        };
        Some(range.start.saturating_mul(each)..range.end.saturating_mul(each))
    }

    /// The zone that holds a sector.
    fn zone(self, sector: u64) -> Option<ZoneId> {
        let zone = sector.checked_div(self.zone_size?.get() / SECTOR_BYTES)?;
        u32::try_from(zone).ok().map(ZoneId::new)
    }
}

/// A command as the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    site: Site,
    op: Op,
    /// Its sectors; `None` for Flush.
    sectors: Option<Range<u64>>,
    /// Whether it asks for something to be durable.
    is_durable: bool,
}

/// What the rules say of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub delay: Nanos,
    /// The first sector that cannot be read.
    pub read_error: Option<Sector>,
    /// The first sector that cannot be written.
    pub write_error: Option<Sector>,
    /// The zone that fails; whether it goes offline.
    pub zone: Option<(ZoneId, bool)>,
    /// How the drive fails instead of answering.
    pub failure: Option<Failure>,
    /// Whether it does not care that something is to be durable.
    pub forgets: bool,
    /// The sanitize operation fails.
    pub sanitize_error: bool,
}

/// The rules of a drive.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    rules: Vec<Rule>,
}

/// Rules as they can be set again, with what has become of them.
impl State for Faults {
    fn encode(&self, out: &mut Encoder) {
        let Self { rules } = self;
        rules.len().encode(out);
        for rule in rules {
            rule.to_string().encode(out);
            rule.random.encode(out);
            rule.to_skip.encode(out);
            rule.hits.encode(out);
        }
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), state::Error> {
        self.rules.clear();
        let mut text = String::new();
        for _ in 0..from.take_below(MAX_RULES as u64 + 1)? {
            text.decode(from)?;
            let mut rule = Rule::parse(&text).map_err(|e| state::Error::new(e.to_string()))?;
            rule.random.decode(from)?;
            rule.to_skip.decode(from)?;
            rule.hits.decode(from)?;
            self.rules.push(rule);
        }
        Ok(())
    }
}

impl Faults {
    /// Adds rules, joined by `;`. `clear` instead of a rule drops all there are.
    ///
    /// # Errors
    /// The first part that is no rule; then nothing has changed.
    pub fn set(&mut self, text: &str) -> Result<(), ConfigError> {
        let mut rules = self.rules.clone();
        for part in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
            if part == "clear" {
                rules.clear();
                continue;
            }
            if rules.len() >= MAX_RULES {
                let rule = format!("there are {MAX_RULES} rules already; drop them with 'clear'");
                return Err(error(part, rule));
            }
            rules.push(Rule::parse(part)?);
        }
        self.rules = rules;
        Ok(())
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Checks the rules against the drive's namespaces, by whether each is zoned, and whether its power can be cut.
    ///
    /// # Errors
    /// The first rule about a namespace that does not exist, or about zones of one that has none, or about what cannot be.
    pub(crate) fn check(&self, zoned: &[bool], has_cuts: bool) -> Result<(), ConfigError> {
        for rule in &self.rules {
            if rule.kind == Kind::PowerCut && !has_cuts {
                return Err(error(&rule.to_string(), NO_CUTS.to_owned()));
            }
            let place = rule.nsid.and_then(|n| usize::try_from(n).ok());
            if let Some(nsid) = place {
                let Some(zoned) = nsid.checked_sub(1).and_then(|at| zoned.get(at)) else {
                    let bound = format!("must be 1 to {}", zoned.len());
                    return Err(error(&format!("ns={nsid}"), bound));
                };
                if rule.is_for_zones() && !zoned {
                    let bound = "has no zones".to_owned();
                    return Err(error(&format!("ns={nsid}"), bound));
                }
            } else if rule.is_for_zones() && !zoned.contains(&true) {
                return Err(error(
                    &rule.to_string(),
                    "the drive has no zones".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// What the rules say of a command. Each rule that looks at it draws, whatever the others do.
    pub(crate) fn judge(&mut self, access: &Access) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in &mut self.rules {
            let Some(first) = rule.strike(access) else {
                continue;
            };
            let at = Sector::new(first);
            let zone = access.site.zone(first);
            match rule.kind {
                Kind::ReadError => _ = verdict.read_error.get_or_insert(at),
                Kind::WriteError => _ = verdict.write_error.get_or_insert(at),
                Kind::Latency(delay) => verdict.delay += delay,
                Kind::ZoneReadOnly => verdict.zone = verdict.zone.or(zone.map(|z| (z, false))),
                Kind::ZoneOffline => verdict.zone = verdict.zone.or(zone.map(|z| (z, true))),
                Kind::Hang => _ = verdict.failure.get_or_insert(Failure::Lost),
                Kind::Fatal if verdict.failure == Some(Failure::PowerCut) => {}
                Kind::Fatal => verdict.failure = Some(Failure::Fatal),
                Kind::PowerCut => verdict.failure = Some(Failure::PowerCut),
                Kind::FlushIgnored => verdict.forgets = true,
                Kind::SanitizeError => verdict.sanitize_error = true,
            }
        }
        verdict
    }
}

impl fmt::Display for Faults {
    /// The rules as they can be set again, each with how often it has acted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, rule) in self.rules.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{rule} hits={}", rule.hits)?;
        }
        Ok(())
    }
}

impl Access {
    /// The controller is enabled.
    pub const ENABLE: Self = Self {
        site: Site {
            nsid: 0,
            lba_shift: 9,
            zone_size: None,
        },
        op: Op::Enable,
        sectors: None,
        is_durable: false,
    };

    /// A sanitize operation ends.
    pub const SANITIZE: Self = Self {
        op: Op::Sanitize,
        ..Self::ENABLE
    };

    /// The access that a command is, if rules look at it. `append` is where an append to the zone that starts at a sector
    /// would go.
    pub fn of(
        command: &Command,
        site: Site,
        append: impl FnOnce(Sector) -> Option<Sector>,
    ) -> Option<Self> {
        let range = |at: Sector, sectors| Some(at.get()..at.get().saturating_add(sectors));
        let (op, sectors) = match *command {
            Command::Read { at, sectors, .. } => (Op::Read, range(at, sectors)),
            Command::Write { at, sectors, .. } | Command::WriteZeroes { at, sectors, .. } => {
                (Op::Write, range(at, sectors))
            }
            Command::Append { zone, sectors, .. } => (Op::Write, range(append(zone)?, sectors)),
            Command::Flush => (Op::Flush, None),
            Command::Deallocate { .. } | Command::Zone { .. } | Command::CommitZrwa { .. } => {
                return None
            }
        };
        Some(Self {
            site,
            op,
            sectors,
            is_durable: command.is_durable(),
        })
    }
}

impl Rule {
    /// Whether the rule acts on the command; gives the first sector of it that is in its range.
    fn strike(&mut self, access: &Access) -> Option<u64> {
        if self.nsid.is_some_and(|n| n != access.site.nsid) || self.count == Some(self.hits) {
            return None;
        }
        let is_any = self.op == Op::Any && !matches!(access.op, Op::Enable | Op::Sanitize);
        if !is_any && self.op != access.op {
            return None;
        }
        if self.kind == Kind::FlushIgnored && !access.is_durable {
            return None;
        }
        let first = match (&self.place, &access.sectors) {
            (Place::Everywhere, None) => 0,
            (Place::Everywhere, Some(sectors)) => sectors.start,
            (_, None) => return None,
            (place, Some(sectors)) => meet(&access.site.sectors(place)?, sectors)?,
        };
        let (chance, of) = self.odds;
        if self.random.draw() % of >= chance {
            return None;
        }
        if self.to_skip > 0 {
            self.to_skip -= 1;
            return None;
        }
        self.hits += 1;
        Some(first)
    }

    fn is_for_zones(&self) -> bool {
        matches!(self.place, Place::Zones(_))
            || matches!(self.kind, Kind::ZoneReadOnly | Kind::ZoneOffline)
    }

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let (kind, op) = match name {
            "read-error" => (Kind::ReadError, Op::Read),
            "write-error" => (Kind::WriteError, Op::Write),
            "latency" => (Kind::Latency(Nanos::ZERO), Op::Any),
            "zone-read-only" => (Kind::ZoneReadOnly, Op::Any),
            "zone-offline" => (Kind::ZoneOffline, Op::Any),
            "hang" => (Kind::Hang, Op::Any),
            "fatal" => (Kind::Fatal, Op::Any),
            "power-cut" => (Kind::PowerCut, Op::Any),
            "flush=ignored" => (Kind::FlushIgnored, Op::Any),
            "sanitize-error" => (Kind::SanitizeError, Op::Sanitize),
            _ => {
                let kinds = "must begin with read-error, write-error, latency, zone-read-only, \
                     zone-offline, hang, fatal, power-cut, flush=ignored or sanitize-error";
                return Err(error(text, kinds.to_owned()));
            }
        };
        let mut rule = Self {
            kind,
            op,
            nsid: None,
            place: Place::Everywhere,
            odds: (1, 1),
            seed: 1,
            random: Random::new(1),
            skip: 0,
            to_skip: 0,
            // A guest that comes up again should not be cut again.
            count: (kind == Kind::PowerCut).then_some(1),
            hits: 0,
        };
        for part in parts {
            rule.set(part).map_err(|bound| error(part, bound))?;
        }
        rule.random = Random::new(rule.seed);
        rule.to_skip = rule.skip;
        if rule.kind == Kind::Latency(Nanos::ZERO) {
            return Err(error(text, "needs delay-ns=, more than 0".to_owned()));
        }
        if rule.op == Op::Flush && rule.place != Place::Everywhere {
            return Err(error(text, "a flush has neither lba= nor zone=".to_owned()));
        }
        if rule.op == Op::Sanitize && (rule.place != Place::Everywhere || rule.nsid.is_some()) {
            let bound = "a sanitize operation has neither ns=, lba= nor zone=";
            return Err(error(text, bound.to_owned()));
        }
        if rule.op == Op::Enable && (rule.place != Place::Everywhere || rule.nsid.is_some()) {
            let bound = "enabling has neither ns=, lba= nor zone=";
            return Err(error(text, bound.to_owned()));
        }
        Ok(rule)
    }

    /// Sets one `key=value`; fails with what is right.
    fn set(&mut self, part: &str) -> Result<(), String> {
        const KEYS: &str =
            "must be ns=, lba=, zone=, op=, delay-ns=, probability=, seed=, skip= or count=";
        let (key, value) = part.split_once('=').ok_or(KEYS)?;
        match key {
            "ns" => {
                let nsid = number(value, 1, 255)?;
                self.nsid = u32::try_from(nsid).ok();
            }
            "lba" | "zone" if self.place != Place::Everywhere => {
                return Err("a rule has one range, lba= or zone=".to_owned());
            }
            "lba" => self.place = Place::Lbas(range(value, u64::MAX)?),
            "zone" => self.place = Place::Zones(range(value, u64::from(u32::MAX))?),
            "op" if !self.kind.allows(Op::Any) => {
                return Err("is not for read-error and write-error".to_owned());
            }
            "op" => {
                const OPS: &str =
                    "must be any, read, write, flush (for latency, hang, fatal, power-cut and flush=ignored) or \
                     enable (for fatal)";
                let op = match value {
                    "any" => Op::Any,
                    "read" => Op::Read,
                    "write" => Op::Write,
                    "flush" => Op::Flush,
                    "enable" => Op::Enable,
                    _ => return Err(OPS.to_owned()),
                };
                if !self.kind.allows(op) {
                    return Err(OPS.to_owned());
                }
                self.op = op;
            }
            "delay-ns" if matches!(self.kind, Kind::Latency(_)) => {
                self.kind = Kind::Latency(Nanos::new(number(value, 1, MAX_DELAY)?));
            }
            "delay-ns" => return Err("is for latency".to_owned()),
            "probability" => self.odds = odds(value)?,
            "seed" => self.seed = number(value, 0, u64::MAX)?,
            "skip" => self.skip = number(value, 0, u64::MAX)?,
            "count" => self.count = Some(number(value, 1, u64::MAX)?),
            _ => return Err(KEYS.to_owned()),
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::ReadError => "read-error",
            Kind::WriteError => "write-error",
            Kind::Latency(_) => "latency",
            Kind::ZoneReadOnly => "zone-read-only",
            Kind::ZoneOffline => "zone-offline",
            Kind::Hang => "hang",
            Kind::Fatal => "fatal",
            Kind::PowerCut => "power-cut",
            Kind::FlushIgnored => "flush=ignored",
            Kind::SanitizeError => "sanitize-error",
        })?;
        if let Kind::Latency(delay) = self.kind {
            write!(f, ",delay-ns={}", delay.get())?;
        }
        match (self.kind, self.op) {
            (Kind::ReadError | Kind::WriteError, _) | (_, Op::Any | Op::Sanitize) => {}
            (_, Op::Read) => f.write_str(",op=read")?,
            (_, Op::Write) => f.write_str(",op=write")?,
            (_, Op::Flush) => f.write_str(",op=flush")?,
            (_, Op::Enable) => f.write_str(",op=enable")?,
        }
        if let Some(nsid) = self.nsid {
            write!(f, ",ns={nsid}")?;
        }
        let (key, range) = match &self.place {
            Place::Everywhere => ("", &(0..0)),
            Place::Lbas(range) => (",lba=", range),
            Place::Zones(range) => (",zone=", range),
        };
        if !key.is_empty() {
            write!(f, "{key}{}+{}", range.start, range.end - range.start)?;
        }
        if self.odds.0 < self.odds.1 {
            let (chance, of) = self.odds;
            write!(f, ",probability={chance}/{of},seed={}", self.seed)?;
        }
        if self.skip > 0 {
            write!(f, ",skip={}", self.skip)?;
        }
        match self.count {
            Some(count) => write!(f, ",count={count}"),
            None => Ok(()),
        }
    }
}

/// The first number that two ranges have in common.
fn meet(a: &Range<u64>, b: &Range<u64>) -> Option<u64> {
    let first = a.start.max(b.start);
    (first < a.end && first < b.end).then_some(first)
}

fn error(value: &str, rule: String) -> ConfigError {
    ConfigError::Conflict {
        name: "fault",
        value: value.to_owned(),
        rule,
    }
}

fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|n| (min..=max).contains(n));
    number
        .filter(|_| all_digits)
        .ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

/// `first` or `first+count`.
fn range(text: &str, max: u64) -> Result<Range<u64>, String> {
    let (first, count) = text.split_once('+').unwrap_or((text, "1"));
    let bound = |_| format!("must be FIRST or FIRST+COUNT, ending at {max} at most");
    let first = number(first, 0, max).map_err(bound)?;
    let count = number(count, 1, max).map_err(bound)?;
    let end = first.checked_add(count).filter(|end| *end <= max);
    Ok(first..end.ok_or(()).map_err(|()| bound(String::new()))?)
}

/// `A/B`, or 1.
fn odds(text: &str) -> Result<(u64, u64), String> {
    let bound = || format!("must be 1, or A/B with 1 <= A <= B <= {MAX_ODDS}");
    let (chance, of) = text.split_once('/').unwrap_or((text, "1"));
    let of = number(of, 1, MAX_ODDS).map_err(|_| bound())?;
    let chance = number(chance, 1, of).map_err(|_| bound())?;
    Ok((chance, of))
}

#[cfg(test)]
mod tests;

// SPDX-License-Identifier: GPL-2.0-or-later
//! Features: current, default and saved values (Base, section 5.27).
//!
//! Most features are one dword; those are kept here. Saved values survive a controller reset, not
//! the device itself. What a feature does is up to whoever reads it.

use nvme_spec::{
    Arbitration, AsyncEventConfig, ErrorRecovery, FeatureId, InterruptCoalescing, Status,
};
use state::state;
use units::Instant;

use crate::reject::{Reject, CDW11};

/// Composite temperature above which SMART warns (WCTEMP): 70 degrees Celsius.
pub(crate) const WARNING_KELVIN: u16 = 343;
/// Temperature that must not be exceeded (CCTEMP): 85 degrees Celsius.
pub(crate) const CRITICAL_KELVIN: u16 = 358;
/// Arbitration burst the controller likes best (RAB): 2^6 commands.
pub(crate) const ARBITRATION_BURST: u8 = 6;

/// OAES: zone descriptor changed notices.
pub(crate) const OAES: u32 = 1 << 27;
/// Asynchronous Event Configuration: the notices that Identify offers, and the critical warnings there are (spare,
/// temperature, reliability, read-only). Other bits are dropped: a host that reads the feature back sees what it gets.
const EVENTS: u32 = OAES | 0xf;

/// Get Features, Select = 3: what the feature can do (Base).
pub(crate) const SAVEABLE: u32 = 1 << 0;
pub(crate) const PER_NAMESPACE: u32 = 1 << 1;
const CHANGEABLE: u32 = 1 << 2;

/// One dword of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    current: u32,
    default: u32,
    saved: Option<u32>,
}

state!(Value { current, saved; default });

impl Value {
    const fn new(default: u32) -> Self {
        Self {
            current: default,
            default,
            saved: None,
        }
    }

    const fn saved(&self) -> u32 {
        match self.saved {
            Some(saved) => saved,
            None => self.default,
        }
    }
}

/// Which of a feature's values is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Current,
    Default,
    Saved,
}

/// A feature, by where it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Here, a dword.
    Dword(Dword),
    /// By whoever it concerns.
    Other(Other),
}

/// The features that are one dword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dword {
    Arbitration,
    PowerManagement,
    TemperatureThreshold,
    /// Of each namespace.
    ErrorRecovery,
    VolatileWriteCache,
    InterruptCoalescing,
    WriteAtomicity,
    AsyncEventConfig,
}

/// The features that are not, of which one can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    NumberOfQueues,
    InterruptVectorConfig,
    Timestamp,
    HostBehavior,
    CommandSetProfile,
    HostMemoryBuffer,
    /// It can be saved, too.
    PowerTransitions,
}

impl Feature {
    pub(crate) const fn of(id: FeatureId) -> Self {
        match id {
            FeatureId::Arbitration => Self::Dword(Dword::Arbitration),
            FeatureId::PowerManagement => Self::Dword(Dword::PowerManagement),
            FeatureId::TemperatureThreshold => Self::Dword(Dword::TemperatureThreshold),
            FeatureId::ErrorRecovery => Self::Dword(Dword::ErrorRecovery),
            FeatureId::VolatileWriteCache => Self::Dword(Dword::VolatileWriteCache),
            FeatureId::InterruptCoalescing => Self::Dword(Dword::InterruptCoalescing),
            FeatureId::WriteAtomicity => Self::Dword(Dword::WriteAtomicity),
            FeatureId::AsyncEventConfig => Self::Dword(Dword::AsyncEventConfig),
            FeatureId::PowerTransitions => Self::Other(Other::PowerTransitions),
            FeatureId::HostMemoryBuffer => Self::Other(Other::HostMemoryBuffer),
            FeatureId::NumberOfQueues => Self::Other(Other::NumberOfQueues),
            FeatureId::InterruptVectorConfig => Self::Other(Other::InterruptVectorConfig),
            FeatureId::Timestamp => Self::Other(Other::Timestamp),
            FeatureId::HostBehavior => Self::Other(Other::HostBehavior),
            FeatureId::CommandSetProfile => Self::Other(Other::CommandSetProfile),
        }
    }

    /// What it can do (Select = 3).
    pub(crate) const fn capabilities(self) -> u32 {
        match self {
            Self::Dword(Dword::ErrorRecovery) => SAVEABLE | PER_NAMESPACE | CHANGEABLE,
            Self::Dword(_) | Self::Other(Other::PowerTransitions) => SAVEABLE | CHANGEABLE,
            Self::Other(_) => CHANGEABLE,
        }
    }
}

/// The features that are one dword, by their meaning, and two small ones.
#[derive(Debug)]
pub(crate) struct Features {
    arbitration: Value,
    power: Value,
    over_temperature: Value,
    under_temperature: Value,
    write_cache: Value,
    coalescing: Value,
    atomicity: Value,
    events: Value,
    /// Per namespace.
    error_recovery: Vec<Value>,
    /// Host Behavior Support: ACRE, which asks nothing of the controller. There is neither telemetry for ETDAS nor
    /// an extended LBA format for LBAFEE, so both stay 0.
    pub(crate) retries_as_told: bool,
    pub(crate) timestamp: Timestamp,
}

/// Timestamp (Base, section 5.27.1.11).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timestamp {
    /// Milliseconds the guest set, and when it did so.
    set: Option<(u64, Instant)>,
}

state!(Timestamp { set });

impl Timestamp {
    /// The host sets the clock.
    pub(crate) fn set(&mut self, milliseconds: u64, now: Instant) {
        self.set = Some((milliseconds & 0xffff_ffff_ffff, now));
    }

    /// What the host's clock, as far as it has set this one, said at instant 0 of ours, milliseconds.
    pub(crate) fn at_start(&self) -> Option<u64> {
        let (base, at) = self.set?;
        base.checked_sub(at.as_nanos() / 1_000_000)
    }

    /// The 8 bytes of the data structure: 48 bits of milliseconds, then the origin.
    pub(crate) fn encode(&self, now: Instant) -> u64 {
        let (base, since, origin) = match self.set {
            Some((base, at)) => (base, now.since(at), 1),
            None => (0, now.since(Instant::ZERO), 0),
        };
        let milliseconds = base.wrapping_add(since.get() / 1_000_000) & 0xffff_ffff_ffff;
        milliseconds | origin << 49
    }
}

state!(Features {
    arbitration,
    power,
    over_temperature,
    under_temperature,
    write_cache,
    coalescing,
    atomicity,
    events,
    error_recovery[fixed],
    retries_as_told,
    timestamp
});

impl Features {
    pub(crate) fn new(namespaces: usize) -> Self {
        Self {
            arbitration: Value::new(u32::from(ARBITRATION_BURST)),
            power: Value::new(0),
            over_temperature: Value::new(u32::from(WARNING_KELVIN)),
            under_temperature: Value::new(0),
            write_cache: Value::new(1),
            coalescing: Value::new(0),
            atomicity: Value::new(0),
            events: Value::new(0),
            error_recovery: vec![Value::new(0); namespaces],
            retries_as_told: false,
            timestamp: Timestamp::default(),
        }
    }

    /// Controller reset: saved values, or else the defaults, come back.
    pub(crate) fn clear(&mut self) {
        for value in [
            &mut self.arbitration,
            &mut self.power,
            &mut self.over_temperature,
            &mut self.under_temperature,
            &mut self.write_cache,
            &mut self.coalescing,
            &mut self.atomicity,
            &mut self.events,
        ]
        .into_iter()
        .chain(&mut self.error_recovery)
        {
            value.current = value.saved();
        }
        self.retries_as_told = false;
    }

    pub(crate) fn arbitration(&self) -> Arbitration {
        self.arbitration.current.into()
    }

    pub(crate) fn coalescing(&self) -> InterruptCoalescing {
        self.coalescing.current.into()
    }

    pub(crate) fn events(&self) -> AsyncEventConfig {
        self.events.current.into()
    }

    /// The power state after a reset.
    pub(crate) fn initial_power_state(&self) -> usize {
        (self.power.saved() & 0x1f) as usize
    }

    /// WCE. Of no consequence where there is no write cache.
    pub(crate) fn write_cache_enabled(&self) -> bool {
        self.write_cache.current & 1 != 0
    }

    /// Over and under temperature thresholds of the composite temperature in kelvins.
    pub(crate) fn temperature_limits(&self) -> (u16, u16) {
        (
            self.over_temperature.current as u16,
            self.under_temperature.current as u16,
        )
    }

    /// DULBE of a namespace.
    pub(crate) fn unwritten_error(&self, ns: usize) -> bool {
        self.error_recovery
            .get(ns)
            .is_some_and(|v| ErrorRecovery::from(v.current).unwritten_error())
    }

    /// Where a feature is kept; `dword11` selects the temperature threshold. `None` for that of a sensor there is not.
    fn value(
        &mut self,
        feature: Dword,
        dword11: u32,
        ns: Option<usize>,
    ) -> Result<Option<&mut Value>, Reject> {
        Ok(Some(match feature {
            Dword::Arbitration => &mut self.arbitration,
            Dword::PowerManagement => &mut self.power,
            Dword::TemperatureThreshold => match threshold_kind(dword11)? {
                Threshold::Over => &mut self.over_temperature,
                Threshold::Under => &mut self.under_temperature,
                Threshold::Absent => return Ok(None),
            },
            Dword::ErrorRecovery => ns
                .and_then(|ns| self.error_recovery.get_mut(ns))
                .ok_or(Reject::at(Status::InvalidNamespace, 4, 0))?,
            Dword::VolatileWriteCache => &mut self.write_cache,
            Dword::InterruptCoalescing => &mut self.coalescing,
            Dword::WriteAtomicity => &mut self.atomicity,
            Dword::AsyncEventConfig => &mut self.events,
        }))
    }

    /// The value of a feature.
    pub(crate) fn get(
        &mut self,
        feature: Dword,
        dword11: u32,
        ns: Option<usize>,
        which: Which,
    ) -> Result<u32, Reject> {
        let value = self.value(feature, dword11, ns)?;
        Ok(value.map_or(0, |value| match which {
            Which::Current => value.current,
            Which::Default => value.default,
            Which::Saved => value.saved(),
        }))
    }

    /// Sets a feature, for one namespace or (`None`) all.
    pub(crate) fn set(
        &mut self,
        feature: Dword,
        dword11: u32,
        ns: Option<usize>,
        save: bool,
    ) -> Result<(), Reject> {
        let new = match feature {
            Dword::Arbitration => dword11,
            Dword::PowerManagement => dword11 & 0xff,
            Dword::TemperatureThreshold | Dword::InterruptCoalescing => dword11 & 0xffff,
            Dword::ErrorRecovery => dword11 & 0x1_ffff,
            Dword::VolatileWriteCache | Dword::WriteAtomicity => dword11 & 1,
            Dword::AsyncEventConfig => dword11 & EVENTS,
        };
        if feature == Dword::ErrorRecovery && ns.is_none() {
            for value in &mut self.error_recovery {
                store(value, new, save);
            }
            return Ok(());
        }
        let value = self.value(feature, dword11, ns)?;
        store(value.ok_or(Reject::invalid(CDW11 + 2, 0))?, new, save);
        Ok(())
    }
}

fn store(value: &mut Value, new: u32, save: bool) {
    value.current = new;
    if save {
        value.saved = Some(new);
    }
}

enum Threshold {
    Over,
    Under,
    /// A sensor the drive does not have.
    Absent,
}

/// The threshold dword 11 selects (Base).
fn threshold_kind(dword11: u32) -> Result<Threshold, Reject> {
    let threshold = nvme_spec::TemperatureThreshold::from(dword11);
    match (threshold.sensor().value(), threshold.kind().value()) {
        (0 | 15, 0) => Ok(Threshold::Over),
        (0 | 15, 1) => Ok(Threshold::Under),
        (1..=8, 0 | 1) => Ok(Threshold::Absent),
        (9..=14, _) => Err(Reject::invalid(CDW11 + 2, 0)),
        _ => Err(Reject::invalid(CDW11 + 2, 4)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_values_come_back_after_a_reset_and_others_do_not() {
        let mut f = Features::new(2);
        let id = Dword::VolatileWriteCache;
        f.set(id, 0, None, false).unwrap();
        assert!(!f.write_cache_enabled());
        f.clear();
        assert!(f.write_cache_enabled());
        f.set(id, 0, None, true).unwrap();
        f.set(id, 1, None, false).unwrap();
        assert_eq!(f.get(id, 0, None, Which::Current), Ok(1));
        assert_eq!(f.get(id, 0, None, Which::Saved), Ok(0));
        assert_eq!(f.get(id, 0, None, Which::Default), Ok(1));
        f.clear();
        assert!(!f.write_cache_enabled());
    }

    #[test]
    fn error_recovery_is_per_namespace() {
        let mut f = Features::new(2);
        f.set(Dword::ErrorRecovery, 1 << 16, Some(1), false)
            .unwrap();
        assert!(!f.unwritten_error(0) && f.unwritten_error(1) && !f.unwritten_error(2));
        f.set(Dword::ErrorRecovery, 1 << 16, None, false).unwrap();
        assert!(f.unwritten_error(0));
    }

    #[test]
    fn thresholds_of_absent_sensors_are_refused() {
        let mut f = Features::new(1);
        let id = Dword::TemperatureThreshold;
        f.set(id, 0x0150, None, false).unwrap();
        f.set(id, 0x0010_0100, None, false).unwrap();
        assert_eq!(f.temperature_limits(), (0x150, 0x100));
        assert_eq!(
            f.set(id, 0x0001_0150, None, false),
            Err(Reject::invalid(46, 0))
        );
        assert_eq!(
            f.set(id, 0x0020_0150, None, false),
            Err(Reject::invalid(46, 4))
        );
        assert_eq!(f.get(id, 0x0001_0000, None, Which::Current), Ok(0));
    }

    #[test]
    fn the_clock_runs_from_where_the_host_set_it() {
        let mut clock = Timestamp::default();
        let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
        assert_eq!((clock.encode(at(5)), clock.at_start()), (5, None));
        clock.set(1_000, at(10));
        assert_eq!(clock.encode(at(12)), 1_002 | 1 << 49);
        assert_eq!(clock.at_start(), Some(990));
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! What the drive's owner chooses about the controller, and the bounds of each choice.

use core::fmt;
use nvme_spec::{AdminOpcode, FeatureId};

use crate::power_states::{PowerState, PowerStates};

/// Most I/O queue pairs a controller offers. Linux asks for one per CPU; phones have eight.
pub const MAX_IO_QUEUES: u16 = 64;
/// Most entries of a queue (MQES is a 16-bit zero-based number).
pub const MAX_QUEUE_ENTRIES: u32 = 65_536;
/// Largest MDTS: 2^11 pages of 4 KiB are 8 MiB, above which no consumer drive goes; the scatter
/// list held for a command is sized by it.
pub const MAX_MDTS: u8 = 11;

/// Choices that are fixed for the controller's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerConfig {
    /// PCI vendor identifier (VID).
    pub vendor_id: u16,
    /// PCI subsystem vendor identifier (SSVID).
    pub subsystem_vendor_id: u16,
    /// Serial number, 1 to 20 printable ASCII characters.
    pub serial: String,
    /// Model number, 1 to 40 printable ASCII characters.
    pub model: String,
    /// Firmware revision, 1 to 8 printable ASCII characters.
    pub firmware: String,
    /// I/O submission and completion queues each, 1 to [`MAX_IO_QUEUES`].
    pub io_queues: u16,
    /// Entries per queue at most (MQES + 1), 2 to [`MAX_QUEUE_ENTRIES`].
    pub queue_entries: u32,
    /// Maximum Data Transfer Size as a power of two of 4 KiB, 1 to [`MAX_MDTS`].
    pub mdts: u8,
    /// Zone Append Size Limit as a power of two of 4 KiB, 0 for the same as `mdts`.
    pub zasl: u8,
    /// Interrupt vectors, 1 to `io_queues + 1`.
    pub vectors: u16,
    /// Whether shadow doorbells are offered (OACS bit 8). Linux uses them as soon as they are, and after a
    /// controller reset before it has set them up again, which can leave commands without a ring.
    pub shadow_doorbells: bool,
    /// Whether completed writes may still be in volatile memory (VWC). A guest flushes only then.
    pub write_cache: bool,
    /// Whether the guest may have numbers noted (a command of ours).
    pub notes: bool,
    /// Whether the guest may cut the drive's power (a command of ours).
    pub cut_power: bool,
    /// The power states; fewer than two for one that is not told of.
    pub power_states: &'static [PowerState],
    /// Host Memory Buffer that is asked for (HMPRE), in 4 KiB; 0 for none.
    pub host_buffer: u32,
    /// What of it is needed at least (HMMIN), in 4 KiB.
    pub host_buffer_min: u32,
    /// Whether the controller goes to others by itself before a host has asked it to (APSTE by default).
    pub transitions: bool,
}

impl Default for ControllerConfig {
    fn default() -> Self {
        Self {
            // The device's PCI identity: QEMU's experimental identifiers are 1af4:10f0 to 10ff (QEMU: docs/specs/pci-ids).
            vendor_id: 0x1af4,
            subsystem_vendor_id: 0x1af4,
            serial: "conzone".into(),
            model: "ConZone NVMe".into(),
            firmware: "0.1".into(),
            io_queues: MAX_IO_QUEUES,
            queue_entries: 64,
            mdts: 6,
            zasl: 0,
            vectors: MAX_IO_QUEUES + 1,
            shadow_doorbells: true,
            write_cache: true,
            notes: false,
            cut_power: false,
            power_states: &[],
            host_buffer: 0,
            host_buffer_min: 0,
            transitions: false,
        }
    }
}

/// A choice outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The property.
    pub property: &'static str,
    /// The value it has.
    pub value: String,
    /// What it may be.
    pub bound: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={} must be {}", self.property, self.value, self.bound)
    }
}

impl std::error::Error for ConfigError {}

impl ControllerConfig {
    /// Whether the controller has this admin command.
    pub(crate) fn offers(&self, opcode: AdminOpcode) -> bool {
        match opcode {
            AdminOpcode::DoorbellBufferConfig => self.shadow_doorbells,
            AdminOpcode::Note => self.notes,
            AdminOpcode::CutPower => self.cut_power,
            _ => true,
        }
    }

    /// Whether the controller has this feature: without a volatile write cache there is none to switch off (Base,
    /// section 5.27.1.4), and without other power states no transition to them; nor is there
    /// Host Memory Buffer where none is asked for.
    pub(crate) fn has_feature(&self, feature: FeatureId) -> bool {
        match feature {
            FeatureId::VolatileWriteCache => self.write_cache,
            FeatureId::PowerTransitions => self.has_power_states(),
            FeatureId::HostMemoryBuffer => self.host_buffer > 0,
            _ => true,
        }
    }

    /// Whether there are power states to choose from.
    pub(crate) const fn has_power_states(&self) -> bool {
        self.power_states.len() > 1
    }

    /// Checks every choice against its bounds.
    ///
    /// # Errors
    /// The first choice that is outside them.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !PowerStates::are_good(self.power_states) {
            return Err(ConfigError {
                property: "power-states",
                value: format!("{} states", self.power_states.len()),
                bound: "in the order of falling power, at most 8, the last ones not operational"
                    .into(),
            });
        }
        let most = self.host_buffer;
        number("hmb-min", self.host_buffer_min, 0, most)?;
        text("serial", &self.serial, 20)?;
        text("model", &self.model, 40)?;
        text("firmware", &self.firmware, 8)?;
        number("num-queues", self.io_queues.into(), 1, MAX_IO_QUEUES.into())?;
        number("queue-entries", self.queue_entries, 2, MAX_QUEUE_ENTRIES)?;
        number("mdts", self.mdts.into(), 1, MAX_MDTS.into())?;
        number("zasl", self.zasl.into(), 0, self.mdts.into())?;
        number(
            "vectors",
            self.vectors.into(),
            1,
            u32::from(self.io_queues).saturating_add(1),
        )
    }
}

fn text(property: &'static str, value: &str, max: usize) -> Result<(), ConfigError> {
    let printable = value.bytes().all(|b| (0x20..0x7f).contains(&b));
    if (1..=max).contains(&value.len()) && printable {
        return Ok(());
    }
    Err(ConfigError {
        property,
        value: value.escape_default().to_string(),
        bound: format!("1 to {max} printable ASCII characters"),
    })
}

fn number(property: &'static str, value: u32, min: u32, max: u32) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        property,
        value: value.to_string(),
        bound: format!("from {min} to {max}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_checked_and_named() {
        assert_eq!(ControllerConfig::default().validate(), Ok(()));
        type Change = fn(&mut ControllerConfig);
        let bad: [(&str, Change); 9] = [
            ("serial", |c| c.serial = String::new()),
            ("serial", |c| c.serial = "é".into()),
            ("model", |c| c.model = "m".repeat(41)),
            ("firmware", |c| c.firmware = "123456789".into()),
            ("num-queues", |c| c.io_queues = 65),
            ("queue-entries", |c| c.queue_entries = 1),
            ("mdts", |c| c.mdts = 12),
            ("zasl", |c| c.zasl = 7),
            ("vectors", |c| c.vectors = 66),
        ];
        for (property, change) in bad {
            let mut config = ControllerConfig::default();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert_eq!(error.property, property);
            assert!(error.to_string().starts_with(property), "{error}");
        }
    }
}

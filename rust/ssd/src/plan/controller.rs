// SPDX-License-Identifier: GPL-2.0-or-later
//! The controller and the media: the same for all models.

use super::{Media, Planner, Worker};
use crate::error::ConfigError;
use crate::layout::Layout;
use crate::power_states;
use crate::properties::{Key, ModelKind};
use nvme::ControllerConfig;
use units::{Bytes, Nanos, PAGE_BYTES};

impl Planner<'_> {
    pub(super) fn controller(&self) -> Result<ControllerConfig, ConfigError> {
        let io_queues = u16::try_from(self.u64(Key::NumQueues)).unwrap_or(u16::MAX);
        let power_states = power_states::table(self.u64(Key::PowerStates));
        let transitions = self.on(Key::Apst);
        self.rule(!transitions || !power_states.is_empty(), Key::Apst, || {
            "needs power-states".into()
        })?;
        // Other models have no map in flash that it would save reads of.
        let pages = |key| match self.config.model() {
            ModelKind::Zms => u32::try_from(self.u64(key) / PAGE_BYTES).unwrap_or(u32::MAX),
            _ => 0,
        };
        let controller = ControllerConfig {
            host_buffer: pages(Key::HmbSize),
            host_buffer_min: pages(Key::HmbMin),
            power_states,
            transitions,
            serial: self.text(Key::Serial),
            io_queues,
            queue_entries: self.u32(Key::QueueEntries),
            mdts: u8::try_from(self.u64(Key::Mdts)).unwrap_or(u8::MAX),
            vectors: io_queues.saturating_add(1),
            shadow_doorbells: self.on(Key::ShadowDoorbells),
            notes: self.on(Key::VendorCommands),
            cut_power: self.on(Key::VendorCommands) && self.u64(Key::PowerCuts) > 0,
            // Otherwise writes end at the medium.
            write_cache: self.config.model() != ModelKind::Simple && self.on(Key::EarlyCompletion),
            ..ControllerConfig::default()
        };
        controller.validate()?;
        Ok(controller)
    }

    pub(super) fn worker(&self) -> Result<Option<Worker>, ConfigError> {
        let (thread, poll) = (self.text(Key::Iothread), self.nanos(Key::PollNs));
        if thread.is_empty() {
            self.rule(poll == Nanos::ZERO, Key::PollNs, || "needs iothread".into())?;
            return Ok(None);
        }
        Ok(Some(Worker { thread, poll }))
    }

    pub(super) fn media(&self, layout: &Layout) -> Result<Media, ConfigError> {
        let memdev = self.text(Key::Memdev);
        let size = self.bytes(Key::MemmapSize);
        if self.u64(Key::Media) != 0 {
            let has_memory = !memdev.is_empty() || size != Bytes::ZERO;
            self.rule(!has_memory, Key::Media, || {
                "excludes memdev and memmap-size".into()
            })?;
            return Ok(Media::None);
        }
        if size == Bytes::ZERO {
            self.rule(self.u64(Key::MemmapStart) == 0, Key::MemmapStart, || {
                "needs memmap-size".into()
            })?;
            return Ok(if memdev.is_empty() {
                Media::Private
            } else {
                Media::Backend(memdev)
            });
        }
        self.rule(memdev.is_empty(), Key::Memdev, || {
            "excludes memmap-start and memmap-size".into()
        })?;
        self.rule(size >= layout.size, Key::MemmapSize, || {
            format!("the media needs {}", layout.size)
        })?;
        let start = self.u64(Key::MemmapStart);
        self.rule(
            start.checked_add(size.get()).is_some(),
            Key::MemmapStart,
            || format!("the range of {size} ends beyond 2^64"),
        )?;
        Ok(Media::GuestRange { start, size })
    }
}

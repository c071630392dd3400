// SPDX-License-Identifier: GPL-2.0-or-later
//! Get Features and Set Features (Base, sections 5.15 and 5.27).

use nvme_spec::{
    FeatureCdw10, FeatureId, FeatureSelect, InterruptVectorConfig, QueueCount, Sqe, Status,
    NSID_ALL,
};
use units::Instant;

use crate::controller::Controller;
use crate::drive::Drive;
use crate::features::{Dword, Feature, Other, Which, SAVEABLE};
use crate::host::Host;
use crate::power_states::{Transitions, TRANSITIONS_BYTES};
use crate::reject::{Reject, CDW10, CDW11, NSID};
use crate::transfer::Direction;
use crate::work::{at_once, Done};

/// Size of the Host Behavior Support data structure.
const HOST_BEHAVIOR_BYTES: usize = 512;
/// PS of Power Management.
const PS: u32 = 0x1f;

impl<D: Drive> Controller<D> {
    /// Get Features.
    pub(crate) fn get_features<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let dword = FeatureCdw10::from(sqe.cdw10());
        let feature = self.feature(dword.id())?;
        let select = FeatureSelect::from_wire(dword.select().value())
            .ok_or(Reject::invalid(CDW10 + 1, 0))?;
        let which = match select {
            FeatureSelect::Current => Which::Current,
            FeatureSelect::Default => Which::Default,
            FeatureSelect::Saved => Which::Saved,
            FeatureSelect::Capabilities => return at_once(now, feature.capabilities()),
        };
        let other = match feature {
            Feature::Other(other) => other,
            Feature::Dword(kept) => {
                let ns = match kept {
                    Dword::ErrorRecovery => Some(usize::from(self.namespace(sqe.nsid)?.index.0)),
                    _ => None,
                };
                let mut value = self.features.get(kept, sqe.cdw11(), ns, which)?;
                if (kept, which) == (Dword::PowerManagement, Which::Current) {
                    value = value & !PS | self.power_state(now);
                }
                return at_once(now, value);
            }
        };
        match other {
            Other::NumberOfQueues => at_once(now, self.queue_count()),
            Other::InterruptVectorConfig => {
                let vector = InterruptVectorConfig::from(sqe.cdw11()).vector();
                let disabled = self
                    .coalescing_disabled(vector)
                    .ok_or(Reject::invalid(CDW11, 0))?;
                let disabled = disabled && which == Which::Current;
                at_once(now, InterruptVectorConfig::new(vector, disabled).into())
            }
            Other::Timestamp => {
                let value = self.features.timestamp.encode(now);
                self.send(host, sqe, &value.to_le_bytes())?;
                at_once(now, 0)
            }
            Other::HostBehavior => {
                let mut bytes = [0; HOST_BEHAVIOR_BYTES];
                if let Some(acre) = bytes.first_mut().filter(|_| which == Which::Current) {
                    *acre = u8::from(self.features.retries_as_told);
                }
                self.send(host, sqe, &bytes)?;
                at_once(now, 0)
            }
            Other::HostMemoryBuffer => self.get_host_buffer(host, sqe, which, now),
            // The one combination of command sets.
            Other::CommandSetProfile => at_once(now, 0),
            Other::PowerTransitions => {
                let Some(power) = &self.power_states else {
                    return at_once(now, 0);
                };
                let transitions = *match which {
                    Which::Current => power.transitions(),
                    Which::Default => power.default_transitions(),
                    Which::Saved => power.saved_transitions(),
                };
                self.send(host, sqe, &transitions.encode())?;
                at_once(now, transitions.is_enabled.into())
            }
        }
    }

    /// Set Features.
    pub(crate) fn set_features<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        now: Instant,
    ) -> Result<Done, Reject> {
        let dword = FeatureCdw10::from(sqe.cdw10());
        let feature = self.feature(dword.id())?;
        if dword.save() && feature.capabilities() & SAVEABLE == 0 {
            return Err(Reject::at(Status::FeatureNotSaveable, CDW10 + 3, 7));
        }
        let ns = match (feature, sqe.nsid) {
            (_, NSID_ALL) => None,
            (Feature::Dword(Dword::ErrorRecovery), nsid) => {
                Some(usize::from(self.namespace(nsid)?.index.0))
            }
            (_, 0) => None,
            _ => return Err(Reject::at(Status::FeatureNotPerNamespace, NSID, 0)),
        };
        let other = match feature {
            Feature::Other(other) => other,
            Feature::Dword(Dword::PowerManagement) => {
                return self.set_power_state(sqe.cdw11(), dword.save(), now);
            }
            Feature::Dword(kept) => {
                self.features.set(kept, sqe.cdw11(), ns, dword.save())?;
                self.check_health();
                return at_once(now, 0);
            }
        };
        match other {
            Other::NumberOfQueues => return self.set_queue_count(sqe, now),
            Other::HostMemoryBuffer => self.set_host_buffer(host, sqe)?,
            Other::InterruptVectorConfig => {
                let config = InterruptVectorConfig::from(sqe.cdw11());
                let disabled = config.coalescing_disabled();
                if !self.set_coalescing_disabled(config.vector(), disabled) {
                    return Err(Reject::invalid(CDW11, 0));
                }
            }
            Other::Timestamp => {
                let mut bytes = [0; 8];
                self.receive(host, sqe, &mut bytes)?;
                self.features.timestamp.set(u64::from_le_bytes(bytes), now);
            }
            Other::HostBehavior => {
                let mut bytes = [0; HOST_BEHAVIOR_BYTES];
                self.receive(host, sqe, &mut bytes)?;
                self.features.retries_as_told = bytes.first().is_some_and(|acre| acre & 1 != 0);
            }
            Other::PowerTransitions => {
                let mut table = [0; TRANSITIONS_BYTES];
                self.receive(host, sqe, &mut table)?;
                let states = self.config.power_states;
                let new = Transitions::decode(sqe.cdw11() & 1 != 0, &table, states);
                let new = new.ok_or(Reject::new(Status::InvalidField))?;
                if let Some(power) = &mut self.power_states {
                    power.set_transitions(new, dword.save(), now);
                }
            }
            Other::CommandSetProfile => {
                // There is one combination, number 0.
                if sqe.cdw11() & 0x1ff != 0 {
                    return Err(Reject::at(Status::CommandSetCombination, CDW11, 0));
                }
            }
        }
        at_once(now, 0)
    }

    /// Power Management (Base, section 5.27.1.2). It completes when the state is reached.
    fn set_power_state(&mut self, dword11: u32, save: bool, now: Instant) -> Result<Done, Reject> {
        let to = (dword11 & PS) as usize;
        if to >= self.config.power_states.len().max(1) {
            return Err(Reject::invalid(CDW11, 0));
        }
        self.features
            .set(Dword::PowerManagement, dword11, None, save)?;
        let power = self.power_states.as_mut();
        let done = power.map_or(now, |power| power.go_to(to, now));
        Ok(Done::At { done, result: 0 })
    }

    /// The power state the controller is in.
    fn power_state(&self, now: Instant) -> u32 {
        let power = self.power_states.as_ref();
        power.map_or(0, |power| power.current(now) as u32)
    }

    /// The feature with this identifier.
    fn feature(&self, wire: u8) -> Result<Feature, Reject> {
        FeatureId::from_wire(wire)
            .filter(|&id| self.config.has_feature(id))
            .map(Feature::of)
            .ok_or(Reject::invalid(CDW10, 0))
    }

    /// Queues the guest may create, whatever it asked for.
    fn queue_count(&self) -> u32 {
        let count_z = self.config.io_queues.saturating_sub(1);
        QueueCount::new(count_z, count_z).into()
    }

    fn set_queue_count(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let asked = QueueCount::from(sqe.cdw11());
        if asked.submission_z() == u16::MAX || asked.completion_z() == u16::MAX {
            return Err(Reject::invalid(CDW11, 0));
        }
        // Only before the first I/O queue exists (Base, section 5.27.1.5).
        if self.has_io_queues() {
            return Err(Reject::new(Status::CommandSequenceError));
        }
        at_once(now, self.queue_count())
    }

    pub(crate) fn send<H: Host>(
        &mut self,
        host: &mut H,
        sqe: &Sqe,
        bytes: &[u8],
    ) -> Result<(), Reject> {
        self.map(host, sqe, bytes.len() as u64, Direction::ToGuest)?;
        self.transfer.put(host, 0, bytes)
    }

    fn receive<H: Host>(&mut self, host: &mut H, sqe: &Sqe, into: &mut [u8]) -> Result<(), Reject> {
        self.map(host, sqe, into.len() as u64, Direction::FromGuest)?;
        self.transfer.get(host, 0, into)
    }
}

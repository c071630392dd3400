// SPDX-License-Identifier: GPL-2.0-or-later
//! The register file and the CC / CSTS state machine (Base, sections 3.1.3, 3.5 and 3.6).
//!
//! Knows nothing of queues: a write returns what the controller has to do.

use bilge::prelude::{u2, u4};
use nvme_spec::{
    offset, Aqa, Cap, Cc, Crto, Csts, SHST_COMPLETE, SHST_NORMAL, SHST_OCCURRING, VERSION_2_0,
};

use crate::config::ControllerConfig;

/// CAP.TO and CRTO.CRWMT: 10 s, in 500 ms. The model is ready at once, or after a power cut within some milliseconds; the
/// figure only has to be one that no loaded host exceeds.
const READY_TIMEOUT: u8 = 20;
/// CAP.MPSMAX: 64 KiB, the largest base page among Linux's architectures.
const PAGE_MAX: u8 = 4;
/// CC.CSS: NVM command set only.
const CSS_NVM: u8 = 0;
/// CC.CSS: all I/O command sets the controller supports.
const CSS_ALL: u8 = 6;
/// CC.CSS, CC.MPS and CC.AMS: what a host may change only while CC.EN is 0.
const LATCHED: u32 = 7 << 4 | 0xf << 7 | 7 << 11;

/// What a register write asks of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing more.
    None,
    /// CC.EN was set: create the admin queues.
    Enable(AdminQueues),
    /// CC.EN was set with values the controller refuses.
    Refuse,
    /// CC.EN was cleared: drop queues and commands.
    Disable,
    /// A submission queue's tail, or a completion queue's head.
    Doorbell { index: u64, value: u32 },
    /// The offset or the access size means nothing.
    Undefined,
}

/// The admin queues as registers describe them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdminQueues {
    pub(crate) sq_base: u64,
    pub(crate) cq_base: u64,
    pub(crate) sq_entries: u32,
    pub(crate) cq_entries: u32,
}

/// The registers that hold state.
#[derive(Debug)]
pub(crate) struct Registers {
    cap: u64,
    cc: u32,
    aqa: u32,
    asq: u64,
    acq: u64,
    /// Interrupt mask: INTMS sets, INTMC clears.
    pub(crate) interrupt_mask: u32,
    ready: bool,
    /// The drive is not ready yet, and so is CSTS.RDY, whatever CC.EN is.
    pub(crate) held: bool,
    fatal: bool,
    shutdown: u8,
}

state::state!(Registers {
    cc, aqa, asq[raw], acq[raw], interrupt_mask, ready, held, fatal, shutdown;
    cap
});

impl Registers {
    pub(crate) fn new(config: &ControllerConfig) -> Self {
        let mqes_z = u16::try_from(config.queue_entries.saturating_sub(1)).unwrap_or(u16::MAX);
        let mut cap = Cap::from(0);
        cap.set_mqes_z(mqes_z);
        cap.set_contiguous_queues(true);
        cap.set_timeout(READY_TIMEOUT);
        cap.set_css_nvm(true);
        cap.set_css_io_sets(true);
        cap.set_page_max(u4::new(PAGE_MAX));
        cap.set_ready_with_media(true);
        Self {
            cap: cap.into(),
            cc: 0,
            aqa: 0,
            asq: 0,
            acq: 0,
            interrupt_mask: 0,
            ready: false,
            held: false,
            fatal: false,
            shutdown: SHST_NORMAL,
        }
    }

    /// CSTS.RDY is set and CSTS.CFS is not: commands are processed.
    pub(crate) const fn is_running(&self) -> bool {
        self.ready && !self.held && !self.fatal
    }

    /// Memory page size (CC.MPS) in bytes, as it was when the controller was enabled.
    pub(crate) fn page(&self) -> u64 {
        4096 << Cc::from(self.cc).page_size().value().min(PAGE_MAX)
    }

    /// All I/O command sets are selected: zoned namespaces are active.
    pub(crate) fn has_zoned(&self) -> bool {
        Cc::from(self.cc).command_set().value() == CSS_ALL
    }

    /// CC.IOSQES and CC.IOCQES are set to the sizes of the entries.
    pub(crate) fn has_io_entry_sizes(&self) -> bool {
        let cc = Cc::from(self.cc);
        cc.sqe_shift().value() == 6 && cc.cqe_shift().value() == 4
    }

    /// CC as the guest reads it.
    pub(crate) const fn cc(&self) -> u32 {
        self.cc
    }

    /// Sets CSTS.CFS: the guest must reset the controller.
    pub(crate) fn fail(&mut self) {
        self.fatal = true;
    }

    /// Whether CC.SHN notifies of a shutdown (Base, section 3.6.1) that was not taken up yet, with CC.EN set or
    /// not: from here on it is occurring.
    pub(crate) fn take_shutdown(&mut self) -> bool {
        let is_new = Cc::from(self.cc).shutdown().value() != 0 && !self.is_shut_down();
        if is_new {
            self.shutdown = SHST_OCCURRING;
        }
        is_new
    }

    /// The shutdown that [`Registers::take_shutdown`] found is complete.
    pub(crate) fn shutdown_complete(&mut self) {
        if self.shutdown == SHST_OCCURRING {
            self.shutdown = SHST_COMPLETE;
        }
    }

    /// A shutdown is complete: power may go.
    pub(crate) const fn is_safe(&self) -> bool {
        self.shutdown == SHST_COMPLETE
    }

    /// A shutdown was asked for, whether or not it is complete.
    const fn is_shut_down(&self) -> bool {
        self.shutdown != SHST_NORMAL
    }

    /// Controller level reset: AQA, ASQ and ACQ survive (Base, section 3.7.2).
    fn disable(&mut self) {
        self.ready = false;
        self.fatal = false;
        self.shutdown = SHST_NORMAL;
        self.interrupt_mask = 0;
    }

    /// Registers as at power-on.
    pub(crate) fn reset(&mut self) {
        self.disable();
        (self.cc, self.aqa, self.asq, self.acq) = (0, 0, 0, 0);
    }

    /// The dword at a 4-aligned offset; zero where there is no register.
    fn dword(&self, at: u64) -> u32 {
        let half = |value: u64, base: u64| {
            if at == base {
                value as u32
            } else {
                (value >> 32) as u32
            }
        };
        match at {
            0x00 | 0x04 => half(self.cap, offset::CAP),
            offset::VS => VERSION_2_0,
            offset::INTMS | offset::INTMC => self.interrupt_mask,
            offset::CC => self.cc,
            offset::CSTS => self.csts(),
            offset::AQA => self.aqa,
            0x28 | 0x2c => half(self.asq, offset::ASQ),
            0x30 | 0x34 => half(self.acq, offset::ACQ),
            offset::CRTO => Crto::new(READY_TIMEOUT.into(), 0).into(),
            _ => 0,
        }
    }

    fn csts(&self) -> u32 {
        let mut csts = Csts::from(0);
        csts.set_ready(self.ready && !self.held);
        csts.set_fatal(self.fatal);
        csts.set_shutdown(u2::new(self.shutdown & 3));
        csts.into()
    }

    /// Reads `size` bytes at any offset; bytes outside registers are zero.
    pub(crate) fn read(&self, at: u64, size: u8) -> u64 {
        let aligned = at & !3;
        let low = u128::from(self.dword(aligned));
        let mid = u128::from(self.dword(aligned.saturating_add(4)));
        let high = u128::from(self.dword(aligned.saturating_add(8)));
        let value = (low | mid << 32 | high << 64) >> ((at & 3) * 8);
        let mask = match size {
            1 => 0xff,
            2 => 0xffff,
            4 => 0xffff_ffff,
            _ => u64::MAX,
        };
        value as u64 & mask
    }

    /// Writes one aligned dword.
    pub(crate) fn write(&mut self, at: u64, value: u32) -> Effect {
        let set_half = |register: &mut u64, base: u64| {
            let shift = if at == base { 0 } else { 32 };
            *register = *register & !(0xffff_ffff << shift) | u64::from(value) << shift;
        };
        match at {
            offset::INTMS => self.interrupt_mask |= value,
            offset::INTMC => self.interrupt_mask &= !value,
            offset::CC => return self.write_cc(value),
            // CAP.NSSRS is 0: no subsystem reset, so CSTS.NSSRO never needs clearing either.
            offset::NSSR | offset::CSTS => {}
            offset::AQA => self.aqa = value & 0x0fff_0fff,
            0x28 | 0x2c => set_half(&mut self.asq, offset::ASQ),
            0x30 | 0x34 => set_half(&mut self.acq, offset::ACQ),
            offset::DOORBELLS.. => {
                return Effect::Doorbell {
                    index: (at - offset::DOORBELLS) / 4,
                    value,
                }
            }
            _ => return Effect::Undefined,
        }
        Effect::None
    }

    fn write_cc(&mut self, value: u32) -> Effect {
        let (old, new) = (Cc::from(self.cc), Cc::from(value));
        // CC.CRIME is read-only while CAP.CRMS.CRIMS is 0.
        let value = value & 0x00ff_fff1;
        self.cc = if old.enable() && new.enable() {
            value & !LATCHED | self.cc & LATCHED
        } else {
            value
        };
        if old.enable() && !new.enable() {
            self.disable();
            return Effect::Disable;
        }
        if !old.enable() && new.enable() {
            // What was shut down while it was disabled is not any longer.
            self.shutdown = SHST_NORMAL;
            let Some(queues) = self.admin_queues() else {
                self.fatal = true;
                return Effect::Refuse;
            };
            self.ready = true;
            return Effect::Enable(queues);
        }
        Effect::None
    }

    /// The admin queues, or `None` if CC and AQA, ASQ, ACQ do not make a valid configuration.
    fn admin_queues(&self) -> Option<AdminQueues> {
        let (cc, aqa) = (Cc::from(self.cc), Aqa::from(self.aqa));
        let page = self.page();
        let sizes = (aqa.sq_size_z().value(), aqa.cq_size_z().value());
        let is_valid = cc.page_size().value() <= PAGE_MAX
            && cc.arbitration().value() == 0
            // Not 111b, admin commands only: CAP.CSS bit 7 is 0.
            && matches!(cc.command_set().value(), CSS_NVM | CSS_ALL)
            && sizes.0 > 0
            && sizes.1 > 0
            && self.asq % page == 0
            && self.acq % page == 0;
        is_valid.then_some(AdminQueues {
            sq_base: self.asq,
            cq_base: self.acq,
            sq_entries: u32::from(sizes.0) + 1,
            cq_entries: u32::from(sizes.1) + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENABLE: u32 = 0x0046_0061;

    fn registers() -> Registers {
        Registers::new(&ControllerConfig::default())
    }

    fn configured() -> Registers {
        let mut registers = registers();
        registers.write(offset::AQA, 0x001f_001f);
        registers.write(offset::ASQ, 0x1000);
        registers.write(offset::ACQ, 0x2000);
        registers
    }

    #[test]
    fn capabilities_read_the_same_in_any_piece() {
        let registers = registers();
        let cap = registers.read(offset::CAP, 8);
        assert_eq!(cap & 0xffff, 63);
        assert_eq!(registers.read(4, 4), cap >> 32);
        assert_eq!(registers.read(3, 1), u64::from(READY_TIMEOUT));
        assert_eq!(registers.read(5, 2), cap >> 40 & 0xffff);
        assert_eq!(registers.read(offset::VS, 4), 0x0002_0000);
        // CRTO is never below CAP.TO: Linux warns of drives where it is.
        assert!(registers.read(offset::CRTO, 2) >= u64::from(READY_TIMEOUT));
        assert_eq!(registers.read(u64::MAX, 8), 0);
    }

    #[test]
    fn enabling_needs_a_valid_configuration() {
        let queues = AdminQueues {
            sq_base: 0x1000,
            cq_base: 0x2000,
            sq_entries: 32,
            cq_entries: 32,
        };
        assert_eq!(
            configured().write(offset::CC, ENABLE),
            Effect::Enable(queues)
        );
        let bad: [(u64, u32); 8] = [
            (offset::AQA, 0x001f_0000),
            (offset::AQA, 0x0000_001f),
            (offset::ASQ, 0x1800),
            (offset::ACQ, 0x2004),
            (offset::CC, ENABLE | 5 << 7),
            (offset::CC, ENABLE & !0x70 | 1 << 4),
            (offset::CC, ENABLE | 7 << 4),
            (offset::CC, ENABLE | 1 << 11),
        ];
        for (at, value) in bad {
            let mut registers = configured();
            let cc = if at == offset::CC {
                value
            } else {
                registers.write(at, value);
                ENABLE
            };
            assert_eq!(
                registers.write(offset::CC, cc),
                Effect::Refuse,
                "{at:#x} {value:#x}"
            );
            assert_eq!(registers.read(offset::CSTS, 4), 2);
            assert!(!registers.is_running());
            // A reset clears CSTS.CFS.
            assert_eq!(registers.write(offset::CC, 0), Effect::Disable);
            assert_eq!(registers.read(offset::CSTS, 4), 0);
        }
    }

    #[test]
    fn shutdown_goes_through_its_states_and_a_reset_ends_it() {
        let mut registers = configured();
        registers.write(offset::CC, ENABLE);
        assert_eq!(registers.read(offset::CSTS, 4), 1);
        assert!(!registers.take_shutdown());
        registers.write(offset::CC, ENABLE | 1 << 14);
        assert!(registers.take_shutdown());
        assert_eq!(registers.read(offset::CSTS, 4), 1 | 1 << 2);
        registers.write(offset::CC, ENABLE | 1 << 14);
        assert!(!registers.take_shutdown(), "once");
        registers.shutdown_complete();
        assert_eq!(registers.read(offset::CSTS, 4), 1 | 2 << 2);
        assert_eq!(registers.write(offset::CC, 0), Effect::Disable);
        assert_eq!(registers.read(offset::CSTS, 4), 0);
        // The admin queues' registers survive a controller reset, not a power cycle.
        assert_eq!(registers.read(offset::ASQ, 8), 0x1000);
        registers.reset();
        assert_eq!(registers.read(offset::ASQ, 8), 0);
    }

    #[test]
    fn a_session_after_a_shutdown_of_a_disabled_controller_starts_afresh() {
        let mut registers = configured();
        registers.write(offset::CC, ENABLE & !1 | 1 << 14);
        assert!(registers.take_shutdown());
        registers.shutdown_complete();
        assert_eq!(registers.read(offset::CSTS, 4), 2 << 2);
        registers.write(offset::INTMS, 1);
        assert!(matches!(
            registers.write(offset::CC, ENABLE),
            Effect::Enable(_)
        ));
        assert_eq!(registers.read(offset::CSTS, 4), 1);
        assert_eq!(registers.read(offset::INTMS, 4), 1, "not a reset");
        registers.write(offset::CC, ENABLE | 2 << 14);
        assert!(registers.take_shutdown());
    }

    #[test]
    fn what_is_chosen_at_enable_stays_until_the_next() {
        let mut registers = configured();
        registers.write(offset::CC, ENABLE);
        // NVM command set only, pages of 64 KiB, weighted round robin, entry sizes of 2^7 and 2^5.
        let other = 0x0057_0001 | 4 << 7 | 1 << 11;
        registers.write(offset::CC, other);
        assert!(registers.has_zoned() && registers.page() == 4096);
        assert!(!registers.has_io_entry_sizes(), "these are not latched");
        assert_eq!(registers.read(offset::CC, 4), 0x0057_0061);
        registers.write(offset::CC, other & !1);
        registers.write(offset::CC, 0x0046_0001 | 4 << 7);
        assert!(!registers.has_zoned() && registers.page() == 65_536);
    }

    #[test]
    fn interrupt_masks_set_and_clear() {
        let mut registers = registers();
        registers.write(offset::INTMS, 0b101);
        registers.write(offset::INTMC, 0b001);
        assert_eq!(registers.read(offset::INTMS, 4), 0b100);
        assert_eq!(registers.read(offset::INTMC, 4), 0b100);
    }

    #[test]
    fn halves_of_wide_registers_are_written_apart() {
        let mut registers = registers();
        registers.write(0x2c, 0x1234);
        registers.write(0x28, 0x5000);
        assert_eq!(registers.read(offset::ASQ, 8), 0x1234_0000_5000);
        assert_eq!(registers.write(0x44, 1), Effect::Undefined);
        assert_eq!(
            registers.write(0x100c, 7),
            Effect::Doorbell { index: 3, value: 7 }
        );
    }
}

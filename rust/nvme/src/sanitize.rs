// SPDX-License-Identifier: GPL-2.0-or-later
//! Sanitize (Base, sections 5.24 and 8.21): all user data goes, and nothing but a few commands is worked meanwhile.
//!
//! ```text
//!            Sanitize                  all erased, and the model's time over
//!   idle ──────────────► in progress ──────────────┬──────────► idle
//!    ▲                        ▲                    └──────────► failed
//!    │  Exit Failure Mode,    │  Sanitize                         │
//!    └── unless restricted ───┴───────────────────────────────────┘
//! ```
//! How it stands is the drive's to keep ([`Sanitized`]): it goes on after a controller reset, a power cut, and in another
//! process. Erasing is worked in bounded steps, before anything else is fetched, and may begin again: what is erased stays so.

use nvme_spec::{
    AdminOpcode, AsyncEvent, LogCdw10, LogId, SanitizeAction, SanitizeCdw10, SanitizeLog,
    SelfTestOutcome, Sqe, Status,
};
use units::{Instant, Sector, PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES};

use crate::controller::Controller;
use crate::drive::{Drive, NsIndex, SanitizeStatus, Sanitized};
use crate::host::Host;
use crate::namespace::{Namespace, Span};
use crate::reject::{Reject, CDW10};
use crate::work::{at_once, Done, Job, Sanitizing, Start, Task, LOOKED_UP_PER_UNIT};

/// SANICAP: crypto erase, block erase, overwrite; with No-Deallocate After Sanitize the media is written once more
/// (NODMMAS 10b).
pub(crate) const SANICAP: u32 = 0b111 | 0b10 << 30;
/// Pages that one step of an overwrite looks at.
const STEP_PAGES: u64 = LOOKED_UP_PER_UNIT / PAGE_BYTES;

/// Passes of an overwrite, 1 to 16.
fn passes(dword: SanitizeCdw10) -> u8 {
    match dword.passes().value() {
        0 => 16,
        n => n,
    }
}

/// How often each block of flash is erased and programmed.
fn cycles(action: SanitizeAction, dword: SanitizeCdw10) -> (u8, u8) {
    let again = u8::from(dword.keeps_allocated());
    match action {
        SanitizeAction::BlockErase => (1, again),
        SanitizeAction::Overwrite => (passes(dword), passes(dword)),
        // The key goes, which lies in one block.
        SanitizeAction::CryptoErase => (0, again),
        SanitizeAction::ExitFailureMode => (0, 0),
    }
}

/// Whether a command may be worked during a sanitize operation and after one that failed (Base, section 5, figure 139);
/// Sanitize itself is looked at more closely.
fn is_allowed(opcode: AdminOpcode, sqe: &Sqe) -> bool {
    match opcode {
        AdminOpcode::GetLogPage => {
            let log = LogId::from_wire(LogCdw10::from(sqe.cdw10()).id());
            matches!(log, Some(LogId::Error | LogId::Smart | LogId::Sanitize))
        }
        AdminOpcode::FormatNvm | AdminOpcode::DeviceSelfTest => false,
        AdminOpcode::DeleteSq
        | AdminOpcode::CreateSq
        | AdminOpcode::DeleteCq
        | AdminOpcode::CreateCq
        | AdminOpcode::Identify
        | AdminOpcode::Abort
        | AdminOpcode::SetFeatures
        | AdminOpcode::GetFeatures
        | AdminOpcode::AsyncEventRequest
        | AdminOpcode::DoorbellBufferConfig
        | AdminOpcode::Sanitize
        | AdminOpcode::Note
        | AdminOpcode::CutPower => true,
    }
}

impl<D: Drive> Controller<D> {
    /// Why commands that touch user data are refused now, if they are.
    pub(crate) fn sanitize_refusal(&self) -> Option<Status> {
        match self.drive.sanitized().status {
            SanitizeStatus::InProgress => Some(Status::SanitizeInProgress),
            SanitizeStatus::Failed => Some(Status::SanitizeFailed),
            SanitizeStatus::Never | SanitizeStatus::Completed | SanitizeStatus::Left => None,
        }
    }

    /// Is an error if an admin command may not be worked now.
    pub(crate) fn check_sanitize(&self, opcode: AdminOpcode, sqe: &Sqe) -> Result<(), Reject> {
        match self.sanitize_refusal() {
            Some(status) if !is_allowed(opcode, sqe) => Err(Reject::new(status)),
            _ => Ok(()),
        }
    }

    /// Sanitize: starts an operation, or leaves the failure mode of one.
    pub(crate) fn sanitize(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let dword = SanitizeCdw10::from(sqe.cdw10());
        let action = SanitizeAction::from_wire(dword.action().value());
        let action = action.ok_or(Reject::invalid(CDW10, 0))?;
        let last = self.drive.sanitized();
        let was_restricted = !SanitizeCdw10::from(last.dword10).unrestricted();
        let is_exit = action == SanitizeAction::ExitFailureMode;
        match last.status {
            SanitizeStatus::InProgress => return Err(Reject::new(Status::SanitizeInProgress)),
            SanitizeStatus::Failed if was_restricted && (is_exit || dword.unrestricted()) => {
                return Err(Reject::new(Status::SanitizeFailed));
            }
            SanitizeStatus::Failed if is_exit => {
                let status = SanitizeStatus::Left;
                self.drive.set_sanitized(Sanitized { status, ..last });
                return at_once(now, 0);
            }
            _ if is_exit => return at_once(now, 0),
            _ => {}
        }
        let (erases, programs) = cycles(action, dword);
        self.events.forget(LogId::Sanitize);
        self.self_test
            .end(SelfTestOutcome::Sanitized, now, |_| true);
        self.sanitizing = Sanitizing::default();
        self.drive.set_sanitized(Sanitized {
            status: SanitizeStatus::InProgress,
            dword10: sqe.cdw10() & 0x3ff,
            pattern: sqe.cdw11(),
            since: now,
            erases,
            programs,
        });
        at_once(now, 0)
    }

    /// When the operation is to be looked at again, if there is one.
    pub(crate) fn sanitize_due(&self, now: Instant) -> Option<Instant> {
        let record = self.drive.sanitized();
        let is_erased = self.sanitizing.of == Some(record.since) && self.sanitizing.is_erased;
        let is_running = record.status == SanitizeStatus::InProgress;
        is_running.then(|| {
            if is_erased {
                self.sanitize_end(&record)
            } else {
                now
            }
        })
    }

    fn sanitize_end(&self, record: &Sanitized) -> Instant {
        let end = record.since + self.drive.sanitize_time(record);
        end.max(self.sanitizing.done)
    }

    /// Goes on with the operation; whether something is left to erase, before which nothing is fetched.
    pub(crate) fn work_sanitize<H: Host>(&mut self, host: &mut H, now: Instant) -> bool {
        let record = self.drive.sanitized();
        if record.status != SanitizeStatus::InProgress {
            return false;
        }
        if self.sanitizing.of != Some(record.since) {
            self.sanitizing = Sanitizing {
                of: Some(record.since),
                ..Sanitizing::default()
            };
        }
        while !self.sanitizing.is_erased {
            if !self.work.has_budget() {
                return true;
            }
            let job = self.sanitizing.job.take();
            let mut job = job.unwrap_or_else(|| self.erasing(&record));
            let step = if job.discard.is_empty() {
                self.step_sanitize(host, &mut job, now)
            } else {
                self.discard_some(host, &mut job.discard);
                Ok(true)
            };
            self.sanitizing.done = self.sanitizing.done.max(job.done);
            match step {
                Ok(true) => self.sanitizing.job = Some(job),
                Ok(false) => self.sanitizing.is_erased = true,
                Err(_) => {
                    self.sanitizing.is_erased = true;
                    self.sanitizing.has_failed = true;
                }
            }
        }
        if self.sanitize_end(&record) <= now {
            let has_failed = self.sanitizing.has_failed | self.drive.sanitize_fails();
            let status = if has_failed {
                SanitizeStatus::Failed
            } else {
                SanitizeStatus::Completed
            };
            self.drive.set_sanitized(Sanitized { status, ..record });
            self.sanitizing = Sanitizing::default();
            self.events.raise(AsyncEvent::SANITIZED);
        }
        false
    }

    /// All that an operation is to erase, beginning with what the drive has put aside.
    fn erasing(&self, record: &Sanitized) -> Job {
        let dword = SanitizeCdw10::from(record.dword10);
        let is_overwrite = dword.action().value() == SanitizeAction::Overwrite.wire();
        let start = Start {
            discard: self.drive.aside(),
            ..Start::of(Task::Sanitize {
                keeps: dword.keeps_allocated(),
                pattern: if is_overwrite { record.pattern } else { 0 },
                at: 0,
                next: 0,
            })
        };
        Job::new(0, &Sqe::default(), start, record.since)
    }

    /// A namespace, active or not.
    fn any_namespace(&self, at: u8) -> Option<Namespace> {
        let info = self.drive.namespaces().get(usize::from(at))?;
        Some(Namespace::new(NsIndex(at), info))
    }

    /// One step; whether there was something left to do.
    fn step_sanitize<H: Host>(
        &mut self,
        host: &mut H,
        job: &mut Job,
        now: Instant,
    ) -> Result<bool, Reject> {
        let Task::Sanitize {
            keeps,
            pattern,
            at,
            next,
        } = job.task
        else {
            return Ok(false);
        };
        let Some(ns) = self.any_namespace(at) else {
            return Ok(false);
        };
        let then = if keeps {
            self.overwrite(host, job, &ns, next, pattern)?
        } else {
            self.erase_next(job, &ns, next, true, now)?
        };
        let (at, next) = match then {
            Some(next) => (at, next),
            None => {
                let all = ns.sectors;
                self.drive
                    .set_uncorrectable(ns.index, Sector::new(0), all, false);
                (at.saturating_add(1), 0)
            }
        };
        job.task = Task::Sanitize {
            keeps,
            pattern,
            at,
            next,
        };
        Ok(true)
    }

    /// Writes a pattern to the next blocks that are allocated, from sector `next` on; where it goes on.
    fn overwrite<H: Host>(
        &mut self,
        host: &mut H,
        job: &mut Job,
        ns: &Namespace,
        next: u64,
        pattern: u32,
    ) -> Result<Option<u64>, Reject> {
        if next >= ns.sectors {
            return Ok(None);
        }
        self.keep(host);
        if pattern == 0 {
            job.discard = ns.media(Span {
                at: Sector::new(next),
                sectors: ns.sectors.saturating_sub(next),
            });
            return Ok(Some(ns.sectors));
        }
        self.work.add(1);
        let [a, b, c, d] = pattern.to_le_bytes();
        self.scratch
            .chunks_exact_mut(4)
            .for_each(|dword| dword.copy_from_slice(&[a, b, c, d]));
        let end = next
            .saturating_add(STEP_PAGES * PAGE_SECTORS)
            .min(ns.sectors);
        for at in (next..end).step_by(PAGE_SECTORS as usize) {
            let page = Span {
                at: Sector::new(at),
                sectors: PAGE_SECTORS.min(end.saturating_sub(at)),
            };
            if self.drive.has_unwritten(ns.index, page.at, page.sectors) {
                continue;
            }
            self.work.add(1);
            let bytes = (page.sectors * SECTOR_BYTES) as usize;
            let written = self.scratch.get(..bytes).unwrap_or_default();
            host.media_write(ns.media(page).start, written)
                .map_err(|_| Reject::new(Status::InternalError))?;
        }
        Ok(Some(end))
    }

    /// Sanitize Status (Base, section 5.16.1.25).
    pub(crate) fn sanitize_log(&self, now: Instant) -> SanitizeLog {
        let record = self.drive.sanitized();
        let dword = SanitizeCdw10::from(record.dword10);
        let total = self.sanitize_end(&record).since(record.since).get().max(1);
        let done = now.since(record.since).get().min(total);
        let (progress, status) = match record.status {
            SanitizeStatus::Never => (u16::MAX, SanitizeLog::NEVER),
            SanitizeStatus::Completed => (u16::MAX, SanitizeLog::COMPLETED),
            SanitizeStatus::Failed | SanitizeStatus::Left => (u16::MAX, SanitizeLog::FAILED),
            SanitizeStatus::InProgress => {
                let part = u128::from(done) * 65_536 / u128::from(total);
                let part = u16::try_from(part).unwrap_or(u16::MAX);
                (part.min(u16::MAX - 1), SanitizeLog::IN_PROGRESS)
            }
        };
        let is_overwrite = dword.action().value() == SanitizeAction::Overwrite.wire();
        let passes = match record.status {
            _ if !is_overwrite => 0,
            SanitizeStatus::Completed => passes(dword),
            _ => (u32::from(passes(dword)) * u32::from(progress) / 65_536) as u8,
        };
        let all = [
            SanitizeAction::Overwrite,
            SanitizeAction::BlockErase,
            SanitizeAction::CryptoErase,
        ];
        let mut seconds = [0; 6];
        for (i, place) in seconds.iter_mut().enumerate() {
            let Some(action) = all.get(i % 3) else {
                continue;
            };
            let keeps = u32::from(i >= 3) << 9;
            let (erases, programs) = cycles(*action, SanitizeCdw10::from(keeps));
            let time = self.drive.sanitize_time(&Sanitized {
                erases,
                programs,
                ..Sanitized::default()
            });
            *place = u32::try_from(time.get().div_ceil(1_000_000_000)).unwrap_or(u32::MAX - 1);
        }
        SanitizeLog {
            progress,
            status,
            passes,
            erased: self.drive.is_blank(),
            dword10: record.dword10,
            seconds,
        }
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Device Self-test (Base, sections 5.9 and 8.6): in the background, one at a time, with the results of the latest twenty.
//!
//! A test takes its time and looks at what the drive knows of itself: it fails, in the segment that checks SMART, when the
//! drive calls itself degraded or can no longer be written. It does not slow commands down. A controller reset ends a short test, and not an
//! extended one.

use nvme_spec::{SelfTestCdw10, SelfTestCode, SelfTestLog, SelfTestOutcome, Sqe, Status, NSID_ALL};
use units::Instant;

use crate::controller::Controller;
use crate::drive::Drive;
use crate::reject::{Reject, CDW10};
use crate::test_log::Running;
use crate::work::{at_once, Done};

impl<D: Drive> Controller<D> {
    /// Device Self-test: starts a test, or ends the one in progress.
    pub(crate) fn device_self_test(&mut self, sqe: &Sqe, now: Instant) -> Result<Done, Reject> {
        let code = SelfTestCdw10::from(sqe.cdw10()).code();
        let code = SelfTestCode::from_wire(code.value()).ok_or(Reject::invalid(CDW10, 0))?;
        if !matches!(sqe.nsid, 0 | NSID_ALL) {
            self.namespace(sqe.nsid)?;
        }
        let is_extended = match code {
            SelfTestCode::Abort => {
                self.self_test.end(SelfTestOutcome::Aborted, now, |_| true);
                return at_once(now, 0);
            }
            SelfTestCode::Short => false,
            SelfTestCode::Extended => true,
        };
        if self.self_test.running.is_some() {
            return Err(Reject::new(Status::SelfTestInProgress));
        }
        self.self_test.running = Some(Running {
            is_extended,
            nsid: sqe.nsid,
            since: now,
            was_reset: false,
        });
        at_once(now, 0)
    }

    /// When the test in progress ends.
    pub(crate) fn self_test_due(&self) -> Option<Instant> {
        let test = self.self_test.running?;
        Some(test.since + self.drive.self_test_time(test.is_extended))
    }

    /// Ends the test in progress if it is over.
    pub(crate) fn work_self_test(&mut self, now: Instant) {
        let was_reset = self.self_test.running.is_some_and(|test| test.was_reset);
        let is_over = self.self_test_due().is_some_and(|at| at <= now);
        if was_reset {
            self.self_test.end(SelfTestOutcome::Reset, now, |_| true);
        } else if is_over {
            let health = self.drive.health();
            let outcome = if health.degraded || health.read_only {
                SelfTestOutcome::FailedSegment
            } else {
                SelfTestOutcome::Passed
            };
            self.self_test.end(outcome, now, |_| true);
        }
    }

    /// EDSTT: whole minutes that an extended test takes.
    pub(crate) fn self_test_minutes(&self) -> u16 {
        let minutes = self
            .drive
            .self_test_time(true)
            .get()
            .div_ceil(60_000_000_000);
        u16::try_from(minutes.max(1)).unwrap_or(u16::MAX)
    }

    /// Device Self-test log (Base, section 5.16.1.7).
    pub(crate) fn self_test_log(&self, now: Instant) -> SelfTestLog<'_> {
        let current = self.self_test.running.map(|test| {
            let total = self.drive.self_test_time(test.is_extended).get().max(1);
            let done = u128::from(now.since(test.since).get()) * 100 / u128::from(total);
            (test.code(), u8::try_from(done.min(99)).unwrap_or(99))
        });
        SelfTestLog {
            current,
            results: &self.self_test.results,
        }
    }
}

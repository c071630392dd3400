// SPDX-License-Identifier: GPL-2.0-or-later
//! The self-test in progress, and the results of the latest twenty.

use nvme_spec::{SelfTestCode, SelfTestOutcome, SelfTestResult, SELF_TEST_RESULTS};
use state::{ensure, state, Error};
use units::Instant;

use crate::counters::hours;

/// The segment that failed: SMART check (Base, section 8.6, as in its example).
const SMART_SEGMENT: u8 = 2;

/// A test in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) is_extended: bool,
    pub(crate) nsid: u32,
    pub(crate) since: Instant,
    /// A controller reset has ended it.
    pub(crate) was_reset: bool,
}

state!(Running {
    is_extended,
    nsid,
    since,
    was_reset
});

impl Running {
    pub(crate) const fn code(self) -> SelfTestCode {
        if self.is_extended {
            SelfTestCode::Extended
        } else {
            SelfTestCode::Short
        }
    }
}

/// The test in progress, and results.
#[derive(Debug)]
pub(crate) struct SelfTest {
    pub(crate) running: Option<Running>,
    /// The newest one last.
    pub(crate) results: Vec<SelfTestResult>,
}

state!(SelfTest {
    running,
    results[wire]
} => check);

/// Results as they are in the log.
mod wire {
    use nvme_spec::{SelfTestResult, SELF_TEST_RESULT_BYTES};
    use state::{Decoder, Encoder, Error, State};

    pub fn encode(results: &[SelfTestResult], out: &mut Encoder) {
        results.len().encode(out);
        results
            .iter()
            .for_each(|result| out.put_bytes(&result.encode()));
    }

    pub fn decode(results: &mut Vec<SelfTestResult>, from: &mut Decoder<'_>) -> Result<(), Error> {
        results.clear();
        for _ in 0..from.take_below(super::SELF_TEST_RESULTS as u64 + 1)? {
            let bytes = from.take_bytes(SELF_TEST_RESULT_BYTES)?.first_chunk();
            let result = bytes.and_then(SelfTestResult::decode);
            results.push(result.ok_or_else(|| Error::new("a result of no self-test"))?);
        }
        Ok(())
    }
}

impl SelfTest {
    pub(crate) fn new() -> Self {
        Self {
            running: None,
            results: Vec::with_capacity(SELF_TEST_RESULTS),
        }
    }

    fn check(&mut self) -> Result<(), Error> {
        let is_ended = self
            .running
            .is_some_and(|test| test.was_reset && test.is_extended);
        ensure!(!is_ended, "a reset has ended an extended self-test");
        Ok(())
    }

    /// A controller reset.
    pub(crate) fn reset(&mut self) {
        if let Some(test) = self.running.as_mut().filter(|test| !test.is_extended) {
            test.was_reset = true;
        }
    }

    /// Ends the test in progress, if it is about a namespace that is `concerned`.
    pub(crate) fn end(
        &mut self,
        outcome: SelfTestOutcome,
        now: Instant,
        concerned: impl FnOnce(u32) -> bool,
    ) {
        if let Some(test) = self.running.take_if(|test| concerned(test.nsid)) {
            self.push(test, outcome, now);
        }
    }

    fn push(&mut self, test: Running, outcome: SelfTestOutcome, now: Instant) {
        if self.results.len() == SELF_TEST_RESULTS {
            self.results.remove(0);
        }
        self.results.push(SelfTestResult {
            code: test.code(),
            outcome,
            segment: match outcome {
                SelfTestOutcome::FailedSegment => SMART_SEGMENT,
                _ => 0,
            },
            power_on_hours: hours(now),
            nsid: (test.nsid != 0).then_some(test.nsid),
        });
    }
}

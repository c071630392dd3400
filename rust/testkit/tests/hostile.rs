// SPDX-License-Identifier: GPL-2.0-or-later
//! The fuzz targets, on random bytes. `PROPTEST_CASES` sets how many.

use proptest::prelude::*;
use testkit::fuzz;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..1500)
}

proptest! {
    #[test]
    fn registers(data in bytes()) {
        fuzz::registers(&data);
    }

    #[test]
    fn commands(data in bytes()) {
        fuzz::commands(&data);
    }

    #[test]
    fn admin(data in bytes()) {
        fuzz::admin(&data);
    }

    #[test]
    fn data_pointers(data in bytes()) {
        fuzz::data_pointers(&data);
    }

    #[test]
    fn queues(data in bytes()) {
        fuzz::queues(&data);
    }

    #[test]
    fn zones(data in bytes()) {
        fuzz::zones(&data);
    }
}

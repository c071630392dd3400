// SPDX-License-Identifier: GPL-2.0-or-later
//! The same for many things, on several threads.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// One for each processor.
#[must_use]
pub fn all() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What `one` makes of each of the items, in their order. Each thread takes the next item that nobody has: some take a
/// thousand times as long as others. After an error no more are begun.
///
/// # Errors
/// That of the first item, in their order, that was begun and failed.
pub fn each<T: Sync, R: Send, E: Send>(
    threads: usize,
    items: &[T],
    one: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return done;
            };
            let result = one(item);
            if result.is_err() {
                next.fetch_max(items.len(), Ordering::Relaxed);
            }
            done.push((at, result));
        }
    };
    let mut done = thread::scope(|scope| {
        let helpers = 1..threads.min(items.len());
        let helpers: Vec<_> = helpers.map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_are_in_order_and_threads_work_at_once() {
        let both = Barrier::new(2);
        let square = |number: &u64| -> Result<u64, ()> {
            both.wait();
            Ok(number * number)
        };
        assert_eq!(each(2, &[3, 1, 2, 5], square), Ok(vec![9, 1, 4, 25]));
        assert_eq!(each(8, &[], |()| Err::<(), _>(1)), Ok(vec![]));
    }

    #[test]
    fn an_error_ends_it() {
        let begun = AtomicUsize::new(0);
        let odd = |number: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if number % 2 == 1 {
                Ok(())
            } else {
                Err(*number)
            }
        };
        assert_eq!(each(1, &[1, 3, 4, 5, 6], odd), Err(4));
        assert_eq!(begun.into_inner(), 3);
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Media of an image in memory; whoever reaches beyond it is stopped.

use core::ops::Range;
use image::Bytes;

pub struct Memory<M>(pub M);

impl<M: AsMut<[u8]>> Bytes for Memory<M> {
    fn read(&mut self, at: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0.as_mut()[at as usize..][..into.len()]);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.0.as_mut()[at as usize..][..from.len()].copy_from_slice(from);
    }

    fn discard(&mut self, bytes: Range<u64>) {
        self.0.as_mut()[bytes.start as usize..bytes.end as usize].fill(0);
    }
}

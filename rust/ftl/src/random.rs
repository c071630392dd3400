// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers that follow from a seed, for choices that are the same in every run.

/// The generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): any seed will do, two near each
/// other too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random {
    last: u64,
}

state::state!(Random { last[raw] });

impl Random {
    /// The generator of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { last: seed }
    }

    /// The next number.
    pub const fn draw(&mut self) -> u64 {
        self.last = self.last.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.last;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        let drawn = [random.draw(), random.draw(), random.draw()];
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, published);
    }
}

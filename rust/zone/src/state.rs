// SPDX-License-Identifier: GPL-2.0-or-later
//! Zone states.

/// A zone's state (ZNS 1.1, section 2.1.1.3, figure 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No data; uses no resource.
    #[default]
    Empty,
    /// Opened by a write; an open and an active resource.
    ImplicitlyOpen,
    /// Opened by a command; an open and an active resource.
    ExplicitlyOpen,
    /// Has data and an active resource, but no open one.
    Closed,
    /// Cannot be written until reset.
    Full,
    /// Can be read only, for good.
    ReadOnly,
    /// Cannot be used any more.
    Offline,
}

state::state_enum!(State {
    Empty = 0,
    ImplicitlyOpen = 1,
    ExplicitlyOpen = 2,
    Closed = 3,
    Full = 4,
    ReadOnly = 5,
    Offline = 6,
});

impl State {
    /// Every state.
    pub const ALL: [Self; 7] = [
        Self::Empty,
        Self::ImplicitlyOpen,
        Self::ExplicitlyOpen,
        Self::Closed,
        Self::Full,
        Self::ReadOnly,
        Self::Offline,
    ];

    /// Whether it takes an open resource.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::ImplicitlyOpen | Self::ExplicitlyOpen)
    }

    /// Whether it takes an active resource.
    #[must_use]
    pub const fn is_active(self) -> bool {
        self.is_open() || matches!(self, Self::Closed)
    }

    /// Whether the write pointer means anything.
    #[must_use]
    pub const fn has_write_pointer(self) -> bool {
        !matches!(self, Self::Full | Self::ReadOnly | Self::Offline)
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn states_say_what_they_take_and_what_their_pointer_means() {
        let said = State::ALL.map(|s| (s.is_open(), s.is_active(), s.has_write_pointer()));
        assert_eq!(
            said,
            [
                (false, false, true),
                (true, true, true),
                (true, true, true),
                (false, true, true),
                (false, false, false),
                (false, false, false),
                (false, false, false),
            ]
        );
    }
}

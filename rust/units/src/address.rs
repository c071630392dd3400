// SPDX-License-Identifier: GPL-2.0-or-later
//! Addresses and identifiers: each index space has a type of its own.

use core::fmt;

macro_rules! index_newtype {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name($int);

        impl $name {
            /// Wraps the raw number.
            #[must_use]
            pub const fn new(raw: $int) -> Self {
                Self(raw)
            }

            /// The raw number.
            #[must_use]
            pub const fn get(self) -> $int {
                self.0
            }

            /// The index `n` further on, or `None` past the end of the number's range.
            #[must_use]
            pub const fn checked_add(self, n: $int) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

index_newtype!(
    /// Address within a namespace in sectors of 512 bytes, whatever its LBA size.
    Sector(u64)
);
index_newtype!(
    /// Logical page number within a namespace: a 4 KiB unit of the logical-to-physical map.
    Lpn(u64)
);
index_newtype!(
    /// Zone number within a zoned namespace, from 0.
    ZoneId(u32)
);
index_newtype!(
    /// Namespace identifier as on the wire: 1-based, 0 and FFFFFFFFh are special.
    Nsid(u32)
);
index_newtype!(
    /// Submission or completion queue identifier; 0 is the admin queue.
    QueueId(u16)
);
index_newtype!(
    /// Address in the guest's physical (or IOMMU-translated) memory.
    GuestAddr(u64)
);

// SPDX-License-Identifier: GPL-2.0-or-later
//! Little-endian fields at the offsets of large structures.

/// An enum of wire values, with conversion both ways.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident: $int:ty { $($(#[$vmeta:meta])* $variant:ident = $value:expr,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr($int)]
        pub enum $name {
            $($(#[$vmeta])* $variant = $value,)+
        }

        impl $name {
            /// All values, in the order of the specification's table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The meaning of a wire value, `None` if it has none here.
            #[must_use]
            pub const fn from_wire(value: $int) -> Option<Self> {
                $(if value == $value {
                    return Some(Self::$variant);
                })+
                None
            }

            /// The wire value.
            #[must_use]
            pub const fn wire(self) -> $int {
                self as $int
            }
        }
    };
}
pub(crate) use wire_enum;

/// Puts `bytes` at `offset`; what falls outside the page is dropped (offsets are constants that the
/// tests exercise).
pub(crate) fn put(page: &mut [u8], offset: usize, bytes: &[u8]) {
    let target = offset
        .checked_add(bytes.len())
        .and_then(|end| page.get_mut(offset..end));
    debug_assert!(target.is_some(), "field at {offset} is outside its page");
    if let Some(target) = target {
        target.copy_from_slice(bytes);
    }
}

/// The little-endian number of `N` bytes at `offset`, zero-extended; zero outside the page.
pub(crate) fn get<const N: usize>(page: &[u8], offset: usize) -> [u8; N] {
    offset
        .checked_add(N)
        .and_then(|end| page.get(offset..end))
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or([0; N])
}

/// ASCII text, padded with spaces to the field's width.
pub(crate) fn put_text(page: &mut [u8], offset: usize, width: usize, text: &str) {
    let padded = text.bytes().chain(core::iter::repeat(b' ')).take(width);
    for (i, byte) in padded.enumerate() {
        put(page, offset.saturating_add(i), &[byte]);
    }
}

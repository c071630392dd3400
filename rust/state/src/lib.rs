// SPDX-License-Identifier: GPL-2.0-or-later
//! What a drive's state is, said once for each struct that has some.
//!
//! ```text
//!   state!(Buffers { list[fixed]; capacity, policy, dwell, held } => Buffers::restore);
//!                    state         configuration and derived        rebuilds what is derived
//!
//!   encode:  object -> bytes             decode:  bytes -> object freshly built from the same
//!   digest:  object -> 64 bits                    configuration, in place
//! ```
//! The macro takes the struct apart, so a field that is forgotten does not compile. What follows from the
//! configuration, and what follows from the rest, is neither written nor trusted.
//!
//! The form: numbers in groups of seven bits, the lowest first (LEB128), without leading zero groups; a
//! list whose length the configuration gives as runs of equal elements; any other list as length and
//! elements. Numbers reach 2^62, which no count or instant does, so that sums of two cannot overflow;
//! words that use all their bits are marked `raw`.
//!
//! A stream may come from anywhere. Decoding it takes time and memory in proportion to the stream
//! and the object, and ends with an error of one line or with an object whose own checks have passed.
//!
//! Not here: a header (`ssd` writes that), versions of a struct (a stream is for one version), files.

#![forbid(unsafe_code)]

mod check;
mod code;
mod error;
mod lists;
mod maps;
mod values;

pub use code::{Decoder, Encoder};
pub use error::Error;
pub use lists::{Fixed, Raw};
pub use maps::{decode_runs, encode_runs, numbers, sparse};

/// Something that has state.
pub trait State {
    /// Appends the state.
    fn encode(&self, out: &mut Encoder);

    /// Takes the state over, into an object freshly built from the same configuration. After an error
    /// the object is good for nothing.
    ///
    /// # Errors
    /// The stream ends, has a number out of its range, or makes an object that does not agree
    /// with itself.
    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error>;
}

/// The state of an object.
#[must_use]
pub fn encode(of: &(impl State + ?Sized)) -> Vec<u8> {
    let mut out = Encoder::new();
    of.encode(&mut out);
    out.into_bytes()
}

/// Takes over all of `bytes`.
///
/// # Errors
/// As [`State::decode`]; or something is left over.
pub fn decode(into: &mut (impl State + ?Sized), bytes: &[u8]) -> Result<(), Error> {
    let mut from = Decoder::new(bytes);
    into.decode(&mut from)?;
    from.end()
}

/// A number for the state: equal ones have the same.
#[must_use]
pub fn digest(of: &(impl State + ?Sized)) -> u64 {
    digest_of(&encode(of))
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): finds accidents, not forgeries.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Says what the state of a struct is: `state!(Type { a, b[fixed], c[raw]; rest, of, fields })`.
///
/// `[fixed]` is a list, or an option, whose length the configuration gives; `[raw]` a word that
/// uses all its bits; any other name is a module in scope with functions `encode` and `decode`, such as
/// [`numbers`] and [`sparse`]. What comes after `;` is not state. `=> method` is called after decoding, to
/// rebuild and to check: `fn(&mut self) -> Result<(), state::Error>`.
#[macro_export]
macro_rules! state {
    (
        $name:ident $(<const $param:ident: $of:ty>)? {
            $($field:ident $([$how:ident])?),* $(,)? $(; $($rest:ident),* $(,)?)?
        } $(=> $restore:ident)?
    ) => {
        impl $(<const $param: $of>)? $crate::State for $name $(<$param>)? {
            fn encode(&self, out: &mut $crate::Encoder) {
                let Self { $($field,)* $($($rest: _,)*)? } = self;
                $($crate::state!(@encode $field, out $(, $how)?);)*
                let _ = out;
            }

            fn decode(&mut self, from: &mut $crate::Decoder<'_>) -> Result<(), $crate::Error> {
                let Self { $($field,)* $($($rest: _,)*)? } = self;
                $($crate::state!(@decode $field, from $(, $how)?)
                    .map_err(|e| e.within(concat!(stringify!($name), ".", stringify!($field))))?;)*
                let _ = from;
                $(self.$restore().map_err(|e| e.within(stringify!($name)))?;)?
                Ok(())
            }
        }
    };
    (@encode $field:ident, $out:ident) => { $crate::State::encode($field, $out) };
    (@encode $field:ident, $out:ident, fixed) => { $crate::Fixed::encode_fixed($field, $out) };
    (@encode $field:ident, $out:ident, raw) => { $crate::Raw::encode_raw($field, $out) };
    (@encode $field:ident, $out:ident, $how:ident) => { $how::encode($field, $out) };
    (@decode $field:ident, $from:ident) => { $crate::State::decode($field, $from) };
    (@decode $field:ident, $from:ident, fixed) => { $crate::Fixed::decode_fixed($field, $from) };
    (@decode $field:ident, $from:ident, raw) => { $crate::Raw::decode_raw($field, $from) };
    (@decode $field:ident, $from:ident, $how:ident) => { $how::decode($field, $from) };
}

/// Says how an enum is written: `state_enum!(Type { A = 0, B { x, y } = 1, C(z) = 2 })`. A variant
/// that is forgotten does not compile.
#[macro_export]
macro_rules! state_enum {
    (
        $name:ident {
            $($variant:ident $({ $($field:ident),* })? $(($($item:ident),*))? = $tag:literal),* $(,)?
        }
    ) => {
        impl $crate::State for $name {
            fn encode(&self, out: &mut $crate::Encoder) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($($item),*))? => {
                        out.put($tag);
                        $($($crate::State::encode($field, out);)*)?
                        $($($crate::State::encode($item, out);)*)?
                    })*
                }
            }

            fn decode(&mut self, from: &mut $crate::Decoder<'_>) -> Result<(), $crate::Error> {
                *self = match from.take()? {
                    $($tag => {
                        $($(let mut $field = Default::default();
                        $crate::State::decode(&mut $field, from)?;)*)?
                        $($(let mut $item = Default::default();
                        $crate::State::decode(&mut $item, from)?;)*)?
                        Self::$variant $({ $($field),* })? $(($($item),*))?
                    })*
                    other => {
                        return Err($crate::Error::new(format!(
                            concat!("{} is no ", stringify!($name)), other
                        )));
                    }
                };
                Ok(())
            }
        }
    };
}

#[cfg(test)]
mod tests;

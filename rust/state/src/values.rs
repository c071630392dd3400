// SPDX-License-Identifier: GPL-2.0-or-later
//! Numbers and the newtypes of `units`.

use crate::{Decoder, Encoder, Error, Raw, State};
use units::{Bytes, GuestAddr, Instant, Nanos, Nsid, QueueId, Sector, ZoneId};

macro_rules! unsigned {
    ($($int:ty),*) => {$(
        impl State for $int {
            fn encode(&self, out: &mut Encoder) {
                out.put(u64::from(*self));
            }

            fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
                let n = from.take()?;
                *self = <$int>::try_from(n)
                    .map_err(|_| Error::new(format!("{n} is larger than {}", <$int>::MAX)))?;
                Ok(())
            }
        }
    )*};
}

unsigned!(u8, u16, u32, u64);

impl State for usize {
    fn encode(&self, out: &mut Encoder) {
        out.put(*self as u64);
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        let n = from.take()?;
        *self = Self::try_from(n).map_err(|_| Error::new(format!("{n} is too large")))?;
        Ok(())
    }
}

impl State for bool {
    fn encode(&self, out: &mut Encoder) {
        out.put(u64::from(*self));
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        *self = from.take_below(2)? == 1;
        Ok(())
    }
}

macro_rules! newtypes {
    ($($name:ident($of:ty): $new:ident, $get:ident;)*) => {$(
        impl State for $name {
            fn encode(&self, out: &mut Encoder) {
                self.$get().encode(out);
            }

            fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
                let mut n: $of = 0;
                n.decode(from)?;
                *self = $name::$new(n);
                Ok(())
            }
        }
    )*};
}

newtypes! {
    Instant(u64): from_nanos, as_nanos;
    Nanos(u64): new, get;
    Bytes(u64): new, get;
    Sector(u64): new, get;
    ZoneId(u32): new, get;
    Nsid(u32): new, get;
    QueueId(u16): new, get;
}

impl Raw for u64 {
    fn encode_raw(&self, out: &mut Encoder) {
        out.put(*self);
    }

    fn decode_raw(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        *self = from.take_raw()?;
        Ok(())
    }
}

/// The guest's addresses are as large as it likes.
impl State for GuestAddr {
    fn encode(&self, out: &mut Encoder) {
        out.put(self.get());
    }

    fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Error> {
        *self = Self::new(from.take_raw()?);
        Ok(())
    }
}

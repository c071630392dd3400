// SPDX-License-Identifier: GPL-2.0-or-later

use crate::{decode, digest, encode, ensure, ensure_eq, Decoder, Encoder, Error};
use proptest::prelude::*;
use std::collections::VecDeque;
use units::{Instant, Nanos};

#[derive(Clone, Debug, Default, PartialEq)]
enum Shape {
    #[default]
    None,
    Dot(u8),
    Line {
        from: u32,
        to: u32,
    },
}

state_enum!(Shape { None = 0, Dot(x) = 1, Line { from, to } = 2 });

#[derive(Clone, Debug, PartialEq)]
struct Part {
    size: usize,
    cells: Vec<u32>,
    shapes: VecDeque<Shape>,
    seed: u64,
    at: Option<Instant>,
    sum: u64,
}

state!(Part { cells[fixed], shapes, seed[raw], at; size, sum } => restore);

impl Part {
    fn new(size: usize) -> Self {
        Self {
            size,
            cells: vec![0; size],
            shapes: VecDeque::new(),
            seed: 0,
            at: None,
            sum: 0,
        }
    }

    fn restore(&mut self) -> Result<(), Error> {
        ensure!(self.shapes.len() <= 8, "{} shapes", self.shapes.len());
        self.sum = self.cells.iter().map(|c| u64::from(*c)).sum();
        Ok(())
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::None),
        any::<u8>().prop_map(Shape::Dot),
        any::<(u32, u32)>().prop_map(|(from, to)| Shape::Line { from, to }),
    ]
}

proptest! {
    #[test]
    fn what_is_decoded_is_what_was_encoded(
        cells in prop::collection::vec(0u32..3, 0..40),
        shapes in prop::collection::vec_deque(shape(), 0..8),
        seed: u64,
        at in prop::option::of(0u64..1 << 62),
    ) {
        let mut part = Part { size: cells.len(), cells, shapes, seed, sum: 0, at: at.map(Instant::from_nanos) };
        part.restore().unwrap();
        let bytes = encode(&part);
        let mut other = Part::new(part.size);
        prop_assert_eq!(decode(&mut other, &bytes), Ok(()));
        prop_assert_eq!(&other, &part);
        prop_assert_eq!(digest(&other), digest(&part));
        // Cut short anywhere, it is refused; so is more of it.
        for end in 0..bytes.len() {
            prop_assert!(decode(&mut Part::new(part.size), &bytes[..end]).is_err());
        }
        let more = [&bytes[..], &[0]].concat();
        prop_assert!(decode(&mut Part::new(part.size), &more).is_err());
        let mut larger = Part::new(part.size + 1);
        prop_assert!(decode(&mut larger, &bytes).is_err());
    }

    #[test]
    fn any_bytes_are_refused_or_are_the_only_ones_for_their_state(
        bytes in prop::collection::vec(prop_oneof![0u8..6, any::<u8>()], 0..60),
    ) {
        let mut part = Part::new(5);
        if decode(&mut part, &bytes).is_ok() {
            let mut again = Part::new(5);
            prop_assert_eq!(decode(&mut again, &encode(&part)), Ok(()));
            prop_assert_eq!(again, part);
        }
    }

    #[test]
    fn maps_and_lists_are_runs(words in prop::collection::vec((1u32..9, 1usize..5), 0..40)) {
        let mut map: Vec<u32> = Vec::new();
        for (first, n) in words {
            map.extend((first - 1..).take(n).map(|w| if first == 3 { 0 } else { w }));
        }
        let mut out = Encoder::new();
        crate::sparse::encode(&map, &mut out);
        crate::numbers::encode(&map, &mut out);
        let bytes = out.into_bytes();
        let mut from = Decoder::new(&bytes);
        let mut other = vec![0; map.len()];
        prop_assert_eq!(crate::sparse::decode(&mut other, &mut from), Ok(()));
        prop_assert_eq!(&other, &map);
        let mut other = VecDeque::new();
        prop_assert_eq!(crate::numbers::decode(&mut other, &mut from), Ok(()));
        prop_assert_eq!(other, map);
        prop_assert_eq!(from.end(), Ok(()));
    }

    #[test]
    fn steps_go_anywhere(from: u64, to in 0..u64::MAX) {
        let mut out = Encoder::new();
        out.put_step(from, to);
        prop_assert_eq!(Decoder::new(&out.into_bytes()).take_step(from, u64::MAX), Ok(to));
    }
}

#[test]
fn equal_elements_of_a_fixed_list_are_written_once() {
    let mut part = Part::new(1 << 20);
    assert!(encode(&part).len() < 20);
    part.cells[7] = 1;
    assert!(encode(&part).len() < 30);
}

#[test]
fn numbers_have_one_form_and_a_limit() {
    let take = |bytes: &[u8]| Decoder::new(bytes).take();
    assert_eq!(take(&[0x80, 0x01]), Ok(128));
    assert!(take(&[0x80, 0x00]).is_err() && take(&[0x80]).is_err());
    let largest = [0xff; 8].into_iter().chain([0x3f]).collect::<Vec<_>>();
    assert_eq!(take(&largest), Ok((1 << 62) - 1));
    assert!(take(&[0xff; 11]).is_err());
    let mut nanos = Nanos::ZERO;
    assert!(decode(&mut nanos, &encode(&Nanos::new(1 << 62))).is_err());
}

#[test]
fn lists_do_not_grow_out_of_proportion() {
    // A million lists, all equal, of as many elements as the stream has bytes.
    let lists = vec![vec![0u64; 4000]; 1000];
    struct Lists(Vec<Vec<u64>>);
    impl Lists {
        fn decode(bytes: &[u8]) -> Result<(), Error> {
            let mut lists = Self(vec![Vec::new(); 1000]);
            crate::Fixed::decode_fixed(&mut lists.0, &mut Decoder::new(bytes))
        }
    }
    let mut out = Encoder::new();
    crate::Fixed::encode_fixed(&lists, &mut out);
    let error = Lists::decode(&out.into_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "lists are too long");
}

#[test]
fn errors_say_where() {
    fn check(n: u32) -> Result<(), Error> {
        ensure!(n < 3);
        ensure_eq!(n, 2);
        ensure_eq!(n, 3, "the number of {}", "things");
        Ok(())
    }
    assert_eq!(check(3).unwrap_err().to_string(), "not so: n < 3");
    assert_eq!(check(1).unwrap_err().to_string(), "n is 1, not 2");
    let error = check(2).unwrap_err();
    assert_eq!(error.to_string(), "the number of things: 2, not 3");
    let error = decode(&mut Part::new(2), &[2, 2, 9, 1, 5]).unwrap_err();
    assert_eq!(error.to_string(), "Part.shapes: 5 is no Shape");
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! The table as Parquet, plain and without compression: whole numbers, doubles and texts, null where there is none.
//!
//! ```text
//! PAR1 | column | column | ... | footer | its length | PAR1          column: pages of some thousand rows
//!                                                                   page:   header, which rows have a value, the values
//! ```
//! Headers and footer are structs of Thrift's compact protocol. (The format: apache/parquet-format, README.md, Encodings.md
//! and parquet.thrift, whose numbers of fields and enums stand here.) A writer of a few types is shorter than what a library
//! of all of them costs in the Python module.

use super::table::{Table, Values};

const MAGIC: &[u8] = b"PAR1";
/// Rows of a page: its length is an i32.
const PAGE: usize = 10_000;

/// `Type`, `Encoding` and `FieldRepetitionType`.
const INT64: i64 = 2;
const DOUBLE: i64 = 5;
const BYTE_ARRAY: i64 = 6;
const PLAIN: i64 = 0;
const RLE: i64 = 3;
const OPTIONAL: i64 = 1;

/// The file.
#[must_use]
pub fn parquet(table: &Table) -> Vec<u8> {
    in_pages(table, PAGE)
}

fn in_pages(table: &Table, rows_of_page: usize) -> Vec<u8> {
    let columns: Vec<(&str, Values)> = table.values().collect();
    let rows = table.rows();
    let mut file = MAGIC.to_vec();
    let mut chunks = Vec::new();
    for (_, values) in &columns {
        let begin = file.len();
        for first in (0..rows).step_by(rows_of_page) {
            page(&mut file, values, first..rows.min(first + rows_of_page));
        }
        chunks.push((begin, file.len() - begin));
    }
    let footer = footer(&columns, &chunks, rows);
    file.extend_from_slice(&footer);
    // A footer of 4 GiB would have as many columns as a plan cannot have.
    file.extend_from_slice(&(footer.len() as u32).to_le_bytes());
    file.extend_from_slice(MAGIC);
    file
}

fn page(file: &mut Vec<u8>, values: &Values, rows: std::ops::Range<usize>) {
    let number = rows.len();
    let mut body = Vec::new();
    match values {
        Values::Int(cells) => body_of(&mut body, &cells[rows], |out, cell| {
            out.extend_from_slice(&cell.to_le_bytes());
        }),
        Values::Float(cells) => body_of(&mut body, &cells[rows], |out, cell| {
            out.extend_from_slice(&cell.to_le_bytes());
        }),
        Values::Text(cells) => body_of(&mut body, &cells[rows], |out, cell| {
            out.extend_from_slice(&(cell.len() as u32).to_le_bytes());
            out.extend_from_slice(cell.as_bytes());
        }),
    }
    let header = Struct::new()
        .int(1, 0) // a data page
        .int(2, body.len() as i64)
        .int(3, body.len() as i64)
        .inner(
            5,
            Struct::new()
                .int(1, number as i64)
                .int(2, PLAIN)
                .int(3, RLE)
                .int(4, RLE),
        );
    file.extend(header.end());
    file.extend(body);
}

/// Which cells have a value, as runs, after the runs' length; and the values.
fn body_of<T>(body: &mut Vec<u8>, cells: &[Option<T>], put: impl Fn(&mut Vec<u8>, &T)) {
    let mut runs = Vec::new();
    for run in cells.chunk_by(|a, b| a.is_some() == b.is_some()) {
        varint(&mut runs, (run.len() as u64) << 1);
        runs.push(run.first().is_some_and(Option::is_some).into());
    }
    body.extend_from_slice(&(runs.len() as u32).to_le_bytes());
    body.extend(runs);
    for cell in cells.iter().flatten() {
        put(body, cell);
    }
}

/// `FileMetaData`; `chunks` are where the columns' pages are, and how long.
fn footer(columns: &[(&str, Values)], chunks: &[(usize, usize)], rows: usize) -> Vec<u8> {
    let root = Struct::new().text(4, "sweep").int(5, columns.len() as i64);
    let mut schema = vec![root];
    let mut metadata = Vec::new();
    for ((name, values), (begin, length)) in columns.iter().zip(chunks) {
        let kind = match values {
            Values::Int(_) => INT64,
            Values::Float(_) => DOUBLE,
            Values::Text(_) => BYTE_ARRAY,
        };
        let element = Struct::new().int(1, kind).int(3, OPTIONAL).text(4, name);
        schema.push(match values {
            // UTF8, and the same as a logical type.
            Values::Text(_) => element
                .int(6, 0)
                .inner(10, Struct::new().inner(1, Struct::new())),
            _ => element,
        });
        let column = Struct::new()
            .int(1, kind)
            .list(2, INT, &[zigzag(PLAIN), zigzag(RLE)])
            .list(3, BINARY, &[binary(name)])
            .int(4, 0) // no compression
            .long(5, rows)
            .long(6, *length)
            .long(7, *length)
            .long(9, *begin);
        metadata.push(Struct::new().long(2, *begin).inner(3, column));
    }
    let bytes = chunks.iter().map(|(_, length)| length).sum();
    let group = Struct::new()
        .structs(1, metadata)
        .long(2, bytes)
        .long(3, rows);
    Struct::new()
        .int(1, 1)
        .structs(2, schema)
        .long(3, rows)
        .structs(4, if rows > 0 { vec![group] } else { Vec::new() })
        .text(6, concat!("conzone version ", env!("CARGO_PKG_VERSION")))
        .end()
}

/// Types of the compact protocol.
const INT: u8 = 5;
const LONG: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// A struct in the compact protocol; fields are given in the order of their numbers.
struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn new() -> Self {
        Self {
            bytes: Vec::new(),
            last: 0,
        }
    }

    fn field(mut self, number: u8, kind: u8, bytes: &[u8]) -> Self {
        self.bytes.push((number - self.last) << 4 | kind);
        self.bytes.extend_from_slice(bytes);
        self.last = number;
        self
    }

    fn int(self, number: u8, value: i64) -> Self {
        self.field(number, INT, &zigzag(value))
    }

    fn long(self, number: u8, value: usize) -> Self {
        self.field(number, LONG, &zigzag(value as i64))
    }

    fn text(self, number: u8, text: &str) -> Self {
        self.field(number, BINARY, &binary(text))
    }

    fn inner(self, number: u8, inner: Self) -> Self {
        self.field(number, STRUCT, &inner.end())
    }

    fn list(self, number: u8, kind: u8, items: &[Vec<u8>]) -> Self {
        let length = items.len();
        let mut bytes = match u8::try_from(length) {
            Ok(short @ 0..15) => vec![short << 4 | kind],
            _ => {
                let mut bytes = vec![0xF0 | kind];
                varint(&mut bytes, length as u64);
                bytes
            }
        };
        bytes.extend(items.concat());
        self.field(number, LIST, &bytes)
    }

    fn structs(self, number: u8, items: Vec<Self>) -> Self {
        let items: Vec<_> = items.into_iter().map(Self::end).collect();
        self.list(number, STRUCT, &items)
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, ((value << 1) ^ (value >> 63)) as u64);
    out
}

fn binary(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::table;
    use super::*;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;

    #[test]
    fn parquet_holds_the_same_with_types() {
        holds(parquet(&table()));
    }

    #[test]
    fn a_column_has_several_pages() {
        let whole = in_pages(&table(), 2);
        assert_ne!(whole, parquet(&table()));
        holds(whole);
    }

    fn holds(file: Vec<u8>) {
        let bytes = bytes::Bytes::from(file);
        let reader = SerializedFileReader::new(bytes).unwrap();
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows.len(), 3);
        let fields = |row: usize| -> Vec<Field> {
            rows[row]
                .get_column_iter()
                .map(|(_, field)| field.clone())
                .collect()
        };
        let text = |text: &str| Field::Str(text.into());
        assert_eq!(
            fields(0),
            [
                Field::Long(1),
                text("tlc-zoned"),
                text("256K"),
                text("w, x"),
                Field::Long(1),
                text("a"),
                Field::Null,
                Field::Long(7),
                Field::Double(0.1 + 0.2),
            ]
        );
        assert_eq!(
            fields(2)[6..],
            [text("no \"drive\""), Field::Null, Field::Null]
        );
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Comma-separated values: which column is what.

use std::io::BufRead;
use std::str::FromStr;

use units::{Instant, Nanos};

use super::{decimal, identity, operation, Format, Misread, Request, OPERATIONS};
use crate::parse::{bad, parse_u64, Problem};

const NS: u64 = 1;
const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;
/// Windows' file times.
const TICK: u64 = 100;
const SECTOR: u64 = 512;

/// A column: its place from 0, and how many ns or bytes its unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    place: usize,
    unit: u64,
}

const fn column(place: usize, unit: u64) -> Option<Column> {
    Some(Column { place, unit })
}

/// Where a file has what a request needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    time: Option<Column>,
    op: Option<Column>,
    offset: Option<Column>,
    length: Option<Column>,
    process: Option<Column>,
    device: Option<Column>,
    latency: Option<Column>,
    /// Times are those of completions.
    completions: bool,
}

/// A format that has no columns of the user's.
struct Known {
    format: Format,
    /// How many there are.
    count: usize,
    /// The operations that occur, to recognise the format by.
    operations: &'static [&'static str],
    columns: Columns,
}

/// The formats, from their publishers' descriptions.
const KNOWN: [Known; 5] = [
    // time (msec), value (nsec), direction, block size, offset, priority (fio's HOWTO, "Log File Formats")
    Known {
        format: Format::FioLat,
        count: 6,
        operations: &["0", "1", "2"],
        columns: Columns {
            time: column(0, MS),
            latency: column(1, NS),
            op: column(2, 1),
            length: column(3, 1),
            offset: column(4, 1),
            process: None,
            device: None,
            completions: true,
        },
    },
    // proces,device,rw_flag,sector,size,timestamp (acsl-technion/MobileBlockIOTraces)
    Known {
        format: Format::Pixel,
        count: 6,
        operations: &["R", "W"],
        columns: Columns {
            process: column(0, 1),
            device: column(1, 1),
            op: column(2, 1),
            offset: column(3, SECTOR),
            length: column(4, SECTOR),
            time: column(5, S),
            latency: None,
            completions: false,
        },
    },
    // Timestamp,Hostname,DiskNumber,Type,Offset,Size,ResponseTime (SNIA IOTTA 388)
    Known {
        format: Format::Msr,
        count: 7,
        operations: &["Read", "Write"],
        columns: Columns {
            time: column(0, TICK),
            process: None,
            device: column(2, 1),
            op: column(3, 1),
            offset: column(4, 1),
            length: column(5, 1),
            latency: column(6, TICK),
            completions: false,
        },
    },
    // device_id,opcode,offset,length,timestamp (alibaba/block-traces)
    Known {
        format: Format::Alibaba,
        count: 5,
        operations: &["R", "W"],
        columns: Columns {
            device: column(0, 1),
            op: column(1, 1),
            offset: column(2, 1),
            length: column(3, 1),
            time: column(4, US),
            process: None,
            latency: None,
            completions: false,
        },
    },
    // Timestamp,Offset,Size,IOType,VolumeID (SNIA IOTTA 27917)
    Known {
        format: Format::Tencent,
        count: 5,
        operations: &["0", "1"],
        columns: Columns {
            time: column(0, S),
            offset: column(1, SECTOR),
            length: column(2, SECTOR),
            op: column(3, 1),
            device: column(4, 1),
            process: None,
            latency: None,
            completions: false,
        },
    },
];

/// The columns of a known format.
pub fn known(format: Format) -> Option<Columns> {
    let found = KNOWN.into_iter().find(|known| known.format == format);
    found.map(|known| known.columns)
}

/// The format whose columns the first line with figures has.
pub fn recognise(head: &[u8]) -> Option<Format> {
    let lines = head.split(|byte| *byte == b'\n').take(3);
    let fits = |line: &[u8]| {
        let fields: Vec<&[u8]> = line
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .collect();
        let of = |column: Option<Column>| fields.get(column?.place).copied();
        let found = KNOWN.iter().find(|known| {
            let columns = &known.columns;
            let number = |column| of(column).is_some_and(|text| decimal(text, 1).is_some());
            let op = of(columns.op).unwrap_or_default();
            fields.len() == known.count
                && known.operations.iter().any(|known| known.as_bytes() == op)
                && [columns.time, columns.offset, columns.length]
                    .into_iter()
                    .all(number)
        });
        found.map(|known| known.format)
    };
    lines.into_iter().find_map(fits)
}

impl Columns {
    /// Columns as a user names them, and their units: `time,op,offset,length` and `us,-,B,B`. A column that does not
    /// matter is `-`; units that are not given are ns and bytes.
    ///
    /// # Errors
    /// One line that names what is unknown, twice there, or missing.
    pub fn parse(names: &str, units: Option<&str>) -> Result<Self, String> {
        let names: Vec<&str> = names.split(',').map(str::trim).collect();
        let units: Vec<&str> =
            units.map_or_else(Vec::new, |u| u.split(',').map(str::trim).collect());
        if !units.is_empty() && units.len() != names.len() {
            return Err(format!(
                "--unit has {} entries, --columns {}",
                units.len(),
                names.len()
            ));
        }
        let mut columns = Self::default();
        for (place, name) in names.into_iter().enumerate() {
            let unit = units.get(place).copied().unwrap_or("-");
            let (slot, unit) = match name {
                "-" => continue,
                "time" => (&mut columns.time, duration(unit)?),
                "op" => (&mut columns.op, plain(name, unit)?),
                "offset" => (&mut columns.offset, size(name, unit)?),
                "length" => (&mut columns.length, size(name, unit)?),
                "process" => (&mut columns.process, plain(name, unit)?),
                "device" => (&mut columns.device, plain(name, unit)?),
                "latency" => (&mut columns.latency, duration(unit)?),
                _ => {
                    return Err(format!(
                        "--columns: '{name}' is not one of time, op, offset, length, process, device, latency or -"
                    ))
                }
            };
            if slot.replace(Column { place, unit }).is_some() {
                return Err(format!("--columns: '{name}' is there twice"));
            }
        }
        let needed = [
            ("op", columns.op),
            ("offset", columns.offset),
            ("length", columns.length),
        ];
        match needed.into_iter().find(|(_, column)| column.is_none()) {
            Some((name, _)) => Err(format!("--columns: there is no '{name}'")),
            None => Ok(columns),
        }
    }
}

impl FromStr for Columns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, None)
    }
}

fn duration(unit: &str) -> Result<u64, String> {
    match unit {
        "-" | "ns" => Ok(NS),
        "us" => Ok(US),
        "ms" => Ok(MS),
        "s" => Ok(S),
        "100ns" => Ok(TICK),
        _ => Err(format!(
            "--unit: '{unit}' is not one of ns, 100ns, us, ms, s"
        )),
    }
}

fn size(name: &str, unit: &str) -> Result<u64, String> {
    match unit {
        "-" | "B" => Ok(1),
        "sector" => Ok(SECTOR),
        "K" => Ok(1 << 10),
        "4K" => Ok(4 << 10),
        _ => Err(format!(
            "--unit of {name}: '{unit}' is not one of B, sector, K, 4K"
        )),
    }
}

fn plain(name: &str, unit: &str) -> Result<u64, String> {
    match unit {
        "-" => Ok(1),
        _ => Err(format!("--unit of {name}: '{unit}': it has none, write -")),
    }
}

/// A file of comma-separated values.
pub struct Table {
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    record: csv::ByteRecord,
    columns: Columns,
    line: u64,
    begun: bool,
}

impl Table {
    pub fn new(input: Box<dyn BufRead + Send>, columns: Columns) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .quoting(false)
            .comment(Some(b'#'))
            // So the reader is on the next line when it has read one; what ends in CR LF is trimmed.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(input);
        Self {
            reader,
            record: csv::ByteRecord::new(),
            columns,
            line: 1,
            begun: false,
        }
    }

    pub const fn is_timed(&self) -> bool {
        self.columns.time.is_some()
    }

    pub const fn line(&self) -> u64 {
        self.line
    }

    pub fn next_request(&mut self) -> Result<Option<Request>, Misread> {
        loop {
            let more = self.reader.read_byte_record(&mut self.record);
            if !more.map_err(|error| (None, Problem::Io(error.into())))? {
                return Ok(None);
            }
            self.line = self.reader.position().line() - 1;
            let first = !std::mem::replace(&mut self.begun, true);
            if first && self.is_header() {
                continue;
            }
            if let Some(request) = self.request()? {
                return Ok(Some(request));
            }
        }
    }

    /// Titles have no digit where an offset stands.
    fn is_header(&self) -> bool {
        let offset = self.columns.offset.and_then(|c| self.record.get(c.place));
        offset.is_some_and(|text| !text.iter().any(u8::is_ascii_digit))
    }

    fn request(&self) -> Result<Option<Request>, Misread> {
        let columns = &self.columns;
        let text = self.text("op", columns.op)?;
        let read = operation(text);
        let read = read.map_err(|()| self.wrong(columns.op, bad("op", text, OPERATIONS)))?;
        let Some((kind, fua)) = read else {
            return Ok(None);
        };
        let at = match columns.time {
            Some(_) => self.number("time", columns.time)?,
            None => 0,
        };
        let latency = match columns.latency {
            Some(_) => Some(self.number("latency", columns.latency)?),
            None => None,
        };
        let at = match latency {
            Some(latency) if columns.completions => at.saturating_sub(latency),
            _ => at,
        };
        let name = |column: Option<Column>| {
            column.map_or(Ok(0), |_| self.text("name", column).map(identity))
        };
        Ok(Some(Request {
            at: Instant::from_nanos(at),
            kind,
            fua,
            offset: self.number("offset", columns.offset)?,
            length: self.number("length", columns.length)?,
            process: name(columns.process)?,
            device: name(columns.device)?,
            latency: latency.map(Nanos::new),
        }))
    }

    fn text(&self, field: &'static str, column: Option<Column>) -> Result<&[u8], Misread> {
        let text = column.and_then(|column| self.record.get(column.place));
        let text = text.map(<[u8]>::trim_ascii).filter(|text| !text.is_empty());
        text.ok_or_else(|| self.wrong(column, Problem::Missing { field }))
    }

    fn number(&self, field: &'static str, column: Option<Column>) -> Result<u64, Misread> {
        let text = self.text(field, column)?;
        let unit = column.map_or(1, |column| column.unit);
        // Most figures are whole.
        let whole = parse_u64(text).and_then(|n| n.checked_mul(unit));
        let expected = "a number, or it is too large";
        whole
            .or_else(|| decimal(text, unit))
            .ok_or_else(|| self.wrong(column, bad(field, text, expected)))
    }

    /// Where a column begins on its line, from 1; behind the last field if there is no such.
    fn wrong(&self, column: Option<Column>, problem: Problem) -> Misread {
        let place = column.map_or(0, |column| column.place);
        let begin = match self.record.range(place) {
            Some(range) => range.start + place + 1,
            None => self.record.as_slice().len() + self.record.len(),
        };
        (Some(begin as u64), problem)
    }
}

// SPDX-License-Identifier: GPL-2.0-or-later
//! Files, plain or compressed by their name; `-` is standard input or output.

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use flate2::Compression;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

const BUFFER_BYTES: usize = 64 << 10;

fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "gz")
}

/// Opens a file for reading; with what wraps the raw stream, for progress.
///
/// # Errors
/// The file system's.
pub fn open<W>(
    path: &Path,
    wrap: impl FnOnce(Box<dyn io::Read + Send>) -> W,
) -> io::Result<Box<dyn BufRead + Send>>
where
    W: io::Read + Send + 'static,
{
    let raw: Box<dyn io::Read + Send> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path)?)
    };
    let plain = BufReader::with_capacity(BUFFER_BYTES, wrap(raw));
    Ok(if is_gz(path) {
        let decoder = MultiGzDecoder::new(plain);
        Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
    } else {
        Box::new(plain)
    })
}

/// A file being written. [`Output::finish`] reports what a drop would swallow.
pub enum Output {
    /// As is.
    Plain(BufWriter<Box<dyn Write>>),
    /// Through gzip.
    Gz(Box<BufWriter<GzEncoder<Box<dyn Write>>>>),
}

/// Creates a file.
///
/// # Errors
/// The file system's.
pub fn create(path: &Path) -> io::Result<Output> {
    let raw: Box<dyn Write> = if path.as_os_str() == "-" {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(path)?)
    };
    Ok(if is_gz(path) {
        let encoder = GzEncoder::new(raw, Compression::fast());
        Output::Gz(Box::new(BufWriter::with_capacity(BUFFER_BYTES, encoder)))
    } else {
        Output::Plain(BufWriter::with_capacity(BUFFER_BYTES, raw))
    })
}

impl Output {
    /// Writes what is buffered and ends the file.
    ///
    /// # Errors
    /// The file system's.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut out) => out.flush(),
            Self::Gz(out) => out
                .into_inner()
                .map_err(io::IntoInnerError::into_error)?
                .finish()?
                .flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gz(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gz(out) => out.flush(),
        }
    }
}

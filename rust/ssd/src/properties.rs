// SPDX-License-Identifier: GPL-2.0-or-later
//! What a property is: its name, kind, bounds and defaults; and how its text is read.

use crate::error::ConfigError;
use core::fmt;
use units::Bytes;

/// The flash models there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// The consumer drive, zoned or not.
    Zms,
    /// The enterprise zoned drive.
    Zns,
    /// The conventional SSD.
    Conv,
    /// A few units that serve requests in turn.
    Simple,
}

impl ModelKind {
    /// All of them, in the order of [`ModelKind::NAMES`].
    pub const ALL: [Self; 4] = [Self::Zms, Self::Zns, Self::Conv, Self::Simple];
    /// Their names, as users write them.
    pub const NAMES: [&'static str; 4] = ["zms", "zns", "conv", "simple"];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

macro_rules! keys {
    ($($key:ident $name:literal,)*) => {
        /// Identifies a property; its position in [`PROPERTIES`](crate::PROPERTIES).
        #[allow(missing_docs, reason = "each is described by its row in the table")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Key { $($key,)* }

        /// The properties' names, in the order of [`Key`].
        pub(crate) const NAMES: &[&str] = &[$($name,)*];
    };
}

keys! {
    Preset "preset",
    Model "model",
    DataInterface "data-interface",
    Zones "zones",
    ZoneCapacity "zone-capacity",
    ZoneSize "zone-size",
    WriteUnit "write-unit",
    BlockDataSize "block-data-size",
    MetaSize "meta-size",
    LbaSize "lba-size",
    MaxOpen "max-open",
    MaxActive "max-active",
    ReadAcrossZones "read-across-zones",
    ZoneExtensionSize "zone-descriptor-extension-size",
    ZrwaSize "zrwa-size",
    ZrwaGranularity "zrwa-flush-granularity",
    ZrwaZones "zrwa-zones",
    Cell "cell",
    Channels "channels",
    LunsPerChannel "luns-per-channel",
    PlanesPerLun "planes-per-lun",
    Partitions "partitions",
    DiesPerZone "dies-per-zone",
    ZoneStagger "zone-stagger",
    FlashPageSize "flash-page-size",
    OneShotPageSize "one-shot-page-size",
    BlockSize "block-size",
    BlocksPerPlane "blocks-per-plane",
    ChannelBandwidth "channel-bandwidth",
    ChannelOverhead "channel-overhead-ns",
    ChannelCommand "channel-command-ns",
    ChannelTransfer "channel-transfer-size",
    PageRegister "page-register-size",
    ProgramSlice "program-slice-ns",
    ProgramWindow "program-window-ns",
    LinkBandwidth "link-bandwidth",
    SlcRead "slc-read-ns",
    MlcRead "mlc-read-ns",
    TlcRead "tlc-read-ns",
    QlcRead "qlc-read-ns",
    Read4k "read-4k-ns",
    SlcProgram "slc-program-ns",
    MlcProgram "mlc-program-ns",
    TlcProgram "tlc-program-ns",
    QlcProgram "qlc-program-ns",
    Erase "erase-ns",
    FwRead4k "fw-read-4k-ns",
    FwRead "fw-read-ns",
    FwAppend "fw-append-ns",
    Cores "cores",
    CoreRead "core-read-ns",
    CoreReadPage "core-read-page-ns",
    CoreWrite "core-write-ns",
    CoreWritePage "core-write-page-ns",
    CoreAppend "core-append-ns",
    CoreOpen "core-open-ns",
    CoreZone "core-zone-ns",
    CoreUnit "core-unit",
    CorePartial "core-partial-ns",
    CoreSubpage "core-subpage-ns",
    ReadAheadStreams "readahead-streams",
    ReadAheadTrigger "readahead-trigger",
    ReadAheadSize "readahead-size",
    WbufBase "wbuf-base-ns",
    WbufPage "wbuf-page-ns",
    WriteBufferSize "write-buffer-size",
    WriteBuffers "write-buffers",
    WbScope "wb-scope",
    MetaWriteBufferSize "meta-write-buffer-size",
    WbPolicy "wb-policy",
    WbDwell "wb-dwell-ns",
    EarlyCompletion "early-completion",
    SlcBypass "slc-bypass",
    SlcMap "slc-map",
    SlcSuperblocks "slc-superblocks",
    SlcDynamicShare "slc-dynamic-share",
    OverProvisioning "over-provisioning",
    GcThreshold "gc-threshold",
    MigrateThreshold "migrate-threshold",
    FoldIdle "fold-idle-ns",
    Suspend "suspend",
    SuspendTime "suspend-ns",
    ResumeTime "resume-ns",
    SuspendMax "suspend-max",
    MigrateYield "migrate-yield",
    L2pCacheSize "l2p-cache-size",
    L2pEntrySize "l2p-entry-size",
    L2pSlots "l2p-slots",
    L2pPolicy "l2p-policy",
    L2pSearch "l2p-search",
    L2pHybrid "l2p-hybrid",
    L2pResident "l2p-resident",
    L2pPreread "l2p-preread",
    ChunkSize "chunk-size",
    HmbSize "hmb-size",
    HmbMin "hmb-min",
    HmbRead "hmb-read-ns",
    ResetWait "reset-wait",
    ResetTime "reset-ns",
    ResetPage "reset-page-ns",
    FinishTime "finish-ns",
    FinishPads "finish-pads",
    IoUnits "io-units",
    IoUnitSize "io-unit-size",
    IoReadDelay "io-read-delay-ns",
    IoRead "io-read-ns",
    IoReadTrailing "io-read-trailing-ns",
    IoWriteDelay "io-write-delay-ns",
    IoWrite "io-write-ns",
    IoWriteTrailing "io-write-trailing-ns",
    Timing "timing",
    Seed "seed",
    SampleInterval "sample-interval-ns",
    Serial "serial",
    Mdts "mdts",
    QueueEntries "queue-entries",
    NumQueues "num-queues",
    ShadowDoorbells "shadow-doorbells",
    InterruptHold "interrupt-hold-ns",
    PowerCuts "power-cuts",
    TornProgram "torn-program",
    VendorCommands "vendor-commands",
    PowerStates "power-states",
    Apst "apst",
    Media "media",
    Memdev "memdev",
    MemmapStart "memmap-start",
    MemmapSize "memmap-size",
    Iothread "iothread",
    PollNs "poll-ns",
}

/// What a property's text means, and the bounds of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes, with an optional suffix K, M, G or T (powers of 1024).
    Size {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Nanoseconds of model time.
    Nanos {
        /// Largest value; the smallest is 0.
        max: u64,
    },
    /// Nanoseconds of model time: one figure, or one for each page of a wordline, joined by `/`.
    PageNanos {
        /// Largest value of each figure; the smallest is 0.
        max: u64,
    },
    /// MB (2^20 bytes) per second.
    Bandwidth {
        /// Largest value; the smallest is 1.
        max: u64,
    },
    /// A whole number.
    Count {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// Per cent.
    Percent {
        /// Largest value; the smallest is 0.
        max: u64,
    },
    /// `on` or `off`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Printable ASCII of at most this many characters.
    Text {
        /// Longest text.
        max_chars: usize,
    },
    /// The id of a QEMU object; the device itself resolves it.
    Object,
}

/// A property's value when the user sets none. Texts, read like the user's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// This text, for all presets that have no other.
    All(&'static str),
    /// Computed from other properties, for all presets that set none. The text says how; users may
    /// write `auto`.
    Auto(&'static str),
}

/// One row of the property table.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Identifies the row.
    pub key: Key,
    /// What the text means.
    pub kind: Kind,
    /// What the property is for, one line.
    pub doc: &'static str,
    /// The value when none is set.
    pub default: Default,
    /// Where the default comes from.
    pub source: &'static str,
    /// The models that it means something to.
    pub models: &'static [ModelKind],
}

/// A property's value, read and within its own bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Sizes, times, counts; 0 and 1 for `off` and `on`; the position of a choice.
    Number(u64),
    /// A time for each page type of a wordline, the first for page types that have none.
    PageNanos([u64; 4]),
    /// Texts and object ids.
    Text(String),
    /// To be computed from other properties.
    Auto,
}

impl Property {
    /// The row of a property that only these models have.
    pub(crate) const fn only(self, models: &'static [ModelKind]) -> Self {
        Self { models, ..self }
    }

    /// The property's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAMES[self.key as usize]
    }

    /// Whether it can be set while the drive is at work: times, and whether there are any.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.key {
            Key::Timing => true,
            // The iothread gets it when it is employed.
            Key::PollNs => false,
            _ => matches!(self.kind, Kind::Nanos { .. } | Kind::PageNanos { .. }),
        }
    }

    /// Whether it says where the host keeps and works the drive, not what it is.
    #[must_use]
    pub const fn is_of_the_host(&self) -> bool {
        matches!(
            self.key,
            Key::Media
                | Key::Memdev
                | Key::MemmapStart
                | Key::MemmapSize
                | Key::Iothread
                | Key::PollNs
        )
    }

    /// The unit of the value, empty if it has none.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        match self.kind {
            Kind::Size { .. } => "bytes",
            Kind::Nanos { .. } | Kind::PageNanos { .. } => "ns",
            Kind::Bandwidth { .. } => "MB/s",
            Kind::Percent { .. } => "%",
            _ => "",
        }
    }

    /// What the property takes: kind and bounds, as a noun phrase.
    #[must_use]
    pub fn expected(&self) -> String {
        let base = match self.kind {
            Kind::Size { min, max } => format!(
                "a size from {} to {} (suffixes K, M, G, T)",
                Bytes::new(min),
                Bytes::new(max)
            ),
            Kind::Nanos { max } => format!("a whole number of ns from 0 to {max}"),
            Kind::PageNanos { max } => format!(
                "a whole number of ns from 0 to {max}, or up to 4 of them (one per page of a wordline) joined by '/'"
            ),
            Kind::Bandwidth { max } => format!("a whole number of MB/s from 1 to {max}"),
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Percent { max } => format!("a whole number of per cent from 0 to {max}"),
            Kind::Bool => "on or off".to_string(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Text { max_chars } => {
                format!("at most {max_chars} printable ASCII characters")
            }
            Kind::Object => "the id of an object".to_string(),
        };
        match self.default {
            Default::Auto(_) => format!("auto or {base}"),
            _ => base,
        }
    }

    /// Reads a value.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, ConfigError> {
        self.parse_kind(text).ok_or_else(|| ConfigError::Value {
            name: self.name(),
            value: text.to_string(),
            expected: self.expected(),
        })
    }

    fn parse_kind(&self, text: &str) -> Option<Value> {
        if text == "auto" && matches!(self.default, Default::Auto(_)) {
            return Some(Value::Auto);
        }
        let number = |min: u64, max: u64| {
            let all_digits = text.bytes().all(|b| b.is_ascii_digit());
            let n: u64 = text.parse().ok().filter(|_| all_digits)?;
            (min..=max).contains(&n).then_some(Value::Number(n))
        };
        match self.kind {
            Kind::Size { min, max } => {
                let n = text.parse::<Bytes>().ok()?.get();
                (min..=max).contains(&n).then_some(Value::Number(n))
            }
            Kind::Nanos { max } | Kind::Percent { max } => number(0, max),
            Kind::PageNanos { max } => parse_page_nanos(text, max),
            Kind::Bandwidth { max } => number(1, max),
            Kind::Count { min, max } => number(min, max),
            Kind::Bool => match text {
                "on" | "true" | "yes" => Some(Value::Number(1)),
                "off" | "false" | "no" => Some(Value::Number(0)),
                _ => None,
            },
            Kind::Choice(words) => {
                let at = words.iter().position(|w| *w == text)?;
                u64::try_from(at).ok().map(Value::Number)
            }
            Kind::Text { max_chars } => {
                let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
                (printable && text.len() <= max_chars).then(|| Value::Text(text.to_string()))
            }
            Kind::Object => Some(Value::Text(text.to_string())),
        }
    }

    /// The text that reads back as `value`.
    pub(crate) fn show(&self, value: &Value) -> String {
        match (value, self.kind) {
            (Value::Number(n), Kind::Size { .. }) => show_size(*n),
            (Value::Number(n), Kind::Bool) => if *n == 0 { "off" } else { "on" }.to_string(),
            (Value::Number(n), Kind::Choice(words)) => usize::try_from(*n)
                .ok()
                .and_then(|at| words.get(at))
                .map_or_else(String::new, |w| (*w).to_string()),
            (Value::Number(n), _) => n.to_string(),
            (Value::PageNanos(times), _) => show_page_nanos(times),
            (Value::Text(text), _) => text.clone(),
            (Value::Auto, _) => "auto".to_string(),
        }
    }
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn parse_page_nanos(text: &str, max: u64) -> Option<Value> {
    let mut times = [0; 4];
    let mut last = 0;
    let mut parts = text.split('/');
    for time in &mut times {
        if let Some(part) = parts.next() {
            let digits = part.bytes().all(|b| b.is_ascii_digit());
            last = part.parse().ok().filter(|n| digits && *n <= max)?;
        }
        *time = last;
    }
    parts.next().is_none().then_some(Value::PageNanos(times))
}

/// Leaves out the repetitions that `parse_page_nanos` would add.
fn show_page_nanos(times: &[u64; 4]) -> String {
    let mut shown = times.len();
    while shown > 1 && times[shown - 1] == times[shown - 2] {
        shown -= 1;
    }
    let texts: Vec<String> = times[..shown].iter().map(u64::to_string).collect();
    texts.join("/")
}

/// The largest suffix that divides the size.
fn show_size(n: u64) -> String {
    for (shift, suffix) in [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')] {
        if n != 0 && n.trailing_zeros() >= shift {
            return format!("{}{suffix}", n >> shift);
        }
    }
    n.to_string()
}

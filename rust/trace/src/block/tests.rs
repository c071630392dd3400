// SPDX-License-Identifier: GPL-2.0-or-later
use std::io::BufReader;

use proptest::prelude::*;

use super::*;

fn open(text: &str, options: &Options) -> Result<Trace, String> {
    let input = Box::new(BufReader::new(Cursor::new(text.as_bytes().to_vec())));
    open_any(input, "t", options).map_err(|error| error.to_string())
}

fn read(text: &str, options: &Options) -> Result<(Format, Vec<Request>, Seen), String> {
    let Trace::Requests(mut requests) = open(text, options)? else {
        return Err("commands".into());
    };
    let mut all = Vec::new();
    while let Some(request) = requests.next_request().map_err(|e| e.to_string())? {
        all.push(request);
    }
    Ok((requests.format(), all, requests.seen()))
}

/// at in ns, kind, fua, offset, length.
type Short = (u64, Kind, bool, u64, u64);

fn short(requests: &[Request]) -> Vec<Short> {
    let short = |r: &Request| (r.at.as_nanos(), r.kind, r.fua, r.offset, r.length);
    requests.iter().map(short).collect()
}

const TWO: [Short; 2] = [
    (0, Kind::Write, false, 4096, 8192),
    (1_500_000, Kind::Read, false, 512, 4096),
];

/// The same two requests in every format.
const SAMPLES: [(Format, &str); 9] = [
    (
        Format::Pixel,
        "proces,device,rw_flag,sector,size,timestamp\nfio-7,8388608,W,8,16,44186.010000\nfio-7,8388608,R,1,8,44186.0115",
    ),
    (
        Format::Msr,
        "128166372003061629,usr,0,Write,4096,8192,41286\n128166372003076629,usr,0,Read,512,4096,5\n",
    ),
    (Format::Alibaba, "419,W,4096,8192,1577808000000046\n419,R,512,4096,1577808000001546\n"),
    (Format::Tencent, "1538323200,8,16,1,1283\n1538323200.0015,1,8,0,1283\n"),
    (
        Format::FioV3,
        "fio version 3 iolog\n0 /dev/a add\n1 /dev/a open\n7 /dev/a write 4096 8192\n1507 /dev/a read 512 4096\n1600 /dev/a close\n",
    ),
    (
        Format::FioV2,
        "fio version 2 iolog\n/dev/a add\n/dev/a open\n/dev/a write 4096 8192\n/dev/a wait 1500 0\n/dev/a read 512 4096\n",
    ),
    (
        Format::Blkparse,
        "8,0 1 1 0.010000000 70 Q WS 8 + 16 [fio]\n  8,0    1        2     0.010000000    70  D  WS 8 + 16 [fio]\n\
         8,0 1 3 0.011000000 70 C WS 8 + 16 [0]\n8,0 0 1 0.011500000 71 D R 1 + 8 [a b]\nCPU1 (8,0):\n Reads Queued: 1\n",
    ),
    (
        Format::Ftrace,
        "# tracer: nop\n fio-70 [001] d..1. 45.010000: block_rq_issue: 8,0 WS 8192 () 8 + 16 be,0,4 [fio]\n\
         fio-70 [001] d..1. 45.011: block_rq_complete: 8,0 WS () 8 + 16 [0]\n\
         fio 70 [001] 45.011500: block:block_rq_issue: 8,0 R 4096 () 1 + 8 [a b]\n",
    ),
    (
        Format::FioLat,
        "11, 1000000, 1, 8192, 4096, 0\n12, 500000, 0, 4096, 512, 0\n",
    ),
];

#[test]
fn latencies_are_read_where_a_trace_has_them() {
    let found = |format: Format| {
        let (_, text) = SAMPLES.iter().find(|(known, _)| *known == format).unwrap();
        let (_, requests, _) = read(text, &Options::default()).unwrap();
        requests
            .iter()
            .map(|request| request.latency.map(Nanos::get))
            .collect::<Vec<_>>()
    };
    assert_eq!(found(Format::FioLat), [Some(1_000_000), Some(500_000)]);
    assert_eq!(found(Format::Msr), [Some(4_128_600), Some(500)]);
    assert_eq!(found(Format::Alibaba), [None, None]);
    let columns = Columns::parse("op,offset,length,latency", Some("-,-,-,us")).unwrap();
    let options = Options {
        columns: Some(columns),
        ..Options::default()
    };
    let (_, requests, _) = read("t,0,4096,2.5\n", &options).unwrap();
    assert_eq!(requests[0].latency, Some(Nanos::new(2_500)));
    assert_eq!(
        requests[0].at,
        Instant::ZERO,
        "a column of its own does not move the time"
    );
    let error = read("t,0,4096,x\n", &options).unwrap_err();
    assert!(error.contains("latency"), "{error}");
}

#[test]
fn every_format_is_recognised_and_read() {
    for (format, text) in SAMPLES {
        let (found, requests, seen) = read(text, &Options::default()).unwrap();
        assert_eq!(found, format);
        assert_eq!(short(&requests), TWO, "{}", format.name());
        assert_eq!(seen.requests, 2);
        let named = requests.iter().all(|request| request.device != 0);
        assert_eq!(named, format != Format::FioLat, "of one device alone");
    }
    let ours = open("# c\n0 1 W 0 8 0\n", &Options::default()).unwrap();
    assert!(matches!(ours, Trace::Commands(_)));
}

#[test]
fn a_named_format_is_read_as_that() {
    let options = Options {
        format: Some(Format::Alibaba),
        ..Options::default()
    };
    let (_, text) = SAMPLES[3];
    assert_eq!(
        read(text, &options).unwrap_err(),
        "t:1:12: field op: '8' is not an operation such as R, W, D, F, read, write, trim or flush"
    );
}

#[test]
fn columns_are_the_users() {
    let columns = Columns::parse("-,time,op,offset,length", Some("-,us,-,4K,sector")).unwrap();
    let options = Options {
        columns: Some(columns),
        ..Options::default()
    };
    let text = "id,t,op,at,n\nx, 10.0 ,write,1,16\ny,1510,r,0.125,8\nz,1511,F,0,0\nz,1512,D,2,8\n";
    let (format, requests, _) = read(text, &options).unwrap();
    assert_eq!(format, Format::Csv);
    assert_eq!(short(&requests[..2]), TWO);
    assert_eq!(requests[2].kind, Kind::Flush);
    assert_eq!((requests[3].kind, requests[3].offset), (Kind::Trim, 8192));
    for (names, units, why) in [
        ("time,op,offset", None, "--columns: there is no 'length'"),
        ("op,op", None, "--columns: 'op' is there twice"),
        (
            "sector",
            None,
            "--columns: 'sector' is not one of time, op, offset, length, process, device, latency or -",
        ),
        (
            "op,offset,length",
            Some("-,B"),
            "--unit has 2 entries, --columns 3",
        ),
        (
            "time,op",
            Some("h,-"),
            "--unit: 'h' is not one of ns, 100ns, us, ms, s",
        ),
        (
            "offset,op",
            Some("M,-"),
            "--unit of offset: 'M' is not one of B, sector, K, 4K",
        ),
        (
            "op,offset",
            Some("s,B"),
            "--unit of op: 's': it has none, write -",
        ),
    ] {
        assert_eq!(Columns::parse(names, units).unwrap_err(), why);
    }
    let without = Options {
        format: Some(Format::Csv),
        ..Options::default()
    };
    assert!(read(text, &without)
        .unwrap_err()
        .contains("needs --columns"));
}

#[test]
fn a_bad_line_is_said_with_line_and_column() {
    for (text, why) in [
        (
            "419,W,4096,8192,1\n419,W,x,8192,2\n",
            "t:2:7: field offset: 'x' is not a number, or it is too large",
        ),
        ("419,W,4096,8192,1\n419,W,4096\n", "t:2:11: field time is missing"),
        (
            "419,W,4096,8192,1\n\n419,Q,0,1,2\n",
            "t:3:5: field op: 'Q' is not an operation such as R, W, D, F, read, write, trim or flush",
        ),
        (
            "1538323200,8,16,1,3\n1538323200,18446744073709551615,8,0,3\n",
            "t:2:12: field offset: '18446744073709551615' is not a number, or it is too large",
        ),
        (
            "fio version 2 iolog\na write 0 x\n",
            "t:2:11: field length: 'x' is not a whole number, or it is too large",
        ),
        (
            "fio version 3 iolog\n1 a erase 0 1\n",
            "t:2:5: field action: 'erase' is not one of add open close wait read write trim sync datasync",
        ),
        ("8,0 1 1 0.1 70 D W 8\n", "t:1:22: field + is missing"),
        (
            "8,0 1 1 0.1 70 D W 8 - 1\n",
            "t:1:22: field +: '-' is not +",
        ),
        (
            "a-1 [0] x: block_rq_issue: 8,0 W 1 () 1 + 8\n",
            "t:1:12: field time: 'x:' is not seconds and a colon",
        ),
    ] {
        let got = read(text, &Options::default()).unwrap_err();
        assert_eq!(got, why);
    }
}

#[test]
fn duplicates_are_counted_and_dropped_on_request() {
    let text = "1,W,0,4096,0\n1,W,0,4096,1000\n1,R,0,4096,1500\n2,W,0,4096,1600\n1,W,0,4096,9000\n1,W,4096,4096,8000\n";
    let (_, kept, seen) = read(text, &Options::default()).unwrap();
    assert_eq!((kept.len(), seen.duplicates, seen.out_of_order), (6, 1, 1));
    assert_eq!(kept[5].at, kept[4].at);
    let drop = Options {
        drop_duplicates: true,
        ..Options::default()
    };
    let (_, kept, seen) = read(text, &drop).unwrap();
    assert_eq!((kept.len(), seen.requests, seen.duplicates), (5, 5, 1));
    let one = Options {
        device: Some("2".into()),
        ..Options::default()
    };
    assert_eq!(read(text, &one).unwrap().1.len(), 1);
}

#[test]
fn the_kernels_letters_are_read() {
    for (letters, expected) in [
        ("WFS", Ok(Some((Kind::Write, true)))),
        ("FWFS", Ok(Some((Kind::Write, true)))),
        ("FWS", Ok(Some((Kind::Write, false)))),
        ("FF", Ok(Some((Kind::Flush, false)))),
        ("FN", Ok(Some((Kind::Flush, false)))),
        ("RAM", Ok(Some((Kind::Read, false)))),
        ("DS", Ok(Some((Kind::Trim, false)))),
        ("N", Ok(None)),
        ("X", Err(())),
        ("Wx", Err(())),
    ] {
        assert_eq!(operation(letters.as_bytes()), expected, "{letters}");
    }
}

#[test]
fn times_are_exact_to_the_nanosecond() {
    const S: u64 = 1_000_000_000;
    for (text, expected) in [
        ("48746.442531", Some(48_746_442_531_000)),
        ("48750.608267999996", Some(48_750_608_268_000)),
        ("0.0000000004", Some(0)),
        ("1.", Some(S)),
        (".5", None),
        ("1e3", None),
        ("1.5x", None),
        ("99999999999", None),
    ] {
        assert_eq!(decimal(text.as_bytes(), S), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0..SAMPLES.len(), cut in 0..200_usize) {
        let (format, sample) = SAMPLES[which];
        let mut input = sample.as_bytes()[..cut.min(sample.len())].to_vec();
        input.extend(bytes);
        let options = Options { format: Some(format), ..Options::default() };
        if let Ok(Trace::Requests(mut requests)) = open_any(Box::new(Cursor::new(input)), "t", &options) {
            while let Ok(Some(_)) = requests.next_request() {}
        }
    }
}

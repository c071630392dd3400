// SPDX-License-Identifier: GPL-2.0-or-later
//! Results the report's tests share.

/// fio's shape: a job without a histogram (and an error), and one with.
pub const FIO_JSON: &str = r#"{
  "fio version": "fio-3.39",
  "jobs": [
    { "jobname": "fill", "error": 0, "total_err": 1, "job_start": 1577836801000,
      "job options": {"rw": "write", "bs": "512k"},
      "read": {"total_ios": 0},
      "write": {"total_ios": 1536, "io_bytes": 805306368, "bw_bytes": 402653184, "iops": 768.0, "runtime": 2000,
        "clat_ns": {"min": 1, "max": 2, "mean": 1.5, "N": 0},
        "lat_ns": {"min": 100000, "max": 900000, "mean": 300000.5, "N": 1536,
          "percentile": {"50.000000": 250000, "99.000000": 500000}}},
      "trim": {"total_ios": 0} },
    { "jobname": "randread", "error": 0, "job_start": 1577836804000,
      "job options": {"rw": "randread"},
      "read": {"total_ios": 1000, "io_bytes": 4096000, "bw_bytes": 67000000, "iops": 16400.0, "runtime": 61,
        "lat_ns": {"min": 59000, "max": 90500, "mean": 60500.0, "N": 1000,
          "percentile": {"50.000000": 60000},
          "bins": {"60000": 900, "64000": 95, "90000": 5}}},
      "write": {"total_ios": 0} }
  ]
}"#;

/// fio's joined sample logs for the same run.
pub const LOGS: &str = "\
# run_bw.1.log
1577836801000, 390000, 1, 0, 0
1577836801020, 402000, 1, 0, 0
1577836801040, 380000, 1, 0, 0
# run_lat.1.log
1577836801000, 300000, 1, 0, 0
1577836801020, 310000, 1, 0, 0
# run_bw.2.log
1577836804000, 65000, 0, 0, 0
1577836804020, 66000, 0, 0, 0
# run_lat.2.log
1577836804000, 60000, 0, 0, 0
1577836804020, 60500, 0, 0, 0
";

/// The drive's counters for it.
pub const SERIES: &str = "\
time_ns,host_read_sectors,host_write_sectors,flush_premature
1000000,0,0,0
2000000,0,8000,3
4000000,4000,8000,3
";

/// And its zones.
pub const ZONES: &str = "\
first,count,state,written,capacity,mapping
0,2,full,100,100,zone
2,14,empty,0,100,-
";

/// What was read of two of them over time.
pub const ZONE_READS: &str = "\
time_ns,0,1
1000000,0,0
2000000,800,0
4000000,800,16
";

/// How full they were over time.
pub const ZONE_SERIES: &str = "\
time_ns,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
1000000,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0
2000000,100,50,0,0,0,0,0,0,0,0,0,0,0,0,0,0
4000000,100,100,0,0,0,0,0,0,0,0,0,0,0,0,0,0
";

/// fio's histogram log of its reads, 20 ms a row.
pub fn tails() -> crate::tails::Tails {
    crate::tails::parse(&histograms(), 20).unwrap()
}

/// As fio writes it: counts of 1856 buckets.
pub fn histograms() -> String {
    let row = |time: u64, slow: u64| {
        let mut buckets = [0; 1856];
        (buckets[690], buckets[710]) = (1000, slow);
        let buckets = buckets.map(|count| count.to_string());
        format!("{time}, 0, 4096, {}\n", buckets.join(", "))
    };
    let rows = row(1_577_836_804_020, 0) + &row(1_577_836_804_040, 20);
    format!("# run_clat_hist.2.log\n{rows}")
}

#[test]
fn dbg() {
    let file = std::env::var("T").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let head = text.lines().find(|l| l.contains("conzone sim")).unwrap();
    let words: Vec<_> = head.split(' ').collect();
    let preset = words.windows(2).find(|w| w[0] == "--preset").unwrap()[1];
    let mut config = ssd::Config::preset(preset).unwrap();
    for w in words.windows(2).filter(|w| w[0] == "--set") {
        let (k, v) = w[1].split_once('=').unwrap();
        if let Err(e) = config.set(k, v) {
            println!("{e}");
        }
    }
    let plan = config.plan().unwrap();
    let ssd::ModelConfig::Zms(c) = plan.model else {
        panic!()
    };
    let mut z = zms::Zms::new(&c).unwrap();
    z.observe(std::env::var("OBS").is_ok());
    let mut now = 0;
    for l in text.lines().filter(|l| {
        l.starts_with(|c: char| c.is_ascii_digit())
            && l.split(' ').count() == 6
            && !l.contains("runs")
    }) {
        let f: Vec<_> = l.split(' ').collect();
        let n = |i: usize| f[i].parse::<u64>().unwrap();
        let ns = if f[1] == "0" {
            zms::Namespace::Meta
        } else {
            zms::Namespace::Data
        };
        let at = units::Sector::new(n(3));
        let one = |action| zms::Command::Zone {
            action,
            target: zms::ZoneTarget::One(at),
        };
        let cmd = match f[2] {
            "W" => zms::Command::write(at, n(4), f[5] == "1"),
            "R" => zms::Command::read(at, n(4)),
            "F" => zms::Command::Flush,
            "A" => zms::Command::Append {
                zone: at,
                sectors: n(4),
                fua: f[5] == "1",
            },
            "WZ" => zms::Command::WriteZeroes {
                at,
                sectors: n(4),
                fua: f[5] == "1",
            },
            "TRIM" => zms::Command::Deallocate { at, sectors: n(4) },
            "RST" => one(zms::ZoneAction::Reset),
            "FIN" => one(zms::ZoneAction::Finish),
            "OPN" => one(zms::ZoneAction::Open),
            "CLS" => one(zms::ZoneAction::Close),
            x => panic!("{x}"),
        };
        now = n(0);
        let o = z.submit(ns, &cmd, units::Instant::from_nanos(now));
        if std::env::var("V").is_ok() {
            println!("{l} -> {:?} {:?}", o.done, o.result);
        }
        for e in z.take_events() {
            println!("   {e:?}");
        }
        for e in z.take_occupied() {
            println!("   {e:?}");
        }
        z.check_invariants();
        if let Err(e) = o.result {
            if e == zms::Error::CapacityExceeded {
                let s = z.stats();
                println!(
                    "{l}: {e:?}\n slc {:?}\n native {:?}\n meta {:?}",
                    s.slc_pool, s.native_pool, s.meta_pool
                );
                let s = format!("{z:?}");
                for k in ["Mover", "host: App", " a: ["] {
                    for (i, _) in s.match_indices(k) {
                        println!("  {}", &s[i..(i + 400).min(s.len())]);
                    }
                }
                return;
            }
        }
    }
    z.advance(units::Instant::from_nanos(now + 3_600_000_000_000));
    println!("next {:?}", z.next_event());
    let s = z.stats();
    println!(
        "slc {:?}\n native {:?}\n meta {:?}",
        s.slc_pool, s.native_pool, s.meta_pool
    );
    let s = format!("{z:?}");
    for (i, _) in s.match_indices("Mover") {
        println!("  {}", &s[i..(i + 400).min(s.len())]);
    }
}

//! A calibration as people read it.

use std::fmt::Write;

use infermark_calibrate::server::Scheme;
use infermark_calibrate::{Depth, Kind, Row};
use infermark_report::count;

use super::kept::Kept;

/// From here on a process has no time left.
const BUSY_MAX: f64 = 0.9;

/// A server that is later than this is no ruler for an error of 1 % of its TTFT.
const SERVER_LATE_MAX_MS: f64 = 1.0;

/// Prints a calibration.
pub(crate) fn page(kept: &Kept) -> String {
    let machine = &kept.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let mut out = format!(
        "infermark calibrate · {cpu} · {} cores · Linux {} · infermark {} ({})\n{}\n\n",
        machine.cpus,
        machine.kernel,
        machine.version,
        machine.build,
        cores(kept),
    );
    out += "one client thread; errors are of p99 against what the server really did\n\n";
    out += "load                                   tok/s  µs/tok  client  server    \
            TTFT p99     ITL p99     lag p99\n";
    for row in &kept.findings.rows {
        out += &line(row);
    }
    out.push('\n');
    for (name, text) in [
        ("exact", exact(kept, Scheme::Http)),
        ("over TLS", exact(kept, Scheme::Https)),
        ("cost", cost(kept)),
        ("sends", sends(kept)),
        ("memory", memory(kept)),
    ] {
        writeln!(out, "{name:<10}{text}").expect("a string takes everything");
    }
    out
}

fn cores(kept: &Kept) -> String {
    let (client, server) = (kept.client_core, kept.server_core);
    if client == server {
        return "client and exact server share the one core: what is left is less than either \
                could do alone"
            .to_owned();
    }
    let both = format!("client on core {client}, exact server on core {server}");
    if kept.machine.cpus == 2 {
        format!("{both}: there are no others, so whatever else runs here disturbs them")
    } else {
        both
    }
}

/// Names a load.
pub(crate) fn load(kind: Kind, scheme: Scheme) -> String {
    let load = match kind {
        Kind::Streams { streams, pace } => {
            format!("{} streams × {pace} tok/s", count(u64::from(streams)))
        }
        Kind::Sends { per_s } => format!("{} sends/s", count(u64::from(per_s))),
    };
    match scheme {
        Scheme::Http => load,
        Scheme::Https => load + ", TLS",
    }
}

fn line(row: &Row) -> String {
    let Row { tokens_per_s, us_per_token, lag_p99_ms, .. } = row;
    let percent = |share: f64| share * 100.0;
    format!(
        "{:<4}{:<32}{:>8}{us_per_token:>8.1}{:>6.0} %{:>6.0} %{:>+10.2} %{:>+10.2} %\
         {lag_p99_ms:>9.2} ms\n",
        if row.holds { "" } else { "no" },
        load(row.load, row.scheme),
        count(tokens_per_s.round() as u64),
        percent(row.client_busy),
        percent(row.server_busy),
        percent(row.ttft_p99_error),
        percent(row.itl_p99_error),
    )
}

/// Says how far the client is exact, and what ended it.
fn exact(kept: &Kept, scheme: Scheme) -> String {
    let findings = &kept.findings;
    if scheme == Scheme::Https && findings.depth == Depth::Quick {
        return "not measured (--quick)".to_owned();
    }
    let Some(most) = findings.most_tokens_per_s(scheme) else {
        return "at no load: something else keeps this machine busy".to_owned();
    };
    let mut text = format!("up to {} tok/s within 1 %", count(most as u64));
    let failed = findings.rows.iter().filter(|row| !row.holds && row.scheme == scheme);
    let failed = failed.filter(|row| matches!(row.load, Kind::Streams { pace: 50, .. }));
    if let Some(end) = failed.min_by(|a, b| a.tokens_per_s.total_cmp(&b.tokens_per_s)) {
        text += match () {
            () if end.server_busy > BUSY_MAX || end.server_late_p99_ms > SERVER_LATE_MAX_MS => {
                "; there the exact server ends, so the client may reach further"
            }
            () if end.client_busy > BUSY_MAX => "; there the client's core ends",
            () => "; there this machine is no longer punctual",
        };
    }
    text
}

/// Says what a token costs at the highest load, and over TLS.
fn cost(kept: &Kept) -> String {
    let dearest = |scheme| {
        let held = kept.findings.held(scheme);
        held.max_by(|a, b| a.tokens_per_s.total_cmp(&b.tokens_per_s)).map(|row| row.us_per_token)
    };
    match (dearest(Scheme::Http), dearest(Scheme::Https)) {
        (Some(plain), Some(tls)) => format!("{plain:.1} µs of CPU a token, {tls:.1} over TLS"),
        (Some(plain), None) => format!("{plain:.1} µs of CPU a token"),
        (None, _) => "not known".to_owned(),
    }
}

fn sends(kept: &Kept) -> String {
    match kept.findings.regions.plain.sends_per_s {
        Some(rate) => format!("up to {} a second with lag p99 below 1 ms", count(rate as u64)),
        None => "at no rate was lag p99 below 1 ms".to_owned(),
    }
}

/// Says what a stream takes, of the largest load that held.
fn memory(kept: &Kept) -> String {
    let streams = |row: &&Row| match row.load {
        Kind::Streams { streams, .. } => streams,
        Kind::Sends { .. } => 0,
    };
    let largest = kept.findings.held(Scheme::Http).max_by_key(streams);
    match largest.and_then(|row| Some((streams(&row), row.bytes_per_stream?))) {
        Some((streams, bytes)) => {
            format!("{:.1} KiB a stream at {} streams", bytes / 1024.0, count(u64::from(streams)))
        }
        None => "not known".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use infermark_calibrate::Findings;
    use infermark_measure::region::{Reach, Region, Regions};
    use infermark_run::Environment;

    fn row(load: Kind, scheme: Scheme, tokens_per_s: f64, ttft_p99_error: f64) -> Row {
        Row {
            load,
            scheme,
            holds: ttft_p99_error < 0.01,
            tokens_per_s,
            us_per_token: 8.25,
            client_busy: 0.73,
            server_busy: 0.94,
            ttft_p50_error: 0.0001,
            ttft_p99_error,
            itl_p99_error: -0.0002,
            lag_p99_ms: 0.5,
            server_late_p99_ms: 0.2,
            coalesced_share: 0.0,
            bytes_per_stream: Some(1331.0),
        }
    }

    /// A calibration.
    pub(crate) fn kept() -> Kept {
        let streams = |streams, pace| Kind::Streams { streams, pace };
        let rows = vec![
            row(streams(1760, 50), Scheme::Http, 85_356.0, 0.0001),
            row(streams(1920, 50), Scheme::Http, 92_141.0, 0.1662),
            row(Kind::Sends { per_s: 4000 }, Scheme::Http, 16_000.0, 0.0),
            row(streams(4096, 10), Scheme::Http, 39_384.0, 0.0045),
            row(streams(800, 50), Scheme::Https, 38_900.0, 0.0012),
        ];
        let reaches = vec![Reach { streams: 1760, tokens_per_s: 85_356.0 }];
        let plain = Region { reaches: reaches.clone(), sends_per_s: Some(4000.0) };
        let tls = Some(Region { reaches, sends_per_s: None });
        Kept {
            schema: super::super::SCHEMA.to_owned(),
            created: "2026-11-22T12:00:00Z".to_owned(),
            machine: Environment {
                client_host: "bench".to_owned(),
                cpu: Some("AMD EPYC".to_owned()),
                cpus: 2,
                kernel: "6.18.0".to_owned(),
                version: "0.1.0".to_owned(),
                build: "release".to_owned(),
                proxy: None,
            },
            client_core: 0,
            server_core: 1,
            findings: Findings { depth: Depth::Full, rows, regions: Regions { plain, tls } },
        }
    }

    #[test]
    fn a_calibration_is_printed_with_what_it_rests_on() {
        insta::assert_snapshot!(page(&kept()));
    }

    #[test]
    fn one_core_and_a_quick_look_are_said_to_be_so() {
        let mut kept = Kept { server_core: 0, ..kept() };
        kept.findings.depth = Depth::Quick;
        let page = page(&kept);
        assert!(page.contains("share the one core"), "{page}");
        assert!(page.contains("over TLS  not measured (--quick)"), "{page}");
    }
}

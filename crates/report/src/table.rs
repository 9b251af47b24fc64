//! The page about one run, from top to bottom: whom, what was asked, what was got, how far to
//! trust it, and where the record is.

use infermark_measure::{
    AddressShare, Cost, Counts, Found, Point, Rates, Reason, TokenSource, Tokens,
};
use infermark_terms::{Caveat, Trust};

use crate::figure::{count, figure, mean, money, percent};
use crate::page::{COLUMNS, Colour, Page, ROOM, Tone};
use crate::text::{fit, flow, wrap};
use crate::{Sheet, Source, State, Verification, latency, objectives, observed, parts};

/// The most reasons of failure that are spelt out.
const REASONS_MAX: usize = 4;

/// The most addresses that are shown one by one.
const ADDRESSES_MAX: usize = 8;

/// The columns after which a reason is cut: two lines, seldom three.
const REASON_COLUMNS: usize = 2 * ROOM - 10;

/// The share of chunks from which on it is said that they came joined.
const COALESCED_SHARE: f64 = 0.01;

/// Returns the page about one run, each line ended by a line feed.
///
/// It fits a screen of 45 lines unless there are many caveats, none of which is left out.
pub fn table(sheet: &Sheet<'_>, colour: Colour) -> String {
    let mut page = Page::new(colour);
    title(&mut page, sheet);
    page.gap();
    let asked = sheet.asked.iter().map(|(label, value)| format!("{label} {value}"));
    page.block("asked", Tone::Plain, flow(asked, ROOM));
    page.gap();
    got(&mut page, sheet.point);
    page.gap();
    latency::write(&mut page, sheet.point);
    parts::write(&mut page, sheet.point);
    page.gap();
    client(&mut page, sheet.point);
    observed::write(&mut page, sheet.point);
    for (label, items) in sheet.beside {
        page.block(label, Tone::Plain, items.iter().flat_map(|item| wrap(item, ROOM)));
    }
    objectives::write(&mut page, sheet.point);
    trust(&mut page, sheet);
    if let Some(record) = sheet.record {
        page.block("record", Tone::Plain, wrap(&record.display().to_string(), ROOM));
    }
    page.into_text()
}

/// Writes whom the run measured, and what a reader must not overlook.
fn title(page: &mut Page, sheet: &Sheet<'_>) {
    let (command, warning) = match sheet.source {
        Source::Server => ("infermark run", None),
        Source::Embedded(engine) => (
            "infermark run",
            Some(format!("embedded engine ({engine}): no real server was measured")),
        ),
        Source::Predicted(engine) => {
            ("infermark sim predict", Some(format!("predicted ({engine}): nothing was measured")))
        }
    };
    for line in warning.iter().flat_map(|warning| wrap(warning, COLUMNS)) {
        page.line(Tone::Warning, &line);
    }
    let names = [command, sheet.model, sheet.target];
    for line in flow(names.map(str::to_owned), COLUMNS) {
        page.line(Tone::Strong, &line);
    }
    let unknown = (sheet.source == Source::Server).then_some("server unknown");
    let server = sheet.server.or(unknown).map(str::to_owned);
    let api = (!sheet.api.is_empty()).then(|| format!("{} API", sheet.api));
    for line in flow(server.into_iter().chain(api), COLUMNS) {
        page.line(Tone::Plain, &line);
    }
    if sheet.state == State::Partial {
        let warning = "partial: the run did not come to its end; these figures are over its record";
        page.line(Tone::Warning, warning);
    }
    if sheet.verification == Verification::Off {
        page.line(Tone::Warning, "insecure: the server's certificate was not checked");
    }
}

/// Writes what was got, but for the latencies.
fn got(page: &mut Page, point: &Point) {
    let (start, end) = (point.window.start_s, point.window.end_s);
    let mut window =
        vec![format!("{} s ({}–{} s of the run)", figure(end - start), figure(start), figure(end))];
    window.extend(match point.window.found {
        Found::Given => None,
        Found::Detected => Some("detected: the steady stretch".to_owned()),
        Found::None => Some("no steady state found".to_owned()),
    });
    window.extend(point.concurrency.map(|concurrency| {
        let (mean, peak) = (figure(concurrency.mean), count(concurrency.peak));
        format!("in flight {mean} mean, {peak} peak")
    }));
    page.block("window", Tone::Plain, flow(window, ROOM));
    requests(page, &point.counts);
    addresses(page, &point.addresses);
    if let Some(rates) = &point.rates {
        page.block("rates", Tone::Plain, flow(rate_items(rates), ROOM));
    }
    let tokens = token_items(&point.tokens);
    page.block("tokens", Tone::Plain, flow(tokens, ROOM));
    if let Some(cost) = &point.cost {
        page.block("cost", Tone::Plain, flow(cost_items(cost), ROOM));
    }
}

/// Writes how the requests ended, and why some failed.
fn requests(page: &mut Page, counts: &Counts) {
    let rate = counts.failure_rate.map(|rate| format!(" ({})", percent(rate)));
    let ends = [
        format!("{} due", count(counts.due)),
        format!("{} succeeded", count(counts.success)),
        format!("{} failed{}", count(counts.failed), rate.unwrap_or_default()),
    ];
    let again = (counts.sent_again > 0).then(|| format!("{} sent again", count(counts.sent_again)));
    page.block("requests", Tone::Plain, flow(ends.into_iter().chain(again), ROOM));
    let (listed, rest) = counts.reasons.split_at(counts.reasons.len().min(REASONS_MAX));
    if !rest.is_empty() {
        // The reasons below do not add up then, but these do.
        page.block("", Tone::Bad, flow(failures_by_outcome(counts), ROOM));
    }
    for Reason { outcome, reason, count: number } in listed {
        let line = format!("{} {}: {reason}", count(*number), outcome.name());
        page.block("", Tone::Bad, wrap(&fit(&line, REASON_COLUMNS), ROOM));
    }
    if !rest.is_empty() {
        page.block("", Tone::Plain, [format!("rarer reasons, not shown: {}", rest.len())]);
    }
}

/// Writes what each address took; of many, how far apart they are.
fn addresses(page: &mut Page, addresses: &[AddressShare]) {
    let share = |one: &AddressShare| percent(one.share.unwrap_or(0.0));
    let items = if addresses.len() <= ADDRESSES_MAX {
        addresses.iter().map(|one| format!("{} {}", one.address, share(one))).collect()
    } else {
        let by_requests = |one: &&AddressShare| one.requests;
        let least = addresses.iter().min_by_key(by_requests).map_or(String::new(), share);
        let most = addresses.iter().max_by_key(by_requests).map_or(String::new(), share);
        vec![format!("{} addresses, each with {least}–{most} of the requests", addresses.len())]
    };
    if !items.is_empty() {
        page.block("spread", Tone::Plain, flow(items, ROOM));
    }
}

fn failures_by_outcome(counts: &Counts) -> Vec<String> {
    let kinds = [
        (counts.finished.saturating_sub(counts.success), "finished empty or of the wrong length"),
        (counts.refused, "refused"),
        (counts.severed, "severed"),
        (counts.garbled, "garbled"),
        (counts.errored, "errored"),
        (counts.expired, "expired"),
        (counts.shed, "shed"),
        (counts.abandoned, "abandoned"),
    ];
    let failed = kinds.into_iter().filter(|kind| kind.0 > 0);
    failed.map(|(number, kind)| format!("{} {kind}", count(number))).collect()
}

fn rate_items(rates: &Rates) -> Vec<String> {
    let items = [
        (Some(rates.requests_per_s), "requests/s"),
        (rates.input_tokens_per_s, "input tok/s"),
        (Some(rates.output_tokens_per_s), "output tok/s"),
        (rates.total_tokens_per_s, "total tok/s"),
        (rates.output_tokens_per_s_per_user, "output tok/s/user"),
        (rates.output_tokens_per_s_per_gpu, "output tok/s/GPU"),
    ];
    let observed = items.into_iter().filter_map(|(value, unit)| Some((value?, unit)));
    observed.map(|(value, unit)| format!("{} {unit}", figure(value))).collect()
}

fn cost_items(cost: &Cost) -> Vec<String> {
    let kinds = [
        (cost.per_1m_output, "output"),
        (cost.per_1m_input, "input"),
        (cost.per_1m_total, "total"),
        (cost.per_1m_good, "good output"),
    ];
    let known = kinds.into_iter().filter_map(|(amount, kind)| Some((amount?, kind)));
    let mut items: Vec<_> = known
        .map(|(amount, kind)| format!("{} per 1M {kind}", money(cost.currency, amount)))
        .collect();
    let thousand = cost.per_1m_output.map(|amount| money(cost.currency, amount / 1e3));
    items.extend(thousand.map(|amount| format!("{amount} per 1K output")));
    items.push(format!("at {} an hour", money(cost.currency, cost.per_hour)));
    items
}

fn token_items(tokens: &Tokens) -> Vec<String> {
    let source = match tokens.source {
        None => return vec!["none counted".to_owned()],
        Some(TokenSource::Server) => "as the server counts",
        Some(TokenSource::Tokenized) => "output as our tokenizer counts",
        Some(TokenSource::Chunks) => "output is chunks, for want of a count",
        Some(TokenSource::Mixed) => "output counted in several ways",
    };
    let input = tokens.input_mean.map_or("not counted".to_owned(), mean);
    let mut items = vec![format!("input {input}")];
    items.extend(tokens.output_mean.map(|output| format!("output {} a request", mean(output))));
    items.push(source.to_owned());
    items.extend(tokens.per_chunk_mean.map(|share| format!("{} per chunk", mean(share))));
    items.extend(tokens.cached_share.map(|share| format!("{} of input cached", percent(share))));
    let joined = tokens.coalesced_share.filter(|&share| share >= COALESCED_SHARE);
    items.extend(joined.map(|share| format!("{} of chunks came joined", percent(share))));
    items
}

/// Writes what the generator's side of the run was like.
fn client(page: &mut Page, point: &Point) {
    let Some(client) = &point.client else { return };
    let Some(busiest) = client.busiest() else { return };
    let mut items = match client.threads.len() {
        1 => vec![format!("1 thread, {} busy", percent(busiest.busy_share))],
        many => vec![format!("{many} threads, the busiest {} busy", percent(busiest.busy_share))],
    };
    let queued = client.queued_share();
    items.extend(queued.map(|share| format!("{} waiting for a core", percent(share))));
    let delay = point.read_delay_ms.as_ref().and_then(|delay| delay.p99);
    items.extend(delay.map(|p99| format!("read delay p99 {} ms", figure(p99))));
    let room = [client.room_files, client.room_ports].into_iter().flatten().min();
    let room = room.map_or(String::new(), |room| format!(", room for {}", count(room)));
    items.push(format!("{} connections{room}", count(client.connections_peak)));
    page.block("client", Tone::Plain, flow(items, ROOM));
}

/// Writes the verdict on the instrument, with every caveat and its remedy.
fn trust(page: &mut Page, sheet: &Sheet<'_>) {
    let point = sheet.point;
    let (tone, verdict) = match point.trust.verdict {
        Trust::Sound if matches!(sheet.source, Source::Predicted(_)) => {
            (Tone::Plain, "as far as a prediction goes: nothing was measured")
        }
        Trust::Sound => (Tone::Good, "sound: nothing is known against these figures"),
        Trust::Doubtful => (Tone::Warning, "doubtful: read the caveats first"),
        Trust::Void => (Tone::Bad, "void: the instrument cannot vouch for these figures"),
    };
    page.block("trust", tone, [verdict.to_owned()]);
    for caveat in &point.trust.caveats {
        page.block("", Tone::Plain, wrap(&doubt(caveat), ROOM));
        let hint = wrap(&format!("hint: {}", caveat.hint), ROOM - 2);
        page.block("", Tone::Faint, hint.into_iter().map(|line| format!("  {line}")));
    }
}

/// Returns the doubt under the name that it has in results, which is also its name in the code.
fn doubt(caveat: &Caveat) -> String {
    let void = if caveat.lowers_to == Trust::Void { " (void)" } else { "" };
    format!("{:?}{void}: {}", caveat.code, caveat.detail)
}

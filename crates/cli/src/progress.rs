//! How a run is doing, while it is: several lines on a terminal, drawn again and again; elsewhere
//! a plain line now and then.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use infermark_drive::Stop;
use infermark_report::count;
use infermark_run::{Middle, Progress, Stage, Watch};
use infermark_terms::Nanos;

use crate::say;

/// How often a terminal is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// How often it is drawn at most, in a second: each changed line would draw all of them.
const HERTZ: u8 = 5;

/// How often a line is written where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Requests in flight are remembered so far back, in seconds.
const PAST: usize = 24;

/// The width of the bar, in columns.
const BAR: usize = 24;

/// The lines that are being drawn on standard error. There is one standard error, so whoever
/// writes to it must know of them.
static DRAWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Writes to standard error above whatever is drawn there.
pub(crate) fn above(write: impl FnOnce()) {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match drawn {
        Some(lines) => {
            lines.suspend(write);
            rest(&lines);
        }
        None => write(),
    }
}

/// Wipes off what is drawn, for good.
pub(crate) fn wipe() {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A view that could not be drawn is nobody's loss.
    drop(drawn.map(|lines| lines.clear()));
}

/// Puts the cursor at the beginning of the last line that is drawn. Drawing leaves it at the end,
/// where the `^C` that a terminal shows would begin a new line, and the view would lose its place.
fn rest(lines: &MultiProgress) {
    if !lines.is_hidden() {
        // A terminal that is gone shows nothing amiss.
        drop(io::stderr().write_all(b"\r"));
    }
}

/// A view on a run, until it is ended or dropped.
pub(crate) struct Live {
    lines: MultiProgress,
    over: Arc<AtomicBool>,
    drawing: Mutex<Option<JoinHandle<()>>>,
}

impl Live {
    /// Begins to show how a run is doing, on standard error.
    pub(crate) fn begin(watch: Watch, stop: Stop) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(HERTZ);
        let lines = MultiProgress::with_draw_target(target);
        *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines.clone());
        let over = Arc::new(AtomicBool::new(false));
        let (shown, ended) = (lines.clone(), Arc::clone(&over));
        let drawing = thread::spawn(move || {
            if shown.is_hidden() {
                tell(&watch, &stop, &ended);
            } else {
                draw(&watch, &stop, &shown, &ended);
            }
        });
        Self { lines, over, drawing: Mutex::new(Some(drawing)) }
    }

    /// Ends it, and leaves nothing behind.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        let drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(drawing) = drawing {
            drawing.thread().unpark();
            // A view that could not be drawn is nobody's loss.
            drop(drawing.join());
            drop(self.lines.clear());
            *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.end();
    }
}

/// How long something may take before a terminal says what is being done.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is being done, shown on a terminal where it takes long, until this is dropped.
pub(crate) struct Waiting {
    over: Arc<AtomicBool>,
    showing: Option<JoinHandle<()>>,
}

impl Waiting {
    /// Begins to wait for something.
    pub(crate) fn begin(what: String) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let showing = thread::spawn(move || {
            thread::park_timeout(PATIENCE);
            if ended.load(Ordering::Relaxed) {
                return;
            }
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("one of ours"));
            while !ended.load(Ordering::Relaxed) {
                bar.set_message(format!(
                    "{what}, {} s",
                    bar.elapsed().as_secs() + PATIENCE.as_secs()
                ));
                bar.tick();
                thread::park_timeout(EVERY);
            }
            bar.finish_and_clear();
        });
        Self { over, showing: Some(showing) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(showing) = self.showing.take() {
            showing.thread().unpark();
            // What could not be shown is nobody's loss.
            drop(showing.join());
        }
    }
}

/// Returns how the run is doing. One that is to stop sends nothing more: its end has come.
fn latest(watch: &Watch, stop: &Stop) -> Progress {
    let latest = watch.latest();
    let planned = if stop.is_asked() { Some(Nanos::ZERO) } else { latest.planned };
    Progress { planned, ..latest }
}

/// Writes a line now and then.
fn tell(watch: &Watch, stop: &Stop, over: &AtomicBool) {
    loop {
        thread::park_timeout(PLAIN_EVERY);
        if over.load(Ordering::Relaxed) {
            return;
        }
        if watch.has_begun() {
            say(&(plain(&latest(watch, stop)) + "\n"));
        }
    }
}

/// Draws the view again and again.
fn draw(watch: &Watch, stop: &Stop, shown: &MultiProgress, over: &AtomicBool) {
    let (mut bars, mut past) = (Vec::new(), Past::default());
    while !over.load(Ordering::Relaxed) {
        if watch.has_begun() {
            let progress = latest(watch, stop);
            past.see(&progress);
            let lines = view(&progress, &past);
            while bars.len() < lines.len() {
                // A line that is wider than the terminal is cut.
                let style = ProgressStyle::with_template("{wide_msg}").expect("one of ours");
                bars.push(shown.add(ProgressBar::new_spinner().with_style(style)));
            }
            let lines = lines.into_iter().chain(std::iter::repeat(String::new()));
            for (bar, line) in bars.iter().zip(lines) {
                bar.set_message(line);
            }
            rest(shown);
        }
        thread::park_timeout(EVERY);
    }
}

/// How many requests were in flight, second by second.
#[derive(Default)]
struct Past {
    second: u64,
    in_flight: Vec<u32>,
}

impl Past {
    fn see(&mut self, progress: &Progress) {
        let second = progress.elapsed.0 / 1_000_000_000;
        if second < self.second {
            // Another run.
            *self = Self::default();
        }
        if second > self.second || self.in_flight.is_empty() {
            if self.in_flight.len() == PAST {
                let _: u32 = self.in_flight.remove(0);
            }
            self.in_flight.push(progress.in_flight);
            self.second = second;
        }
    }

    /// Draws it as a row of bars, the highest full.
    fn sparkline(&self) -> String {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let highest = self.in_flight.iter().copied().max().unwrap_or(0).max(1) as usize;
        let bar = |&n: &u32| BARS[n as usize * (BARS.len() - 1) / highest];
        self.in_flight.iter().map(bar).collect()
    }
}

/// Returns the lines of the view.
fn view(progress: &Progress, past: &Past) -> Vec<String> {
    let mut lines = vec![
        time(progress),
        format!("load      {} in flight {}", progress.in_flight, past.sparkline()),
        format!("requests  {}", outcomes(progress)),
        format!("rates     {}", rates(progress)),
    ];
    // One line each, so that a narrow terminal cuts none of them off.
    let labels = ["latency   ", "          "].into_iter();
    lines.extend(labels.zip(latency(progress)).map(|(label, figure)| format!("{label}{figure}")));
    lines.extend(server(progress).map(|server| format!("server    {server}")));
    lines
}

/// Returns the same on one line.
fn plain(progress: &Progress) -> String {
    let head = [
        time_words(progress),
        format!("{} in flight", progress.in_flight),
        outcomes(progress),
        rates(progress),
    ];
    let parts = head.into_iter().chain(latency(progress)).chain(server(progress));
    parts.collect::<Vec<_>>().join(" · ")
}

fn time(progress: &Progress) -> String {
    match share(progress) {
        Some(share) => {
            let full = (share * BAR as f64) as usize;
            let bar = "━".repeat(full) + &"╌".repeat(BAR - full);
            format!("{bar}  {}", time_words(progress))
        }
        None => time_words(progress),
    }
}

fn time_words(progress: &Progress) -> String {
    if progress.stage == Stage::Judgement {
        return "the load is over: measuring its record".to_owned();
    }
    let so_far = clock(progress.elapsed.as_secs_f64());
    if progress.planned.is_some_and(|all| progress.elapsed > all) {
        return format!("{so_far}: waiting for the last answers");
    }
    let left = left(progress).map(|left| format!(", about {} left", clock(left)));
    format!("{so_far}{}", left.unwrap_or_default())
}

/// Returns a time as people say it.
pub(crate) fn clock(seconds: f64) -> String {
    match seconds {
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 5970.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Returns how much of the run is over, from 0 to 1, where it has a planned end.
fn share(progress: &Progress) -> Option<f64> {
    if progress.stage == Stage::Judgement {
        return Some(1.0);
    }
    let of = |done: f64, all: f64| if all > 0.0 { (done / all).clamp(0.0, 1.0) } else { 1.0 };
    let time = progress.planned.map(|all| of(progress.elapsed.as_secs_f64(), all.as_secs_f64()));
    let count = progress.requests.map(|all| of(done(progress), all as f64));
    time.into_iter().chain(count).reduce(f64::max)
}

/// Returns how many seconds the run still takes, where that can be said.
fn left(progress: &Progress) -> Option<f64> {
    let time = progress.planned.map(|all| all.as_secs_f64() - progress.elapsed.as_secs_f64());
    let rate = Some(progress.requests_per_s).filter(|&rate| rate > 0.0);
    let count = progress.requests.zip(rate).map(|(all, rate)| (all as f64 - done(progress)) / rate);
    let least = time.into_iter().chain(count).reduce(f64::min);
    least.map(|left| left.max(0.0))
}

fn done(progress: &Progress) -> f64 {
    (progress.finished + progress.failed) as f64
}

fn outcomes(progress: &Progress) -> String {
    let failures =
        progress.failures.iter().map(|(kind, n)| format!("{} {}", count(*n), kind.name()));
    let failures: Vec<_> = failures.collect();
    let of =
        if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) };
    let all = progress.requests.map_or_else(String::new, |all| format!(" of {}", count(all)));
    format!("{}{all} finished · {} failed{of}", count(progress.finished), count(progress.failed))
}

fn rates(progress: &Progress) -> String {
    let tokens = count(progress.tokens_per_s.round() as u64);
    format!("{tokens} tok/s · {:.1} requests/s", progress.requests_per_s)
}

fn latency(progress: &Progress) -> Vec<String> {
    let shown = |name: &str, middle: Option<Middle>| {
        middle.map(|Middle { p50, p99 }| {
            format!("{name} p50 {:.1} p99 {:.1} ms", p50.as_millis_f64(), p99.as_millis_f64())
        })
    };
    [shown("TTFT", progress.ttft), shown("ICL", progress.icl)].into_iter().flatten().collect()
}

fn server(progress: &Progress) -> Option<String> {
    let server = &progress.server;
    let parts = [
        server.running.map(|running| format!("{running:.0} running")),
        server.waiting.map(|waiting| format!("{waiting:.0} waiting")),
        server.kv_usage.map(|kv| format!("KV {:.0} %", 100.0 * kv)),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use infermark_run::ServerState;
    use infermark_terms::OutcomeKind;

    use super::*;

    fn under_way() -> Progress {
        let middle = |micros| {
            let p50 = Nanos::from_micros(micros);
            Some(Middle { p50, p99: Nanos::from_micros(2 * micros) })
        };
        Progress {
            stage: Stage::Load,
            elapsed: Nanos::from_secs(15),
            planned: Some(Nanos::from_secs(60)),
            requests: None,
            finished: 40,
            failed: 3,
            failures: [(OutcomeKind::Refused, 2), (OutcomeKind::Severed, 1)].into(),
            in_flight: 8,
            requests_per_s: 2.5,
            tokens_per_s: 812.4,
            ttft: middle(50_300),
            icl: middle(10_100),
            server: ServerState { running: Some(6.0), waiting: Some(2.0), kv_usage: Some(0.31) },
        }
    }

    #[test]
    fn the_view_says_how_the_run_is_doing() {
        let mut past = Past::default();
        for (second, in_flight) in [(1, 2), (2, 4), (3, 8)] {
            let elapsed = Nanos::from_secs(second);
            past.see(&Progress { elapsed, in_flight, ..Progress::default() });
        }
        let lines = [
            "━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  15 s, about 45 s left",
            "load      8 in flight ▂▄█",
            "requests  40 finished · 3 failed (2 refused, 1 severed)",
            "rates     812 tok/s · 2.5 requests/s",
            "latency   TTFT p50 50.3 p99 100.6 ms",
            "          ICL p50 10.1 p99 20.2 ms",
            "server    6 running · 2 waiting · KV 31 %",
        ];
        assert_eq!(view(&under_way(), &past), lines);
    }

    #[test]
    fn when_the_load_is_over_the_view_says_so() {
        let over = Progress { stage: Stage::Judgement, ..under_way() };
        let first = &view(&over, &Past::default())[0];
        assert!(first.starts_with("━━━━━━━━━━━━━━━━━━━━━━━━  the load is over"), "{first}");
    }

    #[test]
    fn past_its_planned_end_the_view_says_what_it_waits_for() {
        let last = Progress { elapsed: Nanos::from_secs(61), ..under_way() };
        assert_eq!(time_words(&last), "61 s: waiting for the last answers");
        let (watch, stop) = (Watch::default(), Stop::default());
        assert!(latest(&watch, &stop).planned.is_none());
        stop.drain();
        let stopped = Progress { planned: latest(&watch, &stop).planned, ..under_way() };
        assert_eq!(time_words(&stopped), "15 s: waiting for the last answers");
        let many = Progress { finished: 12_345, tokens_per_s: 81_234.5, ..last };
        assert!(outcomes(&many).starts_with("12,345 finished"));
        assert!(rates(&many).starts_with("81,235 tok/s"));
    }

    #[test]
    fn a_plain_line_says_the_same() {
        assert_eq!(
            plain(&under_way()),
            "15 s, about 45 s left · 8 in flight · 40 finished · 3 failed (2 refused, 1 severed) · \
             812 tok/s · 2.5 requests/s · TTFT p50 50.3 p99 100.6 ms · ICL p50 10.1 p99 20.2 ms · \
             6 running · 2 waiting · KV 31 %"
        );
        assert_eq!(
            plain(&Progress::default()),
            "0 s · 0 in flight · 0 finished · 0 failed · 0 tok/s · 0.0 requests/s"
        );
    }

    #[test]
    fn a_run_ends_at_whichever_bound_comes_first() {
        let both = Progress { requests: Some(53), ..under_way() };
        assert_eq!((share(&both), left(&both)), (Some(43.0 / 53.0), Some(4.0)));
        assert!(outcomes(&both).starts_with("40 of 53 finished"));
        let endless = Progress { planned: None, ..under_way() };
        assert_eq!((share(&endless), left(&endless)), (None, None));
        let over = Progress { elapsed: Nanos::from_secs(70), ..under_way() };
        assert_eq!((share(&over), left(&over)), (Some(1.0), Some(0.0)));
        assert_eq!([30.0, 600.0, 9000.0].map(clock), ["30 s", "10 min", "2.5 h"]);
    }

    #[test]
    fn the_sparkline_is_bounded_and_begins_anew_with_each_run() {
        let mut past = Past::default();
        let see = |past: &mut Past, second| {
            let elapsed = Nanos::from_secs(second);
            past.see(&Progress { elapsed, in_flight: 5, ..Progress::default() });
        };
        for second in 0..100 {
            see(&mut past, second);
        }
        assert_eq!(past.sparkline().chars().count(), PAST);
        see(&mut past, 0);
        assert_eq!(past.sparkline(), "█");
    }
}

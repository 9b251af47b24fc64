//! The line that shows how a run is doing, on a terminal only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use infermark_run::{Progress, Watch};

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(200);

/// A line that is drawn until it is dropped.
pub(crate) struct Line {
    bar: ProgressBar,
    over: Arc<AtomicBool>,
    drawing: Option<JoinHandle<()>>,
}

impl Line {
    /// Begins to draw on standard error, if that is a terminal.
    pub(crate) fn draw(watch: Watch) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{msg}").expect("a template of ours"));
        let over = Arc::new(AtomicBool::new(false));
        let drawing = (!bar.is_hidden()).then(|| {
            let (bar, over) = (bar.clone(), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    bar.set_message(words(&watch.latest()));
                    thread::park_timeout(EVERY);
                }
            })
        });
        Self { bar, over, drawing }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(drawing) = self.drawing.take() {
            drawing.thread().unpark();
            // A line that could not be drawn is nobody's loss.
            drop(drawing.join());
        }
        self.bar.finish_and_clear();
    }
}

fn words(progress: &Progress) -> String {
    let Progress { elapsed, finished, failed, in_flight, tokens_per_s, ttft_p50 } = progress;
    let ttft = ttft_p50.map(|p50| format!(" · TTFT p50 {:.1} ms", p50.as_millis_f64()));
    format!(
        "{:.0} s · {in_flight} in flight · {finished} finished · {failed} failed · \
         {tokens_per_s:.0} tok/s{}",
        elapsed.as_secs_f64(),
        ttft.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use infermark_terms::Nanos;

    #[test]
    fn the_line_says_how_the_run_is_doing() {
        let progress = Progress {
            elapsed: Nanos::from_secs(12),
            finished: 40,
            failed: 1,
            in_flight: 8,
            tokens_per_s: 812.4,
            ttft_p50: Some(Nanos::from_micros(50_300)),
        };
        assert_eq!(
            words(&progress),
            "12 s · 8 in flight · 40 finished · 1 failed · 812 tok/s · TTFT p50 50.3 ms"
        );
        assert_eq!(
            words(&Progress::default()),
            "0 s · 0 in flight · 0 finished · 0 failed · 0 tok/s"
        );
    }
}

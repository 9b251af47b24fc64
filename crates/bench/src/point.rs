//! One load, measured with one client: which processes run, and what comes of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use infermark_terms::{Ask, OutputPolicy, Prompt, RequestId};
use infermark_wire::http1::{RequestHead, request};
use infermark_wire::openai::{Api, Delivery, Dialect, LengthFields, UsageFields};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::figures::{Said, Spread, Truth};
use crate::machine::{cores, cpu_ns, now_ns, on_core, sleep_until};
use crate::server::Duty;

/// Streams begin one after another, this far apart, in both clients: streams that begin
/// together stay together, and one wake-up would serve them all.
pub(crate) const STAGGER_NS: u64 = 1_000_000;

/// From the last stream's beginning to the window.
const SETTLE_NS: u64 = 2_000_000_000;

/// A prompt of the length of a short question.
const PROMPT: &str = "Explain in simple terms how a transformer generates text, one token at a \
                      time, and what limits how fast it can do so on a modern accelerator.";

/// From the client's end to the question what the server did.
const FAREWELL_NS: u64 = 500_000_000;

/// The number of a request that was not given one.
pub(crate) const NUMBER: &str = "00000000";

/// A load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Streams of a closed loop. In an open one, none.
    pub(crate) streams: u32,
    /// Requests a second of an open loop, Poisson. In a closed one, none.
    pub(crate) rate: f64,
    /// Tokens of each answer.
    pub(crate) tokens: u32,
    pub(crate) ttft_ns: u64,
    pub(crate) itl_ns: u64,
}

impl Load {
    /// A closed loop of streams with so many tokens a second each.
    pub(crate) fn closed(streams: u32, per_second: u32) -> Self {
        let itl_ns = 1_000_000_000 / u64::from(per_second);
        // Requests of some three seconds.
        let tokens = if per_second < 50 { per_second * 3 } else { 128 };
        Self { streams, rate: 0.0, tokens, ttft_ns: 100_000_000, itl_ns }
    }

    /// Poisson arrivals.
    pub(crate) fn open(rate: f64) -> Self {
        Self { streams: 0, rate, tokens: 16, ttft_ns: 20_000_000, itl_ns: 5_000_000 }
    }

    /// Returns the tokens a second of a client that loses no time.
    pub(crate) fn offered(&self) -> f64 {
        let tokens = f64::from(self.tokens);
        if self.streams == 0 {
            return self.rate * tokens;
        }
        let request_ns = self.ttft_ns + self.itl_ns * u64::from(self.tokens - 1);
        f64::from(self.streams) * tokens / (request_ns as f64 / 1e9)
    }
}

/// What a client is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) address: String,
    pub(crate) load: Load,
    pub(crate) window_ns: u64,
}

impl Job {
    /// Returns the window of a load that began at `start_ns`.
    pub(crate) fn window(&self, start_ns: u64) -> (u64, u64) {
        let from = start_ns + self.warmup_ns();
        (from, from + self.window_ns)
    }

    pub(crate) fn warmup_ns(&self) -> u64 {
        u64::from(self.load.streams) * STAGGER_NS + SETTLE_NS
    }

    /// Returns the request, with [`NUMBER`] for its number.
    pub(crate) fn request(&self) -> Result<Vec<u8>> {
        let dialect = Dialect {
            api: Api::Chat,
            delivery: Delivery::Streamed,
            model: "exact".to_owned(),
            length: LengthFields::IgnoreEosAndMinTokens,
            usage: UsageFields::Final,
        };
        let body = dialect.body(&Ask {
            id: RequestId(0),
            prompt: Prompt::Text(PROMPT.to_owned()),
            input_tokens: None,
            output_tokens: Some(self.load.tokens),
            output_policy: OutputPolicy::Exact,
        })?;
        let host = &self.address;
        let headers = [("X-Request-Id".to_owned(), NUMBER.to_owned())];
        let head = RequestHead { method: "POST", path: dialect.path(), host, headers: &headers };
        Ok(request(&head, Some("application/json"), &body))
    }
}

/// The first line of a client: when its load began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) start_ns: u64,
}

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Bare,
    Infermark,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// CPU time of the client's process for each token, in microseconds.
    pub(crate) us_per_token: f64,
    /// How much of the window the client's process was on its core.
    pub(crate) busy: f64,
    /// The same of the server's.
    pub(crate) server_busy: f64,
    /// Tokens that the server sent ÷ those of a client that loses no time.
    pub(crate) achieved: f64,
    pub(crate) tokens_per_s: f64,
    /// From the instant at which a request reached the server's socket to the first token that
    /// it wrote. How long the server took to look is the server's time, so it belongs here.
    pub(crate) true_ttft: Spread,
    pub(crate) said: Said,
    pub(crate) truth: Truth,
}

/// A process of this program.
struct Role {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Role {
    fn start(core: usize, words: [&str; 2]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let _ = command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = on_core(core, || command.spawn())??;
        let input = child.stdin.take().context("the input is a pipe")?;
        let output = BufReader::new(child.stdout.take().context("the output is a pipe")?);
        Ok(Self { child, input, output })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line)?;
        anyhow::ensure!(count > 0, "a process ended before it said what was asked");
        Ok(line.trim().to_owned())
    }

    fn value<T: DeserializeOwned>(&mut self) -> Result<T> {
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn cpu_ns(&self) -> Result<u64> {
        cpu_ns(self.child.id())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Measures a load with one client.
pub(crate) fn measure(client: Client, load: Load, window_s: f64) -> Result<Outcome> {
    let (client_core, server_core) = cores()?;
    let duty = serde_json::to_string(&Duty { ttft_ns: load.ttft_ns, itl_ns: load.itl_ns })?;
    let mut server = Role::start(server_core, ["serve", &duty])?;
    let job = Job { address: server.line()?, load, window_ns: (window_s * 1e9) as u64 };
    let role = match client {
        Client::Bare => "read",
        Client::Infermark => "drive",
    };
    let mut client = Role::start(client_core, [role, &serde_json::to_string(&job)?])?;
    let begun: Begun = client.value()?;
    let (from, to) = job.window(begun.start_ns);
    let sample = |at: u64| -> Result<(u64, u64, u64)> {
        sleep_until(at);
        Ok((now_ns(), client.cpu_ns()?, server.cpu_ns()?))
    };
    let (a, b) = (sample(from)?, sample(to)?);
    let said: Said = client.value()?;
    drop(client);
    // What a client left unfinished is in the truth once the server has seen it go.
    sleep_until(now_ns() + FAREWELL_NS);
    writeln!(server.input, "{from} {to}")?;
    let truth: Truth = server.value()?;
    let span = (b.0 - a.0) as f64;
    // The samples may be taken a little late, tokens are counted exactly from `from` to `to`.
    let (busy, server_busy) = ((b.1 - a.1) as f64 / span, (b.2 - a.2) as f64 / span);
    let tokens_per_s = truth.tokens as f64 / window_s;
    Ok(Outcome {
        us_per_token: busy * 1e6 / tokens_per_s,
        busy,
        server_busy,
        achieved: tokens_per_s / load.offered(),
        tokens_per_s,
        true_ttft: true_ttft(&said, &truth),
        said,
        truth,
    })
}

fn true_ttft(said: &Said, truth: &Truth) -> Spread {
    let firsts: BTreeMap<u64, u64> = truth.firsts.iter().copied().collect();
    let first = |&(number, sent)| Some(firsts.get(&number)?.saturating_sub(sent));
    Spread::of(said.sent.iter().filter_map(first).collect())
}

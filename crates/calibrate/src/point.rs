//! One load, measured with one client: which processes run, and what comes of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use infermark_terms::{Ask, OutputPolicy, Prompt, RequestId};
use infermark_wire::http1::{RequestHead, request};
use infermark_wire::{Api, Delivery, Dialect, LengthFields, UsageFields};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::CalibrateError;
use crate::figures::{Said, Spread, Truth};
use crate::machine::{cores, cpu_ns, now_ns, on_core, sleep_until};
use crate::server::{self, Duty, Scheme};

/// A prompt of the length of a short question.
const PROMPT: &str = "Explain in simple terms how a transformer generates text, one token at a \
                      time, and what limits how fast it can do so on a modern accelerator.";

/// From the client's end to the question what the server did.
const FAREWELL_NS: u64 = 300_000_000;

/// The number of a request that was not given one.
pub(crate) const NUMBER: &str = "00000000";

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// Streams of a closed loop. In an open one, none.
    pub streams: u32,
    /// Requests a second of an open loop, Poisson. In a closed one, none.
    pub rate: f64,
    /// Tokens of each answer.
    pub tokens: u32,
    /// From a request's arrival to its first token.
    pub ttft_ns: u64,
    /// From one token to the next.
    pub itl_ns: u64,
    /// From the load's beginning to the window.
    pub warmup_ns: u64,
    /// Whether over TLS.
    pub scheme: Scheme,
}

impl Load {
    /// Returns the tokens a second of a client that loses no time.
    pub fn offered(&self) -> f64 {
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
pub struct Job {
    /// Where the server is.
    pub address: SocketAddr,
    /// The load.
    pub load: Load,
    /// How long it is measured.
    pub window_ns: u64,
}

impl Job {
    /// Returns the window of a load that began at `start_ns`.
    pub fn window(&self, start_ns: u64) -> (u64, u64) {
        let from = start_ns + self.load.warmup_ns;
        (from, from + self.window_ns)
    }

    pub(crate) fn url(&self) -> String {
        let scheme = match self.load.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the request, with zeroes for its number.
    ///
    /// # Panics
    ///
    /// Never: every API takes a text.
    pub fn request(&self) -> Vec<u8> {
        let dialect = Dialect {
            api: Api::Chat,
            delivery: Delivery::Streamed,
            model: "exact".to_owned(),
            length: LengthFields::IgnoreEosAndMinTokens,
            usage: UsageFields::Final,
        };
        let ask = Ask {
            id: RequestId(0),
            prompt: Prompt::Text(PROMPT.to_owned()),
            input_tokens: None,
            output_tokens: Some(self.load.tokens),
            output_policy: OutputPolicy::Exact,
        };
        let body = dialect.body(&ask).expect("every API takes a text");
        let host = &self.address.to_string();
        let headers = [("X-Request-Id".to_owned(), NUMBER.to_owned())];
        let path = dialect.path();
        let head = RequestHead { method: "POST", path: &path, host, headers: &headers };
        request(&head, Some("application/json"), &body)
    }
}

/// The first line of a client: when its load began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// On `CLOCK_MONOTONIC`.
    pub start_ns: u64,
}

/// How a program is started that plays a role: these words, then the role's own, then what the
/// role is told, in JSON.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// The first of its words.
    pub words: Vec<OsString>,
}

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// CPU time of the client's process for each token, in microseconds.
    pub us_per_token: f64,
    /// How much of the window the client's process was on its core.
    pub busy: f64,
    /// The same of the server's.
    pub server_busy: f64,
    /// Tokens that the server sent ÷ those of a client that loses no time.
    pub achieved: f64,
    /// Tokens that the server sent in the window, a second.
    pub tokens_per_s: f64,
    /// From the instant at which a request reached the server's socket to the first token that
    /// it wrote. How long the server took to look is the server's time, so it belongs here.
    pub true_ttft: Spread,
    /// What the client says.
    pub said: Said,
    /// What the server did.
    pub truth: Truth,
}

impl Outcome {
    /// Returns the errors of the client's TTFT p50, TTFT p99 and ITL p99, as shares of the truth.
    pub fn errors(&self) -> [f64; 3] {
        let Self { said, truth, true_ttft, .. } = self;
        let error = |ours: u64, real: u64| ours as f64 / real.max(1) as f64 - 1.0;
        [
            error(said.ttft.p50, true_ttft.p50),
            error(said.ttft.p99, true_ttft.p99),
            error(said.itl.p99, truth.itl.p99),
        ]
    }

    /// Returns the greater of the two p99 errors, without its sign.
    pub fn worst_error(&self) -> f64 {
        let [_, ttft, itl] = self.errors();
        ttft.abs().max(itl.abs())
    }
}

/// A process of this program.
struct Role {
    name: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Role {
    fn start(
        core: usize,
        launch: &Launch,
        name: &str,
        told: &impl Serialize,
    ) -> Result<Self, CalibrateError> {
        let told = serde_json::to_string(told).expect("plain data");
        let mut command = Command::new(&launch.program);
        let _ = command.args(&launch.words).args([name, &told]);
        let _ = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = on_core(core, || command.spawn())?;
        let mut child =
            child.map_err(|source| CalibrateError::System { what: "further process", source })?;
        let input = child.stdin.take().expect("the input is a pipe");
        let output = BufReader::new(child.stdout.take().expect("the output is a pipe"));
        Ok(Self { name: name.to_owned(), child, input, output })
    }

    /// Reads what the process says next.
    fn value<T: DeserializeOwned>(&mut self) -> Result<T, CalibrateError> {
        let mut text = String::new();
        let role = self.name.clone();
        match self.output.read_line(&mut text) {
            Ok(0) | Err(_) => Err(CalibrateError::Ended { role }),
            Ok(_) => match serde_json::from_str(&text) {
                Ok(value) => Ok(value),
                Err(_) => Err(CalibrateError::Said { role, text: text.trim().to_owned() }),
            },
        }
    }

    fn tell(&mut self, line: &str) -> Result<(), CalibrateError> {
        let told = writeln!(self.input, "{line}");
        told.map_err(|_| CalibrateError::Ended { role: self.name.clone() })
    }

    fn cpu_ns(&self) -> Result<u64, CalibrateError> {
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

/// Measures a load for so many seconds with the client that plays this role.
///
/// # Errors
///
/// If the system gives no processes, or one of them fails.
pub fn measure(
    launch: &Launch,
    client: &str,
    load: Load,
    window_s: f64,
) -> Result<Outcome, CalibrateError> {
    let (client_core, server_core) = cores()?;
    let duty = Duty { ttft_ns: load.ttft_ns, itl_ns: load.itl_ns, scheme: load.scheme };
    let mut server = Role::start(server_core, launch, server::ROLE, &duty)?;
    let job = Job { address: server.value()?, load, window_ns: (window_s * 1e9) as u64 };
    let mut client = Role::start(client_core, launch, client, &job)?;
    let begun: Begun = client.value()?;
    let (from, to) = job.window(begun.start_ns);
    let sample = |at: u64| -> Result<(u64, u64, u64), CalibrateError> {
        sleep_until(at);
        Ok((now_ns(), client.cpu_ns()?, server.cpu_ns()?))
    };
    let (a, b) = (sample(from)?, sample(to)?);
    let said: Said = client.value()?;
    drop(client);
    // What a client left unfinished is in the truth once the server has seen it go.
    sleep_until(now_ns() + FAREWELL_NS);
    server.tell(&format!("{from} {to}"))?;
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

//! Measures infermark's hot path against a bare reader and an exact server, each process on a
//! core of its own.
//!
//! ```text
//!  this process ──▶ server (core 1): sends token k at arrival + TTFT + k · ITL, keeps the truth
//!       │ └───────▶ client (core 0): the bare reader, or infermark's worker loop
//!       ▼
//!   CPU time of the client over the window ÷ tokens that the server wrote in it
//! ```
//!
//! Both clients meet the same server, with the same load, in turn; what is compared are ratios
//! of figures from one run of this program.
//!
//! Not here: the whole `infermark` process with its record (`scripts/bench.sh` shows that too).

mod bare;
mod table;

use std::io::Write;

use anyhow::{Context, Result, bail};
use infermark_calibrate::{client, say, server};
use serde::de::DeserializeOwned;

const USAGE: &str = "usage: infermark-bench [cost|tls|limit|memory|lag|POINT]…
  cost       CPU per token of the bare reader and of infermark, by load
  tls        CPU per token of infermark without TLS and with it
  limit      the highest load at which both p99 errors stay below 1 %
  memory     memory per stream at 4,096 streams
  lag        lag at 1,000 requests a second, Poisson
  POINT      one load, STREAMSxTOKENS_PER_SECOND, such as 1024x50
Without words: everything.
";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [server::ROLE, duty] => Ok(server::serve(&told(duty)?)?),
        [bare::ROLE, job] => Ok(say(&bare::read(&told(job)?)?)?),
        [client::ROLE, job] => Ok(say(&client::drive(&told(job)?)?)?),
        [] => table::all(),
        [..] if words.iter().any(|word| word.starts_with('-')) => write_out(USAGE),
        ref words => words.iter().try_for_each(|word| match *word {
            "cost" => table::cost(),
            "tls" => table::tls(),
            "limit" => table::limit(),
            "memory" => table::memory(),
            "lag" => table::lag(),
            word => match word.split_once('x').map(|(n, rate)| (n.parse(), rate.parse())) {
                Some((Ok(streams), Ok(rate))) => table::compare(streams, rate),
                _ => bail!("`{word}` is not known\n{USAGE}"),
            },
        }),
    }
}

fn told<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("a role is started by this program itself")
}

fn write_out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

//! Measures the listener itself: how late its tokens are, and how many it can send.
//!
//! ```text
//! cargo run --release -p infermark-sim --example serve_lateness
//! ```
//!
//! The client is a bare reader on another thread of this process: one event queue, one read for
//! each readable socket, and nothing done with the bytes but counting. It pins itself to one
//! core and the listener to another, so the figures need two that nobody else uses; the last
//! column says how long the listener waited for its core while others had it.

#![expect(clippy::print_stdout, reason = "an example prints its figures")]

use std::error::Error;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use infermark_sim::latency::{FixedEngine, FixedLatency};
use infermark_sim::serve::{ServePlan, Summary, start};
use infermark_terms::Nanos;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::Pid;

/// A load to be measured.
struct Load {
    name: &'static str,
    streams: usize,
    itl: Nanos,
    tokens: u32,
    /// How far apart the streams start.
    stagger: Nanos,
}

const LOADS: [Load; 5] = [
    Load {
        name: "20,000 tok/s, streams out of step",
        streams: 256,
        itl: Nanos::from_micros(12_800),
        tokens: 400,
        stagger: Nanos::from_micros(50),
    },
    Load {
        name: "20,000 tok/s, all streams in step",
        streams: 256,
        itl: Nanos::from_micros(12_800),
        tokens: 400,
        stagger: Nanos::ZERO,
    },
    Load {
        name: "51,200 tok/s, streams out of step",
        streams: 1_024,
        itl: Nanos::from_micros(20_000),
        tokens: 250,
        stagger: Nanos::from_micros(20),
    },
    Load {
        name: "102,400 tok/s, streams out of step",
        streams: 1_024,
        itl: Nanos::from_micros(10_000),
        tokens: 500,
        stagger: Nanos::from_micros(10),
    },
    Load {
        name: "as fast as it goes",
        streams: 256,
        itl: Nanos(1),
        tokens: 4_000,
        stagger: Nanos::ZERO,
    },
];

fn main() -> Result<(), Box<dyn Error>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let cores = thread::available_parallelism()?.get();
    println!("{cores} cores; lateness in µs from a token's due instant to the return of its write");
    println!(
        "{:<36} {:>9} {:>9} {:>7} {:>7} {:>9} {:>10} {:>9}",
        "load", "tokens", "tok/s", "p50", "p99", "max", "µs CPU/tok", "waited ms"
    );
    for load in &LOADS {
        measure(load, cores)?;
    }
    Ok(())
}

fn measure(load: &Load, cores: usize) -> Result<(), Box<dyn Error>> {
    // The listener's thread inherits the core that this one has when it starts it.
    pin(cores - 1)?;
    let latency =
        FixedLatency { ttft: Nanos::from_millis(300), itl: load.itl, prefill_per_token: Nanos(0) };
    let plan = ServePlan { block_tokens: None, ..ServePlan::new("toy") };
    let serving = start(plan, Box::new(FixedEngine::new(latency)))?;
    pin(0)?;
    let address = serving.address();
    let before = now(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    let own_before = now(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let (first, last) = read_streams(load, address)?;
    let own = now(ClockId::CLOCK_THREAD_CPUTIME_ID)? - own_before;
    let cpu = now(ClockId::CLOCK_PROCESS_CPUTIME_ID)? - before - own;
    let waited = waited("sim-serve")?;
    let Summary { tokens, lateness, .. } = serving.stop();
    let rate = tokens as f64 / ((last - first) as f64 / 1e9);
    let micros = |span: Nanos| span.0 as f64 / 1e3;
    println!(
        "{:<36} {:>9} {:>9.0} {:>7.1} {:>7.1} {:>9.1} {:>10.2} {:>9.1}",
        load.name,
        tokens,
        rate,
        micros(lateness.p50),
        micros(lateness.p99),
        micros(lateness.max),
        cpu as f64 / 1e3 / tokens as f64,
        waited.0 as f64 / 1e6
    );
    Ok(())
}

/// Returns how long the thread of this name was ready to run but did not.
fn waited(name: &str) -> Result<Nanos, Box<dyn Error>> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let waited = times.split_whitespace().nth(1).ok_or("no run delay is given")?;
            return Ok(Nanos(waited.parse()?));
        }
    }
    Err(format!("there is no thread `{name}`").into())
}

/// Starts the streams, reads them all, and returns when the first and the last read were.
fn read_streams(load: &Load, address: SocketAddr) -> Result<(u64, u64), Box<dyn Error>> {
    let body = format!(
        "{{\"model\":\"toy\",\"stream\":true,\"ignore_eos\":true,\"max_tokens\":{},\
         \"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}",
        load.tokens
    );
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: toy\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let mut streams = Vec::new();
    for index in 0..load.streams {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
        streams.push(stream);
    }
    let start = now(ClockId::CLOCK_MONOTONIC)?;
    for (index, stream) in streams.iter_mut().enumerate() {
        let at = Duration::from_nanos(start + load.stagger.0 * index as u64);
        let flags = ClockNanosleepFlags::TIMER_ABSTIME;
        let _: TimeSpec = clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &at.into())?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
    }
    let mut buffer = vec![0; 64 << 10];
    let mut events = vec![EpollEvent::empty(); 256];
    let (mut first, mut open) = (0, load.streams);
    while open > 0 {
        let count = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..count] {
            let stream = &mut streams[event.data() as usize];
            match stream.read(&mut buffer) {
                Ok(0) => {
                    epoll.delete(&*stream)?;
                    open -= 1;
                }
                // The heads come at once, the first tokens much later.
                Ok(bytes) if first == 0 && bytes > 200 => first = now(ClockId::CLOCK_MONOTONIC)?,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((first, now(ClockId::CLOCK_MONOTONIC)?))
}

fn pin(core: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

fn now(clock: ClockId) -> nix::Result<u64> {
    let time = clock_gettime(clock)?;
    Ok(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

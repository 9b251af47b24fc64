//! How long a prediction takes: 10,000 requests of 512/256 tokens, then as many as asked.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a stopwatch for people")]
use infermark_sim::deployment::Deployment;
use infermark_sim::engine::Fleet;
use infermark_sim::predict::{Horizon, Lengths, Load, Stream, Summary, predict};
use infermark_sim::{hardware, model::registry};
use infermark_terms::{Due, Seed};

fn main() {
    let asked = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(10_000);
    for requests in [1_000, 10_000, asked] {
        let model = registry::find("llama-3.1-8b").expect("it is in the registry");
        let gpu = hardware::find("h100").expect("it is in the table");
        let mut fleet = Fleet::new(&Deployment::new(model, gpu), Seed(1)).expect("it fits");
        let mut stream = Stream::new(Load::Poisson { rate: 20.0 }, requests, Seed(1));
        let mut watch = Summary::default();
        let start = std::time::Instant::now();
        let (input, output) = (Lengths::Fixed(512), Lengths::Fixed(256));
        let mut ask = |due: Due| Lengths::job(input, output, Seed(1), due.id);
        predict(&mut fleet, &mut stream, &mut ask, Horizon::default(), &mut watch);
        let took = start.elapsed().as_secs_f64();
        println!("{requests} requests in {took:.3} s: {:?}", watch.figures());
    }
}

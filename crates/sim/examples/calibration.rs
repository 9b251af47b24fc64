//! Prints the table of docs/simulator.md: every shipped measurement and its prediction, or those
//! of a CSV file.
#![expect(clippy::print_stdout, reason = "it prints a table")]

use infermark_sim::validate::{self, Checked, Engines, Figure};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = match std::env::args().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => validate::PUBLISHED.to_owned(),
    };
    let checked = validate::validate(&validate::read(&text)?, &|_| {});
    println!("| row | figure | measured | predicted | error |\n|---|---|---:|---:|---:|");
    for Checked { row, outcome } in &checked {
        let Ok((comparisons, _)) = outcome else { continue };
        for c in comparisons {
            let digits = if c.figure == Figure::Tpot { 2 } else { 0 };
            println!(
                "| {} | {} | {:.digits$} | {:.digits$} | {:+.1} % |",
                row.row,
                c.figure.name(),
                c.measured,
                c.predicted,
                c.error() * 100.0
            );
        }
    }
    println!("\n| rejected row | why |\n|---|---|");
    for Checked { row, outcome } in &checked {
        if let Err(why) = outcome {
            println!("| {} | {why} |", row.row);
        }
    }
    println!("\n| engines | figure | rows | median error | p90 error |");
    println!("|---|---|---:|---:|---:|");
    let all = [("vLLM", Engines::Vllm), ("others", Engines::Others)];
    let errors = all.map(|(name, engines)| (name, validate::errors(&checked, engines)));
    for (name, e) in errors.iter().flat_map(|(name, e)| e.iter().map(move |e| (name, e))) {
        println!(
            "| {name} | {} | {} | {:.1} % | {:.1} % |",
            e.figure.name(),
            e.rows,
            e.median * 100.0,
            e.p90 * 100.0
        );
    }
    Ok(())
}

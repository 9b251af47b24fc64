//! The embedded engine served by a process of its own; it ends with the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A served engine.
pub(crate) struct Served {
    process: Child,
    /// Its base URL.
    pub(crate) url: String,
}

impl Served {
    /// Serves a quick engine on a free port, with these options besides.
    pub(crate) fn start(options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_infermark"))
            .args(["sim", "serve", "sim:ttft=1ms,itl=100us", "--address", "127.0.0.1:0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let url = loop {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it said no address");
            let begin = line.find("http://").or_else(|| line.find("https://"));
            if let Some(at) = begin {
                let url: String = line[at..].chars().take_while(|c| !c.is_whitespace()).collect();
                break url;
            }
        };
        // What else it says must not block it.
        let _: std::thread::JoinHandle<()> = std::thread::spawn(move || {
            drop(said.read_to_end(&mut Vec::new()));
        });
        Self { process, url }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

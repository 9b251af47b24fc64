//! The suites that come with infermark, as texts that a user could have written.

/// Names, and texts.
const SUITES: [(&str, &str); 4] = [
    ("ai-factory", include_str!("../../../../suites/ai-factory.yaml")),
    ("profiles", include_str!("../../../../suites/profiles.yaml")),
    ("random-matrix", include_str!("../../../../suites/random-matrix.yaml")),
    ("serving-comparison", include_str!("../../../../suites/serving-comparison.yaml")),
];

/// What the suites after `MLPerf` say of every model.
const OFFLINE: &str = include_str!("../../../../suites/mlperf-offline.yaml");
const SERVER: &str = include_str!("../../../../suites/mlperf-server.yaml");

/// A model of `MLPerf` Inference.
struct Model {
    name: &'static str,
    /// Lengths near those of the rules' data set.
    input: &'static str,
    output: &'static str,
    /// The least number of samples of the offline scenario.
    samples: u32,
    /// The limits of TTFT and TPOT in milliseconds, at the 99th percentile.
    server: (u32, u32),
    interactive: Option<(u32, u32)>,
}

/// The rules' models, after `loadgen/mlperf.conf`.
const MODELS: [Model; 6] = [
    Model {
        name: "llama2-70b",
        input: "lognormal(300,250,16..1024)",
        output: "lognormal(294,200,16..1024)",
        samples: 24576,
        server: (2000, 200),
        interactive: Some((450, 40)),
    },
    Model {
        name: "llama3.1-8b",
        input: "lognormal(778,350,64..2500)",
        output: "128",
        samples: 13368,
        server: (2000, 100),
        interactive: Some((500, 30)),
    },
    Model {
        name: "llama3.1-405b",
        input: "lognormal(9400,6000,256..20000)",
        output: "lognormal(680,500,16..2000)",
        samples: 8313,
        server: (6000, 175),
        interactive: Some((4500, 80)),
    },
    Model {
        name: "mixtral-8x7b",
        input: "lognormal(300,250,16..1024)",
        output: "lognormal(145,120,16..1024)",
        samples: 15000,
        server: (2000, 200),
        interactive: None,
    },
    Model {
        name: "deepseek-r1",
        input: "lognormal(800,600,64..3136)",
        output: "lognormal(3886,3000,64..20000)",
        samples: 4388,
        server: (2000, 80),
        interactive: Some((1500, 15)),
    },
    Model {
        name: "gpt-oss-120b",
        input: "lognormal(1024,800,64..8192)",
        output: "lognormal(1024,800,64..10240)",
        samples: 6396,
        server: (3000, 80),
        interactive: Some((2000, 15)),
    },
];

/// Returns the text of a shipped suite.
pub(super) fn text(name: &str) -> Option<String> {
    if let Some((_, text)) = SUITES.iter().find(|(known, _)| *known == name) {
        return Some((*text).to_owned());
    }
    let (model, scenario) = name.strip_prefix("mlperf:")?.split_once(':')?;
    let model = MODELS.iter().find(|known| known.name == model)?;
    let (template, limits) = match scenario {
        "offline" => (OFFLINE, None),
        "server" => (SERVER, Some(model.server)),
        "interactive" => (SERVER, Some(model.interactive?)),
        _ => return None,
    };
    let (ttft, tpot) = limits.unwrap_or_default();
    let words = [
        ("{model}", model.name.to_owned()),
        ("{scenario}", scenario.to_owned()),
        ("{input}", format!("'{}'", model.input)),
        ("{output}", format!("'{}'", model.output)),
        ("{samples}", model.samples.to_string()),
        ("{ttft}", ttft.to_string()),
        ("{tpot}", tpot.to_string()),
    ];
    Some(words.iter().fold(template.to_owned(), |text, (word, value)| text.replace(word, value)))
}

/// Returns the names of all shipped suites.
pub(super) fn names() -> Vec<String> {
    let rules = MODELS.iter().flat_map(|model| {
        let interactive = model.interactive.map(|_| "interactive");
        let scenarios = [Some("offline"), Some("server"), interactive];
        scenarios.into_iter().flatten().map(|scenario| format!("mlperf:{}:{scenario}", model.name))
    });
    SUITES.iter().map(|(name, _)| (*name).to_owned()).chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use infermark_scenario::suite::parse_suite;

    use super::*;

    #[test]
    fn every_shipped_suite_can_be_read_and_has_its_name() {
        for name in names() {
            let text = text(&name).unwrap();
            let suite = parse_suite(Path::new(&name), &text);
            let suite = suite.unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert_eq!(suite.name, name);
            assert!(suite.workloads.iter().all(|workload| !workload.checks.is_empty()), "{name}");
        }
    }
}

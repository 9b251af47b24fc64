//! The suites that come with infermark, as texts that a user could have written.

/// Names, and texts.
const SUITES: [(&str, &str); 4] = [
    ("ai-factory", include_str!("../../../../suites/ai-factory.yaml")),
    ("profiles", include_str!("../../../../suites/profiles.yaml")),
    ("random-matrix", include_str!("../../../../suites/random-matrix.yaml")),
    ("serving-comparison", include_str!("../../../../suites/serving-comparison.yaml")),
];

/// Returns the text of a shipped suite.
pub(super) fn text(name: &str) -> Option<&'static str> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Returns the names of all shipped suites.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use infermark_scenario::suite::parse_suite;

    use super::*;

    #[test]
    fn every_shipped_suite_can_be_read_and_has_its_name() {
        for name in names() {
            let text = text(name).unwrap();
            let suite = parse_suite(Path::new(name), text);
            let suite = suite.unwrap_or_else(|problems| panic!("{name}: {problems}"));
            assert_eq!(suite.name, name);
            assert!(suite.workloads.iter().all(|workload| !workload.checks.is_empty()), "{name}");
        }
    }
}

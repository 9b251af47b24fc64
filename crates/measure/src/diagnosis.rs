//! What limits a server at one operating point, and the setting that would change it.
//!
//! Rules over the point's own figures, in the order in which one limit hides another: a client
//! that is late hides everything; lowered clocks slow every step; a request that was preempted or
//! waits for memory waits whatever the seats; a step that is filled by prompts keeps a queue that
//! more seats would not shorten. docs/telemetry.md says the same with its reasons.
//!
//! Not here: how good the point is, and which load is the best.

use infermark_terms::CaveatCode;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Knob};
use crate::{Gpu, LoadPlan, Point, Telemetry};

/// What limits a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The generator or its machine.
    Client,
    /// Power or heat: the GPU's clocks are lowered.
    PowerCap,
    /// KV memory that runs out under way: requests begin again.
    Preemption,
    /// KV memory: requests wait for room.
    KvMemory,
    /// Computing prompts.
    Prefill,
    /// Seats in the batch: requests wait though there is room.
    Queue,
    /// Reading weights and KV memory for each output token.
    DecodeBandwidth,
    /// Nothing of the server: it waits for requests.
    OfferedLoad,
}

impl Limit {
    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::PowerCap => "power cap",
            Self::Preemption => "preemption",
            Self::KvMemory => "KV memory",
            Self::Prefill => "prefill",
            Self::Queue => "queue",
            Self::DecodeBandwidth => "decode bandwidth",
            Self::OfferedLoad => "offered load",
        }
    }
}

/// One limit, with its evidence and what would change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub limit: Limit,
    /// The figures that show it.
    pub evidence: String,
    /// What would change it, with the server's own name for it where the server is known.
    pub hint: String,
}

/// From this share of the samples on, lowered clocks are no accident.
const THROTTLED_MIN: f64 = 0.5;
/// A GPU that draws this share of what it may is held by it.
const POWER_SHARE_MIN: f64 = 0.97;
/// Preemptions for each request that ended.
const PREEMPTED_MIN: f64 = 0.01;
/// KV memory is full from here on, whatever a request takes.
const KV_FULL: f64 = 0.9;
/// Requests that wait at this share of the samples wait for something. A burst that waits for the
/// next step does not.
const WAITING_SHARE_MIN: f64 = 0.5;
/// Tokens in a step from which on computing takes longer than reading the weights: the ratio of
/// arithmetic to bandwidth of current GPUs at 16 bits is 150 (A100) to 300 (H100). (Williams et
/// al. 2009, "Roofline".)
const STEP_TOKENS_MIN: f64 = 256.0;
/// With less than this running, the server is idle half of the time.
const RUNNING_MIN: f64 = 0.5;

/// Says what limits the server at a point, the foremost limit first; nothing where nobody
/// reported enough to tell. Settings are named as `engine` names them; of an unknown one, none.
pub fn diagnose(point: &Point, engine: Option<Engine>) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        [client(point), power_cap(&point.gpus)].into_iter().flatten().collect();
    if let Some(server) = &point.server {
        let rules = [preemption, kv_memory, prefill, queue, decode, offered_load];
        let seen = Seen { point, server, engine };
        // Each rule excludes those after it.
        findings.extend(rules.iter().find_map(|rule| rule(&seen)));
    }
    findings
}

/// What the rules look at.
struct Seen<'a> {
    point: &'a Point,
    server: &'a Telemetry,
    engine: Option<Engine>,
}

impl Seen<'_> {
    /// Returns what comes before a setting, the setting and what comes after it; nothing where the
    /// engine has none or is not known.
    fn setting(&self, before: &str, knob: Knob, after: &str) -> String {
        let known = self.engine.and_then(|engine| engine.setting(knob));
        known.map_or(String::new(), |setting| format!("{before}`{setting}`{after}"))
    }
}

fn client(point: &Point) -> Option<Finding> {
    let caveats = &point.trust.caveats;
    let bound = caveats.iter().find(|caveat| caveat.code == CaveatCode::ClientBound)?;
    Some(Finding { limit: Limit::Client, evidence: bound.detail.clone(), hint: bound.hint.clone() })
}

fn power_cap(gpus: &[Gpu]) -> Option<Finding> {
    let evidence = gpus.iter().find_map(|gpu| {
        let near = gpu.power_mean_watts.zip(gpu.power_limit_watts);
        let near = near.filter(|(mean, limit)| *mean >= POWER_SHARE_MIN * limit);
        match (gpu.throttled_share, near) {
            (Some(share), _) if share >= THROTTLED_MIN => Some(format!(
                "power or heat lowered the clocks of {} at {:.0} % of the samples",
                gpu.id,
                100.0 * share
            )),
            (_, Some((mean, limit))) => {
                Some(format!("{} drew {mean:.0} W of the {limit:.0} W that it may", gpu.id))
            }
            (_, None) => None,
        }
    })?;
    Some(Finding {
        limit: Limit::PowerCap,
        evidence,
        hint: "raise the power limit (`nvidia-smi -pl`) or the cooling".to_owned(),
    })
}

fn preemption(seen: &Seen<'_>) -> Option<Finding> {
    let Seen { point, server, .. } = seen;
    let preemptions = server.preemptions.filter(|&count| count > 0)?;
    let requests = point.counts.due.max(1);
    (preemptions as f64 >= PREEMPTED_MIN * requests as f64).then(|| Finding {
        limit: Limit::Preemption,
        evidence: format!(
            "{preemptions} preemptions for {requests} requests{}",
            server.kv_usage_max.map_or(String::new(), |kv| format!(
                ", with up to {:.0} % of KV memory in use",
                100.0 * kv
            ))
        ),
        hint: format!(
            "fewer seats{}; or more KV memory{}",
            seen.setting(": lower ", Knob::Seats, ""),
            seen.setting(": raise ", Knob::KvMemory, "")
        ),
    })
}

/// Requests wait, and what is free has no room for one more of those that run.
fn kv_memory(seen: &Seen<'_>) -> Option<Finding> {
    let server = seen.server;
    let waiting = waiting(server)?;
    let (kv, running) = (server.kv_usage_max?, server.running_mean?);
    let is_full = kv >= KV_FULL || (running >= 1.0 && kv * (1.0 + 1.0 / running) >= 1.0);
    is_full.then(|| Finding {
        limit: Limit::KvMemory,
        evidence: format!(
            "{waiting} while {running:.1} ran and up to {:.0} % of KV memory was in use",
            100.0 * kv
        ),
        hint: format!(
            "more KV memory{}; or fewer bits in it{}",
            seen.setting(": raise ", Knob::KvMemory, ""),
            seen.setting(": ", Knob::KvBits, "")
        ),
    })
}

/// The steps are filled by prompts: tokens in a step are tokens per second × seconds of a step,
/// and a step takes one inter-token time.
fn prefill(seen: &Seen<'_>) -> Option<Finding> {
    let Seen { point, server, .. } = seen;
    let step_s = point.latency.tpot_ms?.mean / 1000.0;
    let computed = 1.0 - server.prefix_hit_rate.unwrap_or(0.0);
    let prompts = server.prompt_tokens_per_s? * computed * step_s;
    let generated = server.generation_tokens_per_s? * step_s;
    let fills = prompts + generated >= STEP_TOKENS_MIN && prompts >= generated;
    fills.then(|| Finding {
        limit: Limit::Prefill,
        evidence: format!(
            "a step computes {prompts:.0} prompt tokens beside {generated:.0} output tokens{}",
            waiting(server).map_or(String::new(), |waiting| format!(", and {waiting}"))
        ),
        hint: format!(
            "more compute: more GPUs{} or fewer bits{}{}; shared beginnings need the prefix \
             cache{}",
            seen.setting(" (", Knob::Gpus, ")"),
            seen.setting(" (", Knob::WeightBits, ")"),
            seen.setting("; ", Knob::StepTokens, " trades TTFT for ITL"),
            seen.setting(" (", Knob::PrefixCache, ")")
        ),
    })
}

fn queue(seen: &Seen<'_>) -> Option<Finding> {
    let server = seen.server;
    let waiting = waiting(server)?;
    let kv = server.kv_usage_max.map_or(String::new(), |kv| {
        format!(", with {:.0} % of KV memory in use at most", 100.0 * kv)
    });
    let running = server.running_mean.map_or(String::new(), |n| format!(" while {n:.1} ran"));
    Some(Finding {
        limit: Limit::Queue,
        evidence: format!("{waiting}{running}{kv}"),
        hint: format!("more seats{}; or more replicas", seen.setting(": raise ", Knob::Seats, "")),
    })
}

fn decode(seen: &Seen<'_>) -> Option<Finding> {
    let Seen { point, server, .. } = seen;
    let running = server.running_mean.filter(|&running| running >= RUNNING_MIN)?;
    let step = point
        .latency
        .tpot_ms
        .map_or(String::new(), |tpot| format!(", each token after {:.2} ms", tpot.mean));
    let more = match point.load {
        LoadPlan::Closed { .. } => "raise the concurrency for more throughput; ",
        LoadPlan::Open { .. } | LoadPlan::Trace { .. } => "",
    };
    Some(Finding {
        limit: Limit::DecodeBandwidth,
        evidence: format!("{running:.1} ran without a lasting queue{step}"),
        hint: format!(
            "{more}for faster tokens: fewer bits{}, more GPUs{}, or speculative decoding{}",
            seen.setting(" (", Knob::WeightBits, ")"),
            seen.setting(" (", Knob::Gpus, ")"),
            seen.setting(" (", Knob::Drafts, ")")
        ),
    })
}

fn offered_load(seen: &Seen<'_>) -> Option<Finding> {
    let running = seen.server.running_mean?;
    Some(Finding {
        limit: Limit::OfferedLoad,
        evidence: format!("{running:.2} requests ran in the mean, without a lasting queue"),
        hint: "raise the rate or the concurrency".to_owned(),
    })
}

/// Says how many waited; nothing where hardly any did.
fn waiting(server: &Telemetry) -> Option<String> {
    let share = server.waiting_share?;
    let mean = server.waiting_mean.filter(|_| share >= WAITING_SHARE_MIN)?;
    let most = server.waiting_max.map_or(String::new(), |most| format!(", {most} at most"));
    Some(format!("{mean:.1} requests waited{most}"))
}

#[cfg(test)]
mod tests {
    use infermark_terms::{Caveat, Trust};

    use super::*;
    use crate::tests::a_point;

    fn server() -> Telemetry {
        Telemetry {
            prompt_tokens_per_s: Some(100.0),
            generation_tokens_per_s: Some(100.0),
            running_mean: Some(4.0),
            waiting_share: Some(1.0),
            waiting_mean: Some(6.0),
            waiting_max: Some(9),
            kv_usage_max: Some(0.1),
            preemptions: Some(0),
            ..Telemetry::default()
        }
    }

    fn limits(point: &Point) -> Vec<Limit> {
        diagnose(point, None).into_iter().map(|finding| finding.limit).collect()
    }

    fn with(server: Telemetry) -> Point {
        Point { server: Some(server), ..a_point() }
    }

    #[test]
    fn each_limit_is_told_from_those_that_it_hides() {
        assert_eq!(limits(&with(server())), [Limit::Queue]);
        let full = Telemetry { kv_usage_max: Some(0.93), ..server() };
        assert_eq!(limits(&with(full)), [Limit::KvMemory]);
        // Four requests fill four fifths and more: a fifth one has no room.
        let no_room = Telemetry { kv_usage_max: Some(0.81), ..server() };
        assert_eq!(limits(&with(no_room)), [Limit::KvMemory]);
        let thrash = Telemetry { preemptions: Some(3), ..full };
        assert_eq!(limits(&with(thrash)), [Limit::Preemption]);
        let prompts = Telemetry { prompt_tokens_per_s: Some(1e6), ..server() };
        assert_eq!(limits(&with(prompts)), [Limit::Prefill]);
        let cached = Telemetry { prefix_hit_rate: Some(0.999_9), ..prompts };
        assert_eq!(limits(&with(cached)), [Limit::Queue]);
        let calm = Telemetry { waiting_share: Some(0.1), ..server() };
        assert_eq!(limits(&with(calm)), [Limit::DecodeBandwidth]);
        let idle = Telemetry { running_mean: Some(0.1), ..calm };
        assert_eq!(limits(&with(idle)), [Limit::OfferedLoad]);
    }

    #[test]
    fn planted_power_and_client_come_before_what_they_hide() {
        let gpu = |limit, throttled| Gpu {
            id: "GPU-1".to_owned(),
            power_mean_watts: Some(690.0),
            power_limit_watts: Some(limit),
            throttled_share: throttled,
            ..Gpu::default()
        };
        let capped = Point { gpus: vec![gpu(1000.0, None), gpu(700.0, None)], ..with(server()) };
        assert_eq!(limits(&capped), [Limit::PowerCap, Limit::Queue]);
        let slowed = Point { gpus: vec![gpu(1000.0, Some(0.6))], ..with(server()) };
        assert_eq!(limits(&slowed), [Limit::PowerCap, Limit::Queue]);
        let free = Point { gpus: vec![gpu(1000.0, Some(0.1))], ..with(server()) };
        assert_eq!(limits(&free), [Limit::Queue]);

        let mut late = with(server());
        late.trust.caveats.push(Caveat {
            code: CaveatCode::ClientBound,
            lowers_to: Trust::Doubtful,
            detail: "requests left late".to_owned(),
            hint: "free this machine's cores".to_owned(),
        });
        let findings = diagnose(&late, Some(Engine::Vllm));
        assert_eq!(limits(&late), [Limit::Client, Limit::Queue]);
        assert_eq!(findings[0].evidence, "requests left late");
        assert!(findings[1].hint.contains("`--max-num-seqs`"), "{findings:?}");
    }

    /// A server at each limit that a setting of its own could change.
    fn at_each_limit() -> [(Limit, Telemetry); 5] {
        let full = Telemetry { kv_usage_max: Some(0.93), ..server() };
        [
            (Limit::Preemption, Telemetry { preemptions: Some(3), ..full }),
            (Limit::KvMemory, full),
            (Limit::Prefill, Telemetry { prompt_tokens_per_s: Some(1e6), ..server() }),
            (Limit::Queue, server()),
            (Limit::DecodeBandwidth, Telemetry { waiting_share: Some(0.1), ..server() }),
        ]
    }

    fn advice(limit: Limit, said: Telemetry, engine: Option<Engine>) -> String {
        let [finding] = &diagnose(&with(said), engine)[..] else { panic!("{limit:?}") };
        assert_eq!(finding.limit, limit);
        finding.hint.clone()
    }

    #[test]
    fn no_advice_names_a_setting_of_another_engine() {
        for (limit, said) in at_each_limit() {
            assert!(!advice(limit, said, None).contains('`'), "{limit:?}");
            for engine in Engine::ALL {
                let told = advice(limit, said, Some(engine));
                let named = told.split('`').skip(1).step_by(2);
                let own = |name: &str| Knob::ALL.iter().any(|k| engine.setting(*k) == Some(name));
                assert!(named.clone().all(own), "{engine:?}: {told}");
            }
        }
    }

    #[test]
    fn nothing_is_said_where_nobody_reported_enough() {
        assert_eq!(diagnose(&a_point(), None), []);
        assert_eq!(diagnose(&with(Telemetry::default()), None), []);
    }
}

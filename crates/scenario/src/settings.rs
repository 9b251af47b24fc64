//! The table of settings: one entry for each thing that a scenario can say.
//!
//! Everything that names, documents or reads a setting goes through this table: the keys of
//! scenario files, the flags, the environment variables, the help. So they cannot drift apart.
//!
//! Deliberately not here: what a value's text means (`syntax`), and which settings go together
//! (`resolve`).

/// One setting.
#[derive(Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key in a scenario file and in results.
    pub key: &'static str,
    /// The long flag, without its dashes; for [`Form::Positional`] the argument's name.
    pub flag: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What stands for the value in help.
    pub value_name: &'static str,
    /// The text used where the setting applies and nobody gave it. What has no default is absent.
    pub default: Option<&'static str>,
    /// One line of help: a fragment without a full stop.
    pub help: &'static str,
    /// What else there is to know, in sentences; may be empty.
    pub more: &'static str,
    /// What it belongs with.
    pub group: Group,
    /// How often and in which shape it is given.
    pub form: Form,
}

/// What a setting belongs with; headings of help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Whom to measure, and over which API.
    Target,
    /// When requests are due.
    Load,
    /// What ends the run.
    Bounds,
    /// What the deployment is asked to achieve.
    Objectives,
    /// What is asked.
    Workload,
    /// How to reach the server.
    Access,
    /// The run itself.
    Run,
}

impl Group {
    /// All groups, in the order in which help prints them.
    pub const ALL: [Self; 7] = [
        Self::Target,
        Self::Load,
        Self::Bounds,
        Self::Objectives,
        Self::Workload,
        Self::Access,
        Self::Run,
    ];

    /// Returns the heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Target => "Target",
            Self::Load => "Load (one of concurrency, rate, ramp, throughput and trace)",
            Self::Bounds => "Bounds",
            Self::Objectives => "Objectives",
            Self::Workload => "Workload",
            Self::Access => "Access",
            Self::Run => "Run",
        }
    }
}

/// How often and in which shape a setting is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An argument without a flag.
    Positional,
    /// A flag with a value, at most once.
    Once,
    /// A flag that means `yes` when it stands alone, at most once.
    Switch,
    /// A flag with a value, any number of times; a list in a file, one a line in the environment.
    Repeated,
}

impl Setting {
    /// Returns the setting with this key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().copied().find(|setting| setting.key == key)
    }

    /// Returns the setting's place in the table.
    pub(crate) fn rank(key: &str) -> usize {
        SETTINGS.iter().position(|setting| setting.key == key).unwrap_or(SETTINGS.len())
    }
}

/// All settings, in the order of help and of written files.
pub static SETTINGS: &[&Setting] = &[
    &TARGET,
    &REPLICA,
    &MODEL,
    &API,
    &STREAM,
    &GPUS,
    &PRICE,
    &PRICES,
    &CONCURRENCY,
    &RATE,
    &RAMP,
    &THROUGHPUT,
    &TRACE,
    &TIME_SCALE,
    &ARRIVALS,
    &MAX_CONCURRENCY,
    &CONCURRENCY_OF,
    &REQUESTS,
    &SESSIONS,
    &DURATION,
    &WARMUP,
    &WINDOW,
    &DRAIN,
    &SLO,
    &PROFILE,
    &DATASET,
    &COLUMN,
    &TURNS,
    &THINK_TIME,
    &INPUT_TOKENS,
    &OUTPUT_TOKENS,
    &OUTPUT_LENGTH,
    &PREFIX_TOKENS,
    &PREFIX_GROUPS,
    &CLASSES,
    &PROMPT_FORM,
    &TOKENIZER,
    &API_KEY_ENV,
    &API_KEY_FILE,
    &HEADER,
    &CA,
    &CERT,
    &KEY,
    &INSECURE,
    &PROXY,
    &CONNECTIONS,
    &HTTP2,
    &HTTP2_STREAMS,
    &CONNECT_TIMEOUT,
    &HEADER_TIMEOUT,
    &FIRST_TOKEN_TIMEOUT,
    &IDLE_TIMEOUT,
    &TIMEOUT,
    &RETRIES,
    &SEED,
    &METRICS,
    &METRICS_INTERVAL,
    &THREADS,
    &TAG,
];

/// Whom to measure.
pub static TARGET: Setting = Setting {
    key: "target",
    flag: "TARGET",
    env: "INFERMARK_TARGET",
    value_name: "TARGET",
    default: Some("sim:"),
    help: "The server's base URL, or `sim:` for the embedded engine",
    more: "Such as `http://localhost:8000` or `https://host/prefix`. A `/v1` at the end is taken \
           off, since the API's paths begin with it. What follows `sim:` configures the engine.",
    group: Group::Target,
    form: Form::Positional,
};

/// Who else serves the same.
pub static REPLICA: Setting = Setting {
    key: "replica",
    flag: "replica",
    env: "INFERMARK_REPLICA",
    value_name: "URL",
    default: None,
    help: "Another server of the same, which shares the load with TARGET",
    more: "With `,weight=N` after the URL it gets N requests for one of TARGET's, else one. The \
           result is over all of them, with each address's share beside it.",
    group: Group::Target,
    form: Form::Repeated,
};

/// Which model to ask for.
pub static MODEL: Setting = Setting {
    key: "model",
    flag: "model",
    env: "INFERMARK_MODEL",
    value_name: "NAME",
    default: None,
    help: "The model to ask for; otherwise the first that the server lists",
    more: "",
    group: Group::Target,
    form: Form::Once,
};

/// Which API to speak.
pub static API: Setting = Setting {
    key: "api",
    flag: "api",
    env: "INFERMARK_API",
    value_name: "API",
    default: Some("chat"),
    help: "The API to speak: `chat`, `completions`, `tgi`, `triton`, … or `auto`",
    more: "OpenAI's `chat`, `completions`, `responses` and `embeddings`; vLLM's `pooling` and \
           `rerank`; `tgi`; Triton's `triton` (vLLM backend), `trtllm` and `kserve` (v2 infer); \
           `sglang`; `llamacpp`; `ollama` and `ollama-generate`; `anthropic`. `auto` asks the \
           server which of them it answers to.",
    group: Group::Target,
    form: Form::Once,
};

/// Whether answers are streamed.
pub static STREAM: Setting = Setting {
    key: "stream",
    flag: "stream",
    env: "INFERMARK_STREAM",
    value_name: "YES|NO",
    default: Some("yes"),
    help: "Whether answers are streamed",
    more: "Without streaming there is no time to first token: the answer comes as one body.",
    group: Group::Target,
    form: Form::Once,
};

/// What the target runs on.
pub static GPUS: Setting = Setting {
    key: "gpus",
    flag: "gpus",
    env: "INFERMARK_GPUS",
    value_name: "COUNTxNAME",
    default: None,
    help: "What the target runs on, such as `8xH100`: for rates per GPU, and for its price",
    more: "All GPUs of the deployment that is measured, replicas included.",
    group: Group::Target,
    form: Form::Once,
};

/// What an hour of the target costs.
pub static PRICE: Setting = Setting {
    key: "price",
    flag: "price",
    env: "INFERMARK_PRICE",
    value_name: "N/h",
    default: None,
    help: "What an hour of the whole deployment costs, such as `1.50/h`: for the cost of tokens",
    more: "In dollars, or in the currency that is named as in `1.50 EUR/h`. It takes the place of \
           the price that a table has for `gpus`.",
    group: Group::Target,
    form: Form::Once,
};

/// The price table.
pub static PRICES: Setting = Setting {
    key: "prices",
    flag: "prices",
    env: "INFERMARK_PRICES",
    value_name: "FILE",
    default: None,
    help: "A price table in TOML to look `gpus` up in; otherwise the one that is built in",
    more: "`currency`, `as_of`, and for each kind of GPU a table `[[gpu]]` of `name`, `per_hour` \
           and `source`.",
    group: Group::Target,
    form: Form::Once,
};

/// Closed loop.
pub static CONCURRENCY: Setting = Setting {
    key: "concurrency",
    flag: "concurrency",
    env: "INFERMARK_CONCURRENCY",
    value_name: "N",
    default: Some("1"),
    help: "Keep N requests in flight: each slot sends its next request when its last has ended",
    more: "This is the load when no other is given. Any kind of load replaces one that a weaker \
           layer asks for: a flag's that of the environment, and that a file's.",
    group: Group::Load,
    form: Form::Once,
};

/// Open loop at one rate.
pub static RATE: Setting = Setting {
    key: "rate",
    flag: "rate",
    env: "INFERMARK_RATE",
    value_name: "N/s",
    default: None,
    help: "Send requests at this rate, whatever the server does",
    more: "Such as `12/s`, `0.5/s`, `30/min` or `100/h`.",
    group: Group::Load,
    form: Form::Once,
};

/// Open loop at a changing rate.
pub static RAMP: Setting = Setting {
    key: "ramp",
    flag: "ramp",
    env: "INFERMARK_RAMP",
    value_name: "RAMP",
    default: None,
    help: "Change the rate over the measured window, as in `linear(1/s..20/s)`",
    more: "`linear(FROM..TO)` or `exponential(FROM..TO)`. The first rate holds during \
           the warm-up, the second after the window. An exponential ramp grows by equal factors \
           in equal times.",
    group: Group::Load,
    form: Form::Once,
};

/// As fast as it goes.
pub static THROUGHPUT: Setting = Setting {
    key: "throughput",
    flag: "throughput",
    env: "INFERMARK_THROUGHPUT",
    value_name: "YES|NO",
    default: Some("no"),
    help: "Send as fast as it goes: every request at once, or as many as `max_concurrency` allows",
    more: "",
    group: Group::Load,
    form: Form::Switch,
};

/// The arrivals of a recorded trace.
pub static TRACE: Setting = Setting {
    key: "trace",
    flag: "trace",
    env: "INFERMARK_TRACE",
    value_name: "FILE",
    default: None,
    help: "Replay a recorded trace: send each request when the trace did, whatever the server does",
    more: "Traces of Mooncake and Bailian (JSON Lines), of Azure and BurstGPT (CSV), and of our \
           own keys `at_s`, `input_tokens`, `output_tokens` and `blocks` (JSON Lines) are told \
           apart by their columns. Prompts have the trace's lengths and shared beginnings unless \
           `dataset` says otherwise; the run ends with the trace unless `duration` or `requests` \
           ends it before. `hf:ORG/NAME:FILE` is a file of a dataset on a hub.",
    group: Group::Load,
    form: Form::Once,
};

/// How fast a trace is replayed.
pub static TIME_SCALE: Setting = Setting {
    key: "time_scale",
    flag: "time-scale",
    env: "INFERMARK_TIME_SCALE",
    value_name: "Nx",
    default: Some("1x"),
    help: "How many times as fast as it was recorded a trace is replayed, such as `2x` or `0.5x`",
    more: "",
    group: Group::Load,
    form: Form::Once,
};

/// The law of open-loop arrivals.
pub static ARRIVALS: Setting = Setting {
    key: "arrivals",
    flag: "arrivals",
    env: "INFERMARK_ARRIVALS",
    value_name: "LAW",
    default: Some("poisson"),
    help: "How arrivals are spread under a rate or a ramp: `constant`, `poisson` or `gamma(CV)`",
    more: "CV is the coefficient of variation of the gaps: 1 is Poisson, above 1 is bursty.",
    group: Group::Load,
    form: Form::Once,
};

/// The cap on an open loop.
pub static MAX_CONCURRENCY: Setting = Setting {
    key: "max_concurrency",
    flag: "max-concurrency",
    env: "INFERMARK_MAX_CONCURRENCY",
    value_name: "N",
    default: None,
    help: "The most requests in flight under a rate, a ramp, throughput or a trace",
    more: "An arrival that it holds back is charged for the wait, and counted as shed if it is \
           never sent.",
    group: Group::Load,
    form: Form::Once,
};

/// What a closed loop's slots hold.
pub static CONCURRENCY_OF: Setting = Setting {
    key: "concurrency_of",
    flag: "concurrency-of",
    env: "INFERMARK_CONCURRENCY_OF",
    value_name: "WHAT",
    default: Some("sessions"),
    help: "What `concurrency` counts where there are sessions: `sessions` or `requests`",
    more: "A slot that holds a session waits while its user thinks. One that holds a request goes \
           to another session meanwhile, so that N requests are always in flight.",
    group: Group::Load,
    form: Form::Once,
};

/// The request bound.
pub static REQUESTS: Setting = Setting {
    key: "requests",
    flag: "requests",
    env: "INFERMARK_REQUESTS",
    value_name: "N",
    default: None,
    help: "End after so many requests, those of the warm-up not counted",
    more: "With `duration` too, whichever ends first.",
    group: Group::Bounds,
    form: Form::Once,
};

/// The bound on sessions.
pub static SESSIONS: Setting = Setting {
    key: "sessions",
    flag: "sessions",
    env: "INFERMARK_SESSIONS",
    value_name: "N",
    default: None,
    help: "End after so many sessions, those that began in the warm-up not counted",
    more: "For runs with `turns`. Each session that has begun is led to its end, unless `duration` \
           or `requests` ends the run before.",
    group: Group::Bounds,
    form: Form::Once,
};

/// The length of the measured window.
pub static DURATION: Setting = Setting {
    key: "duration",
    flag: "duration",
    env: "INFERMARK_DURATION",
    value_name: "TIME",
    default: Some("30s"),
    help: "The length of the measured window",
    more: "Such as `30s`, `5m`, `1.5s`, `500ms` or `2h`. The default holds when neither \
           `requests` nor `sessions` is given; a trace ends by itself.",
    group: Group::Bounds,
    form: Form::Once,
};

/// Load before the window.
pub static WARMUP: Setting = Setting {
    key: "warmup",
    flag: "warmup",
    env: "INFERMARK_WARMUP",
    value_name: "TIME",
    default: Some("0s"),
    help: "Load before the measured window, which is not measured",
    more: "",
    group: Group::Bounds,
    form: Form::Once,
};

/// What of the load is measured.
pub static WINDOW: Setting = Setting {
    key: "window",
    flag: "window",
    env: "INFERMARK_WINDOW",
    value_name: "WINDOW",
    default: Some("given"),
    help: "What is measured: `given`, all after the warm-up, or `detect`, the steady stretch of it",
    more: "The steady stretch is the first in which concurrency and time per token show no trend, \
           to the end of the load. Where there is none the result says so, and is over all.",
    group: Group::Bounds,
    form: Form::Once,
};

/// The drain limit.
pub static DRAIN: Setting = Setting {
    key: "drain",
    flag: "drain",
    env: "INFERMARK_DRAIN",
    value_name: "TIME",
    default: Some("10m"),
    help: "How long after the window its requests may still take",
    more: "A request that takes longer is a failure, not a gap in the figures.",
    group: Group::Bounds,
    form: Form::Once,
};

/// What the deployment is asked to achieve.
pub static SLO: Setting = Setting {
    key: "slo",
    flag: "slo",
    env: "INFERMARK_SLO",
    value_name: "ttft:p99<=200ms",
    default: None,
    help: "Objectives to judge, such as `ttft:p99<=200ms,itl:p99<=50ms,failure_rate<=0.1%`",
    more: "FIGURE:STATISTIC<=LIMIT for latencies (`ttft`, `tpot`, `itl`, `e2e`, …; `mean`, `min`, \
           `p50`, `p90`, `p95`, `p99`, `p999`, `max`); `failure_rate<=0.1%`; `requests_per_s>=5`, \
           `output_tokens_per_s>=500`, `good_share>=99%`, `goodput_rps>=5` and other rates. A \
           latency without a statistic, as in `ttft<=200ms`, makes each request good or bad. A \
           bound is met or missed when the whole 95 % interval says so, else undecided; the exit \
           code is 3 when one is missed.",
    group: Group::Objectives,
    form: Form::Repeated,
};

/// A workload by its name.
pub static PROFILE: Setting = Setting {
    key: "profile",
    flag: "profile",
    env: "INFERMARK_PROFILE",
    value_name: "NAME",
    default: None,
    help: "Lengths of a well-known workload: `chat`, `rag`, `code-generation`, `classification`, \
           `summarization` or `fixed`",
    more: "Input and output tokens: chat 512 ± 128 and 256 ± 64, rag 4,096 ± 512 and 512 ± 128, \
           code-generation 4,096 and 50 ± 10, classification 10,000 and 50 ± 10, summarization \
           1,000 and 200, fixed 200 and 800. `input_tokens` and `output_tokens` win over it where \
           they are given at least as strongly.",
    group: Group::Workload,
    form: Form::Once,
};

/// Where prompts come from.
pub static DATASET: Setting = Setting {
    key: "dataset",
    flag: "dataset",
    env: "INFERMARK_DATASET",
    value_name: "DATASET",
    default: Some("synthetic"),
    help: "Where prompts come from: `synthetic`, `corpus`, PATH, LAYOUT:PATH or `hf:ORG/NAME:FILE`",
    more: "`synthetic` is random words, `corpus` running English text, both cut to exact length. \
           LAYOUT is `jsonl`, `csv`, `parquet`, `sharegpt`, `conversations` or `trace`; a bare \
           PATH says it by its extension `.jsonl`, `.csv` or `.parquet`. `trace:PATH` takes the \
           lengths and shared beginnings of a recorded trace, and its arrivals too where no load \
           is given. A relative path counts from the working directory. `hf:ORG/NAME:FILE` is a \
           file of a dataset on a hub, `hf:ORG/NAME` the only one that it has; its layout is \
           found by extension and keys, or said as in `sharegpt:hf:ORG/NAME:FILE`. It is fetched \
           once, into the hub's own cache (`HF_HOME`), through `HF_ENDPOINT`, with `HF_TOKEN`.",
    group: Group::Workload,
    form: Form::Once,
};

/// The prompt's column.
pub static COLUMN: Setting = Setting {
    key: "column",
    flag: "column",
    env: "INFERMARK_COLUMN",
    value_name: "NAME",
    default: Some("prompt"),
    help: "The column or key that holds the prompt in a JSONL, CSV or Parquet dataset",
    more: "",
    group: Group::Workload,
    form: Form::Once,
};

/// How many turns a session has.
pub static TURNS: Setting = Setting {
    key: "turns",
    flag: "turns",
    env: "INFERMARK_TURNS",
    value_name: "N",
    default: None,
    help: "Lead conversations of so many turns: a number, a distribution, or `all` of a dataset's",
    more: "`4`, `uniform(2..6)` and so on, written like lengths. Each turn says all that was said \
           before, the server's own answers included, and goes out when the answer before it has \
           ended and `think_time` is over. Of the datasets `sharegpt` and `conversations` have \
           turns; a conversation has no more than it has there. Synthetic and corpus turns are as \
           long as `input_tokens` and `output_tokens` say. It needs an API of chats.",
    group: Group::Workload,
    form: Form::Once,
};

/// From an answer to the next turn.
pub static THINK_TIME: Setting = Setting {
    key: "think_time",
    flag: "think-time",
    env: "INFERMARK_THINK_TIME",
    value_name: "TIME",
    default: Some("0s"),
    help: "From the end of an answer to the next turn: `2s`, `uniform(1s..5s)`, `exponential(2s)`",
    more: "",
    group: Group::Workload,
    form: Form::Once,
};

/// Input length.
pub static INPUT_TOKENS: Setting = Setting {
    key: "input_tokens",
    flag: "input-tokens",
    env: "INFERMARK_INPUT_TOKENS",
    value_name: "LENGTH",
    default: Some("512"),
    help: "Input length in tokens, chat template included: a number or a distribution",
    more: "`512`, `uniform(1..1024)`, `normal(MEAN,SD)` or `lognormal(MEAN,SD)`; the last two take \
           bounds, as in `normal(512,128,1..2048)`, and without them lie between 1 and 8 × MEAN. \
           Mean and deviation are those of the lengths themselves, before bounding. It applies to \
           `synthetic` and `corpus`; in a session, to what each turn adds.",
    group: Group::Workload,
    form: Form::Once,
};

/// Output length.
pub static OUTPUT_TOKENS: Setting = Setting {
    key: "output_tokens",
    flag: "output-tokens",
    env: "INFERMARK_OUTPUT_TOKENS",
    value_name: "LENGTH",
    default: Some("256"),
    help: "Output length in tokens, written like the input length",
    more: "The default holds for `synthetic` and `corpus`; a file's or a trace's requests \
           otherwise take the dataset's own length, or end as the model likes.",
    group: Group::Workload,
    form: Form::Once,
};

/// Whether the output length is an order.
pub static OUTPUT_LENGTH: Setting = Setting {
    key: "output_length",
    flag: "output-length",
    env: "INFERMARK_OUTPUT_LENGTH",
    value_name: "POLICY",
    default: None,
    help: "Whether the output length is an order (`exact`) or a limit (`natural`)",
    more: "`exact` unless the dataset is a file of prompts, where it is `natural`.",
    group: Group::Workload,
    form: Form::Once,
};

/// The length of a shared beginning.
pub static PREFIX_TOKENS: Setting = Setting {
    key: "prefix_tokens",
    flag: "prefix-tokens",
    env: "INFERMARK_PREFIX_TOKENS",
    value_name: "N",
    default: None,
    help: "Let synthetic prompts share a beginning of N tokens, for prefix caches",
    more: "It counts towards the input length. Without it no two prompts begin alike.",
    group: Group::Workload,
    form: Form::Once,
};

/// How many shared beginnings there are.
pub static PREFIX_GROUPS: Setting = Setting {
    key: "prefix_groups",
    flag: "prefix-groups",
    env: "INFERMARK_PREFIX_GROUPS",
    value_name: "N",
    default: Some("1"),
    help: "How many different shared beginnings there are",
    more: "",
    group: Group::Workload,
    form: Form::Once,
};

/// Classes of requests.
pub static CLASSES: Setting = Setting {
    key: "classes",
    flag: "classes",
    env: "INFERMARK_CLASSES",
    value_name: "NAME=CLASS",
    default: None,
    help: "A class of requests: `name=chat; weight=3; output_tokens=64`; once for each class",
    more: "Each request, or each session, is of one class, drawn by `weight` (1 where it is left \
           out). A class says what is its own of `model`, `dataset`, `column`, `input_tokens`, \
           `output_tokens`, `output_length`, `prefix_tokens`, `prefix_groups` and `slo`; the rest \
           is the run's. In a file they are a list of mappings. Results give each class alone.",
    group: Group::Workload,
    form: Form::Repeated,
};

/// Text or token ids.
pub static PROMPT_FORM: Setting = Setting {
    key: "prompt_form",
    flag: "prompt-form",
    env: "INFERMARK_PROMPT_FORM",
    value_name: "FORM",
    default: Some("text"),
    help: "Whether prompts go as `text` or as `token-ids`",
    more: "Token ids need `api` `completions` and a tokenizer.",
    group: Group::Workload,
    form: Form::Once,
};

/// How tokens are counted on this side.
pub static TOKENIZER: Setting = Setting {
    key: "tokenizer",
    flag: "tokenizer",
    env: "INFERMARK_TOKENIZER",
    value_name: "TOKENIZER",
    default: Some("none"),
    help: "How tokens are counted on this side: PATH, `hf:ORG/MODEL`, `server` or `none`",
    more: "PATH is a `tokenizer.json` or a model's folder; `hf:ORG/MODEL` is a model's on a hub. \
           `server` asks the server's `/tokenize`. \
           With `none`, lengths are calibrated on the server's own counts by a short probe.",
    group: Group::Workload,
    form: Form::Once,
};

/// Where the bearer token is.
pub static API_KEY_ENV: Setting = Setting {
    key: "api_key_env",
    flag: "api-key-env",
    env: "INFERMARK_API_KEY_ENV",
    value_name: "VAR",
    default: None,
    help: "The environment variable that holds the API key",
    more: "Its content is sent to the target as `Authorization: Bearer …` and stands nowhere else.",
    group: Group::Access,
    form: Form::Once,
};

/// Which file holds the bearer token.
pub static API_KEY_FILE: Setting = Setting {
    key: "api_key_file",
    flag: "api-key-file",
    env: "INFERMARK_API_KEY_FILE",
    value_name: "PATH",
    default: None,
    help: "The file that holds the API key, as a cluster mounts it",
    more: "All of its text, white space around it left out. It is sent as `api_key_env`'s is.",
    group: Group::Access,
    form: Form::Once,
};

/// Headers of every call.
pub static HEADER: Setting = Setting {
    key: "header",
    flag: "header",
    env: "INFERMARK_HEADER",
    value_name: "NAME: VALUE",
    default: None,
    help: "A header of all calls: `Name: value`; a secret as `Name: env:VAR` or `Name: file:PATH`",
    more: "Those of a stronger layer replace those of a weaker one.",
    group: Group::Access,
    form: Form::Repeated,
};

/// Certificates to trust.
pub static CA: Setting = Setting {
    key: "ca",
    flag: "ca",
    env: "INFERMARK_CA",
    value_name: "PATH",
    default: None,
    help: "A file of PEM certificates to trust beside the system's",
    more: "Those of authorities, or the server's own, which is then trusted for its names and \
           until it expires. In a cluster of OpenShift its service CA is trusted without being \
           named.",
    group: Group::Access,
    form: Form::Once,
};

/// Our own certificate.
pub static CERT: Setting = Setting {
    key: "cert",
    flag: "cert",
    env: "INFERMARK_CERT",
    value_name: "PATH",
    default: None,
    help: "A PEM file with the client certificate to show to servers that ask for one",
    more: "With those between it and its authority. It may hold the private key too.",
    group: Group::Access,
    form: Form::Once,
};

/// The key of our own certificate.
pub static KEY: Setting = Setting {
    key: "key",
    flag: "key",
    env: "INFERMARK_KEY",
    value_name: "PATH",
    default: None,
    help: "A PEM file with the private key of `cert`, if that does not hold it",
    more: "It is read and stands in no record; only its path does.",
    group: Group::Access,
    form: Form::Once,
};

/// Whether the certificate is checked.
pub static INSECURE: Setting = Setting {
    key: "insecure",
    flag: "insecure",
    env: "INFERMARK_INSECURE",
    value_name: "YES|NO",
    default: Some("no"),
    help: "Do not check the server's certificate; every output says so",
    more: "",
    group: Group::Access,
    form: Form::Switch,
};

/// Which proxy leads to the server.
pub static PROXY: Setting = Setting {
    key: "proxy",
    flag: "proxy",
    env: "INFERMARK_PROXY",
    value_name: "URL",
    default: Some("environment"),
    help: "The HTTP proxy to the server: `environment`, `none` or http://HOST:PORT",
    more: "`environment` is what `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say; \
           loopback is then asked directly. A proxy that is named here is for everything, and is \
           shown no credentials: those stand in the URLs of the variables.",
    group: Group::Access,
    form: Form::Once,
};

/// What becomes of a connection after its request.
pub static CONNECTIONS: Setting = Setting {
    key: "connections",
    flag: "connections",
    env: "INFERMARK_CONNECTIONS",
    value_name: "POLICY",
    default: Some("keep-alive"),
    help: "What a connection carries: one request after another (`keep-alive`), one \
           (`per-request`) or one session (`per-session`)",
    more: "A new connection for each request spreads them over what stands behind a load \
           balancer; connecting is then part of every latency from `due`.",
    group: Group::Access,
    form: Form::Once,
};

/// Which version of HTTP is spoken.
pub static HTTP2: Setting = Setting {
    key: "http2",
    flag: "http2",
    env: "INFERMARK_HTTP2",
    value_name: "YES|NO",
    default: Some("no"),
    help: "Speak HTTP/2: many requests side by side on a connection",
    more: "Over TLS the server must agree to it; without TLS it must expect it (prior \
           knowledge). The target's own `/metrics` is asked likewise, others over HTTP/1.1.",
    group: Group::Access,
    form: Form::Switch,
};

/// How many requests share a connection.
pub static HTTP2_STREAMS: Setting = Setting {
    key: "http2_streams",
    flag: "http2-streams",
    env: "INFERMARK_HTTP2_STREAMS",
    value_name: "COUNT",
    default: Some("100"),
    help: "The most requests side by side on a connection of HTTP/2, if the server lets us",
    more: "Each load thread has connections of its own, and opens another when all are full.",
    group: Group::Access,
    form: Form::Once,
};

/// The limit on connecting.
pub static CONNECT_TIMEOUT: Setting = Setting {
    key: "connect_timeout",
    flag: "connect-timeout",
    env: "INFERMARK_CONNECT_TIMEOUT",
    value_name: "TIME",
    default: Some("10s"),
    help: "The longest that connecting may take",
    more: "TCP, a proxy and TLS together.",
    group: Group::Access,
    form: Form::Once,
};

/// The limit on the response's beginning.
pub static HEADER_TIMEOUT: Setting = Setting {
    key: "header_timeout",
    flag: "header-timeout",
    env: "INFERMARK_HEADER_TIMEOUT",
    value_name: "TIME",
    default: None,
    help: "The longest from sending a request to the first byte of the response",
    more: "Without it only `timeout` limits the wait.",
    group: Group::Access,
    form: Form::Once,
};

/// The limit on the first token.
pub static FIRST_TOKEN_TIMEOUT: Setting = Setting {
    key: "first_token_timeout",
    flag: "first-token-timeout",
    env: "INFERMARK_FIRST_TOKEN_TIMEOUT",
    value_name: "TIME",
    default: None,
    help: "The longest from sending a request to its first token",
    more: "For streamed answers. Servers mostly send the head of the response long before.",
    group: Group::Access,
    form: Form::Once,
};

/// The limit on silence.
pub static IDLE_TIMEOUT: Setting = Setting {
    key: "idle_timeout",
    flag: "idle-timeout",
    env: "INFERMARK_IDLE_TIMEOUT",
    value_name: "TIME",
    default: None,
    help: "The longest that a server may be silent after the first token",
    more: "For streamed answers. Anything it says counts, keep-alives included.",
    group: Group::Access,
    form: Form::Once,
};

/// The limit on one request.
pub static TIMEOUT: Setting = Setting {
    key: "timeout",
    flag: "timeout",
    env: "INFERMARK_TIMEOUT",
    value_name: "TIME",
    default: Some("10m"),
    help: "The longest from sending a request to its end",
    more: "A request that takes longer than one of these limits is `expired`: a failure, recorded \
           with the limit and with how far it had come.",
    group: Group::Access,
    form: Form::Once,
};

/// How often a request is sent again.
pub static RETRIES: Setting = Setting {
    key: "retries",
    flag: "retries",
    env: "INFERMARK_RETRIES",
    value_name: "N",
    default: Some("0"),
    help: "How often a request that failed before any of its answer came is sent again, at once",
    more: "What came before counts: latency is from when the request was due. How many were sent \
           again is part of the result. What the server refuses is an answer.",
    group: Group::Access,
    form: Form::Once,
};

/// The root of every random choice.
pub static SEED: Setting = Setting {
    key: "seed",
    flag: "seed",
    env: "INFERMARK_SEED",
    value_name: "N",
    default: None,
    help: "The root of every random choice; otherwise drawn anew and recorded",
    more: "",
    group: Group::Run,
    form: Form::Once,
};

/// Pages of metrics.
pub static METRICS: Setting = Setting {
    key: "metrics",
    flag: "metrics",
    env: "INFERMARK_METRICS",
    value_name: "URL",
    default: Some("target"),
    help: "Pages of metrics to read during the run: `target`, URL or `none`",
    more: "`target` is the target's own `/metrics`. Give the option again for each page, of a GPU \
           exporter or a node exporter, say. Headers and keys go to the target's pages alone.",
    group: Group::Run,
    form: Form::Repeated,
};

/// How often they are read.
pub static METRICS_INTERVAL: Setting = Setting {
    key: "metrics_interval",
    flag: "metrics-interval",
    env: "INFERMARK_METRICS_INTERVAL",
    value_name: "TIME",
    default: Some("1s"),
    help: "The time from one reading of the metrics to the next",
    more: "",
    group: Group::Run,
    form: Form::Once,
};

/// Generator threads.
pub static THREADS: Setting = Setting {
    key: "threads",
    flag: "threads",
    env: "INFERMARK_THREADS",
    value_name: "N",
    default: None,
    help: "Generator threads; otherwise as many as the load needs and the machine has",
    more: "",
    group: Group::Run,
    form: Form::Once,
};

/// What the run is filed under.
pub static TAG: Setting = Setting {
    key: "tag",
    flag: "tag",
    env: "INFERMARK_TAG",
    value_name: "KEY=VALUE",
    default: None,
    help: "A tag to file the run under",
    more: "Those of a stronger layer replace those of a weaker one.",
    group: Group::Run,
    form: Form::Repeated,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_variables_follow_from_keys() {
        for setting in SETTINGS {
            let variable = format!("INFERMARK_{}", setting.key.to_uppercase());
            assert_eq!(setting.env, variable);
            if setting.form != Form::Positional {
                assert_eq!(setting.flag, setting.key.replace('_', "-"));
            }
            assert!(std::ptr::eq(Setting::by_key(setting.key).unwrap(), *setting));
        }
    }

    #[test]
    fn help_is_one_line_without_a_full_stop() {
        for setting in SETTINGS {
            assert!(!setting.help.contains('\n') && !setting.help.ends_with('.'), "{setting:?}");
            assert!(setting.more.is_empty() || setting.more.ends_with('.'), "{setting:?}");
        }
    }
}

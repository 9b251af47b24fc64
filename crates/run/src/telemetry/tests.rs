//! Sources as they behave: pages that answer, that are none, that come and go.

use std::io::{Read, Write};
use std::thread;

use infermark_drive::{EndpointError, Roots, Route};

use super::*;

/// A server that answers each path with what `answer` says, one connection at a time.
fn server(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let _: JoinHandle<()> = thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]);
            let (status, body) = answer(&request);
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
            // A client that went away is its own business.
            drop(stream.write_all((head + &body).as_bytes()));
        }
    });
    url
}

fn page(url: &str) -> Result<Source, EndpointError> {
    let route = Route::of(Roots::Trusted { extra: Vec::new() });
    let page = Page {
        endpoint: Arc::new(Endpoint::resolve(url, &route)?),
        path: "",
        headers: vec![("X-Key".to_owned(), "k".to_owned())],
    };
    Ok(Source { name: url.to_owned(), reader: Reader::Page(page) })
}

fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap_or("")
}

#[test]
fn a_source_that_answers_is_sampled_from_before_the_load_to_after_it() {
    let url = server(|request| {
        let key = request.to_ascii_lowercase().contains("x-key: k");
        let known = path(request) == "/m" && key;
        (if known { 200 } else { 404 }, "vllm:prompt_tokens_total 5\n".to_owned())
    });
    let mut observers = Observers(vec![page(&format!("{url}/m")).unwrap()]);
    let baseline = observers.baseline();
    let metrics: Vec<_> = baseline.iter().map(|row| (row.at, row.metric, row.value)).collect();
    assert_eq!(metrics, [(Stamp::ZERO, Metric::Up, 1.0), (Stamp::ZERO, Metric::PromptTokens, 5.0)]);
    assert_eq!(baseline[0].detail, "vllm");
    // Nothing is due for an hour: what comes are the two samples of the end.
    let observing = observers.start(Clock::start(), Nanos::from_secs(3600)).unwrap();
    assert!(observing.gathered().take().is_empty());
    let rows = observing.finish();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row.source == format!("{url}/m")));
    assert!(rows[0].at > Stamp::ZERO && rows[2].at > rows[0].at);
}

#[test]
fn what_is_no_page_of_metrics_says_why_and_is_not_asked_again() {
    for (status, body, why) in [
        (404, "no", "it answered 404"),
        (200, "[{\"iter\": 1}]", "line 1 of the metrics is not in the Prometheus format: no name"),
        (200, "python_info 1\n", "none of what it says is known"),
    ] {
        let mut observers = Observers(vec![page(&server(move |_| (status, body.into()))).unwrap()]);
        let rows = observers.baseline();
        let told: Vec<_> = rows.iter().map(|row| (row.metric, row.value, &*row.detail)).collect();
        assert_eq!(told, [(Metric::Up, 0.0, why)]);
        assert!(observers.0.is_empty());
    }
}

#[test]
fn a_failure_that_may_pass_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/m", listener.local_addr().unwrap());
    drop(listener);
    let busy = server(|_| (503, String::new()));
    let mut observers = Observers(vec![page(&nobody).unwrap(), page(&busy).unwrap()]);
    let rows = observers.baseline();
    assert!(rows.iter().all(|row| row.metric == Metric::Up && row.value == 0.0));
    assert!(rows[0].detail.starts_with("cannot connect to 127.0.0.1:"), "{rows:?}");
    assert_eq!(rows[1].detail, "it answered 503");
    assert_eq!(observers.0.len(), 2);
}

#[test]
fn whoever_is_dropped_while_observing_ends() {
    let url = server(|_| (200, "tgi_queue_size 1\n".to_owned()));
    let observers = Observers(vec![page(&url).unwrap()]);
    let Observing { watchers, .. } =
        observers.start(Clock::start(), Nanos::from_secs(3600)).unwrap();
    for (over, thread) in watchers {
        drop(over);
        thread.join().unwrap();
    }
}

#[test]
fn the_origin_of_a_url_is_what_its_keys_belong_to() {
    assert_eq!(origin("http://h:1/a/b"), "http://h:1");
    assert_eq!(origin("https://h"), "https://h");
    assert_ne!(origin("http://h:1/m"), origin("http://h:2/m"));
    assert!(is_here("127.0.0.1".parse().unwrap()));
}

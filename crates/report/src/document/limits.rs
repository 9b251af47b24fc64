//! What limits the server, with the evidence and what would change it, and what servers and GPUs
//! said of themselves.

use infermark_measure::Point;

use super::{Html, figure, heading, percent};
use crate::observed::{GPUS_MAX, failure, gpu_items, server_items};

/// Writes all of it; nothing where nobody told anything.
pub(super) fn write(page: &mut Html, point: &Point) {
    let rows = said_of_themselves(point);
    if point.diagnosis.is_empty() && rows.is_empty() {
        return;
    }
    let known = !point.diagnosis.is_empty();
    heading(page, if known { "What limits the server" } else { "Server and client" });
    for finding in &point.diagnosis {
        let _: &mut Html = page.markup("<div class=\"limit\"><p>");
        let _: &mut Html = page.element("strong", &[], finding.limit.name()).text(": ");
        let _: &mut Html = page.prose(&finding.evidence).markup(".</p><p class=\"hint\">");
        let hint = format!("What would change it: {}.", finding.hint);
        let _: &mut Html = page.prose(&hint).markup("</p></div>");
    }
    let _: &mut Html = page.markup("<table class=\"setup\"><tbody>");
    for (who, said) in rows {
        let _: &mut Html = page.markup("<tr>").element("td", &[], &who);
        let _: &mut Html = page.element("td", &[], &said).markup("</tr>");
    }
    let _: &mut Html = page.markup("</tbody></table>");
}

/// Returns who said what of themselves, over the window.
pub(crate) fn said_of_themselves(point: &Point) -> Vec<(String, String)> {
    let server = point.server.iter().map(|server| ("server".to_owned(), server_items(server)));
    let gpus = point.gpus.iter().take(GPUS_MAX).enumerate();
    let gpus = gpus.map(|(index, gpu)| (format!("GPU {index}"), gpu_items(gpu)));
    let rest = point.gpus.len().saturating_sub(GPUS_MAX);
    let rest = (rest > 0).then(|| (String::new(), vec![format!("and {rest} more")]));
    let host = point.client_host.iter().map(|host| {
        let items = [
            host.cpu_busy_share.map(|share| format!("{} of its cores busy", percent(share))),
            host.memory_used_max_bytes
                .map(|bytes| format!("{} GB of memory used at most", figure(bytes / 1e9))),
        ];
        ("client".to_owned(), items.into_iter().flatten().collect())
    });
    let failures = point.telemetry.iter().filter(|report| report.failed > 0);
    let failures = failures.map(|report| ("not read".to_owned(), vec![failure(report)]));
    let all = server.chain(gpus).chain(rest).chain(host).chain(failures);
    all.filter(|(_, items)| !items.is_empty()).map(|(who, said)| (who, said.join(" · "))).collect()
}

//! A call over HTTP/2, told as if it had been one over HTTP/1.1.
//!
//! Calls are not measured, so that what hears them need not know which it was.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use infermark_terms::{DecodeFault, HttpVersion};
use infermark_wire::http1::{end_chunked, write_chunk};
use infermark_wire::http2::{Client, Ending, Fault, Head, Listener, Verdict};

use super::{CallError, Piece};

/// Sends `request` and hands what comes back to `listen` until it has heard enough.
pub(super) fn converse(
    stream: &mut (impl Read + Write),
    request: &[u8],
    address: SocketAddr,
    failed: impl Fn(io::Error) -> CallError,
    listen: impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<(), CallError> {
    let mut client = Client::new();
    let _: u32 = client.open(request.to_vec(), ());
    let mut teller = Teller { listen, ended: None };
    let mut buffer = vec![0; 16 * 1024];
    loop {
        while !client.unsent().is_empty() {
            stream.write_all(client.unsent()).map_err(&failed)?;
            client.wrote(client.unsent().len());
        }
        stream.flush().map_err(&failed)?;
        match teller.ended.take() {
            Some(Told::Enough) => return Ok(()),
            Some(Told::Broken) => {
                return Err(CallError::Garbled { fault: DecodeFault::Frames });
            }
            Some(Told::Failed(why)) => return Err(failed(io::Error::other(why))),
            None => {}
        }
        let read = match stream.read(&mut buffer) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        client.feed(&buffer[..read], &mut teller).map_err(|fault| match fault {
            Fault::Preface => CallError::Version { address, asked: HttpVersion::Http2 },
            Fault::Protocol
            | Fault::FrameSize
            | Fault::Compression
            | Fault::FlowControl
            | Fault::Excess => CallError::Garbled { fault: DecodeFault::Frames },
        })?;
    }
}

/// Tells a response as one of HTTP/1.1.
struct Teller<F> {
    listen: F,
    ended: Option<Told>,
}

/// How the telling ended.
enum Told {
    Enough,
    Broken,
    Failed(String),
}

impl<F: FnMut(Piece<'_>) -> ControlFlow<()>> Teller<F> {
    fn tell(&mut self, bytes: &[u8]) -> Verdict {
        match (self.listen)(Piece::Bytes(bytes)) {
            ControlFlow::Continue(()) => Verdict::Open,
            ControlFlow::Break(()) => {
                self.ended = Some(Told::Enough);
                Verdict::Over
            }
        }
    }
}

impl<F: FnMut(Piece<'_>) -> ControlFlow<()>> Listener<()> for Teller<F> {
    fn head(&mut self, (): &mut (), head: &Head<'_>, _: usize) -> Verdict {
        self.tell(&head.to_http1())
    }

    fn body(&mut self, (): &mut (), bytes: &[u8]) -> Verdict {
        let mut chunk = Vec::new();
        write_chunk(&mut chunk, bytes);
        self.tell(&chunk)
    }

    fn ended(&mut self, (): (), ending: Ending) {
        self.ended = match ending {
            Ending::Complete => {
                let mut end = Vec::new();
                end_chunked(&mut end);
                let _: Verdict = self.tell(&end);
                self.ended.take().or(Some(Told::Broken))
            }
            Ending::Cancelled => Some(Told::Enough),
            Ending::Malformed => Some(Told::Broken),
            Ending::Refused(_) => Some(Told::Failed("the server refused the stream".to_owned())),
            Ending::Reset(code, _) => {
                Some(Told::Failed(format!("the server reset the stream: {code}")))
            }
        };
    }
}

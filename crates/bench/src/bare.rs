//! The bare reader: the least that a client can do. One thread, one event queue, one read per
//! readable socket; it counts `data:` and looks at nothing else.
//!
//! It stamps nothing and keeps nothing, so it says nothing but how many requests ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Result, ensure};
use infermark_drive::priority::{Granted, prefer_latency};
use memchr::memmem::{self, Finder};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, socket,
};

use infermark_calibrate::figures::Said;
use infermark_calibrate::machine::now_ns;
use infermark_calibrate::point::{Begun, Job};
use infermark_calibrate::say;

/// The word that asks for this role.
pub(crate) const ROLE: &str = "read";

/// Streams begin one after another, this far apart: streams that begin together stay together,
/// and one wake-up would serve them all.
pub(crate) const STAGGER_NS: u64 = 1_000_000;

const EVENTS_PER_ROUND: usize = 1024;
const READ_BYTES: usize = 64 * 1024;

struct Stream {
    socket: TcpStream,
    /// Occurrences of `data:` in the answer so far.
    seen: usize,
}

/// Reads until the load's end, and returns how many requests ended.
pub(crate) fn read(job: &Job) -> Result<Said> {
    let _: Granted = prefer_latency();
    let request = job.request();
    // Role, one for each token, usage, `[DONE]`.
    let whole = job.load.tokens as usize + 3;
    let finder = memmem::Finder::new(b"data:");
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut streams: Vec<Stream> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut events = [EpollEvent::empty(); EVENTS_PER_ROUND];
    let start_ns = now_ns();
    say(&Begun { start_ns })?;
    let (_, end_ns) = job.window(start_ns);
    let mut said = Said::default();
    loop {
        let now = now_ns();
        let wanted = ((now - start_ns) / STAGGER_NS + 1).min(u64::from(job.load.streams));
        while (streams.len() as u64) < wanted {
            let socket = open(job.address)?;
            let event = EpollEvent::new(EpollFlags::EPOLLOUT, streams.len() as u64);
            epoll.add(socket.as_fd(), event)?;
            streams.push(Stream { socket, seen: 0 });
        }
        if now >= end_ns {
            return Ok(said);
        }
        let opening = streams.len() < job.load.streams as usize;
        let timeout = EpollTimeout::from(if opening { 1_u8 } else { 50 });
        let count = epoll.wait(&mut events, timeout)?;
        said.waits += 1;
        said.reads += count as u64;
        for event in &events[..count] {
            let stream = &mut streams[event.data() as usize];
            if event.events().contains(EpollFlags::EPOLLOUT) {
                stream.socket.write_all(&request)?;
                let mut event = EpollEvent::new(EpollFlags::EPOLLIN, event.data());
                epoll.modify(stream.socket.as_fd(), &mut event)?;
                continue;
            }
            said.requests += stream.turn(&mut buffer, &finder, whole, &request)?;
        }
    }
}

/// Starts connecting.
fn open(address: SocketAddr) -> Result<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, SockProtocol::Tcp)?;
    let begun = connect(fd.as_raw_fd(), &SockaddrStorage::from(address));
    ensure!(matches!(begun, Ok(()) | Err(Errno::EINPROGRESS)), "connecting failed: {begun:?}");
    let socket = TcpStream::from(fd);
    socket.set_nodelay(true)?;
    Ok(socket)
}

impl Stream {
    /// Reads once; asks again once the answer is complete. Returns how many answers are.
    fn turn(
        &mut self,
        buffer: &mut [u8],
        finder: &Finder<'_>,
        whole: usize,
        request: &[u8],
    ) -> Result<u64> {
        let count = match self.socket.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        ensure!(count > 0, "the server closed a connection");
        self.seen += finder.find_iter(&buffer[..count]).count();
        if self.seen < whole {
            return Ok(0);
        }
        self.seen = 0;
        self.socket.write_all(request)?;
        Ok(1)
    }
}

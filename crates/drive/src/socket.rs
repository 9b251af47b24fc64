//! TCP sockets without waiting, and reads that carry the kernel's receive stamp.
//!
//! The stamp is that of the newest segment in the read, on the wall clock. It is exact when the
//! socket was drained before that segment came, which an event loop that reads as soon as it can
//! makes the rule; what came together in one read is marked coalesced by the caller.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, TimestampingFlag,
    connect, getsockopt, recv, setsockopt, socket, sockopt,
};

/// Starts connecting. The socket becomes writable once that has succeeded or failed.
pub(crate) fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(family, SockType::Stream, flags, SockProtocol::Tcp)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(address)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(errno) => Err(errno.into()),
    }
}

/// Keeps the kernel stamping for as long as the result lives. It begins some time after it was
/// first asked, and ends with the last socket that asked; turning it on and off patches the
/// kernel's own code, which costs far more than one idle socket.
///
/// # Errors
///
/// If the system gives no socket.
pub fn keep_stamping() -> io::Result<OwnedFd> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    stamp_receives(&fd);
    Ok(fd)
}

/// Asks the kernel to stamp what it receives on this socket. Where it cannot, reads carry no
/// stamp, and the record says so.
pub(crate) fn stamp_receives(fd: &OwnedFd) {
    let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
    let _unsupported = setsockopt(fd, sockopt::Timestamping, &flags);
}

/// Returns how connecting went, once the socket is writable.
pub(crate) fn connected(fd: &OwnedFd) -> io::Result<()> {
    match getsockopt(fd, sockopt::SocketError)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Says whether an idle connection is still open and silent. One that speaks without having been
/// asked cannot be used again.
pub(crate) fn is_quiet(fd: &OwnedFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    matches!(recv(fd.as_raw_fd(), &mut [0], flags), Err(Errno::EAGAIN))
}

/// Writes what the socket takes now. A peer that is gone is an error, never a signal.
pub(crate) fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match nix::sys::socket::send(fd.as_raw_fd(), bytes, flags) {
            Err(Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// One read.
pub(crate) struct Received {
    /// How many bytes; none at the end of the stream.
    pub(crate) len: usize,
    /// The kernel's stamp, in nanoseconds since 1970.
    pub(crate) wall_ns: Option<u64>,
}

/// The size of a control message that holds `struct scm_timestamping`: a header of 16 bytes and
/// three `struct timespec`.
const CONTROL_LEN: usize = 64;

#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// Reads what is there into `buffer`, with the kernel's stamp where it gives one.
#[expect(unsafe_code, reason = "no safe wrapper of recvmsg fills our buffer without allocating")]
pub(crate) fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = Control([0; CONTROL_LEN]);
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `msghdr` is a C struct of integers and pointers, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_LEN as _;
    // SAFETY: `message` points to `slice` and `control`, and `slice` to `buffer`; all three
    // outlive the call, are exclusively borrowed here, and their true lengths are given.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    let control_len = (message.msg_controllen as usize).min(CONTROL_LEN);
    Ok(Received { len: len as usize, wall_ns: software_stamp(&control.0[..control_len]) })
}

/// Reads the software stamp from a control message: `cmsghdr { len: usize, level: i32, type: i32 }`
/// and then `timespec { sec: i64, nsec: i64 }`, as on every 64-bit Linux.
fn software_stamp(control: &[u8]) -> Option<u64> {
    let level = i32::from_ne_bytes(control.get(8..12)?.try_into().ok()?);
    let kind = i32::from_ne_bytes(control.get(12..16)?.try_into().ok()?);
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) {
        return None;
    }
    let secs = i64::from_ne_bytes(control.get(16..24)?.try_into().ok()?);
    let nanos = i64::from_ne_bytes(control.get(24..32)?.try_into().ok()?);
    // A segment that was received before stamping was switched on carries zero.
    (secs > 0).then(|| secs as u64 * 1_000_000_000 + nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    #[test]
    fn reads_carry_the_bytes_and_the_kernels_stamp() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = open(listener.local_addr().unwrap()).unwrap();
        stamp_receives(&fd);
        let (mut peer, _) = listener.accept().unwrap();
        connected(&fd).unwrap();
        assert!(is_quiet(&fd));
        // The kernel switches stamping on some time after it was asked: send until it has.
        let mut buffer = [0; 64];
        let stamped = (0..10_000).any(|_| {
            peer.write_all(b"token").unwrap();
            let received = loop {
                match receive(&fd, &mut buffer) {
                    Ok(received) => break received,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            };
            assert!(buffer[..received.len].starts_with(b"token"));
            received.wall_ns.is_some()
        });
        assert!(stamped, "the kernel never stamped a read");
        drop(peer);
        assert!(!is_quiet(&fd));
        assert_eq!(receive(&fd, &mut buffer).unwrap().len, 0);
    }

    #[test]
    fn only_a_whole_message_of_the_right_kind_is_a_stamp() {
        let message = |level: i32, kind: i32, secs: i64| {
            let mut bytes = vec![0; 8];
            bytes.extend(level.to_ne_bytes().into_iter().chain(kind.to_ne_bytes()));
            bytes.extend(secs.to_ne_bytes().into_iter().chain(7_i64.to_ne_bytes()));
            bytes
        };
        let right = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, 3);
        assert_eq!(software_stamp(&right), Some(3_000_000_007));
        for length in 0..right.len() {
            assert_eq!(software_stamp(&right[..length]), None);
        }
        assert_eq!(software_stamp(&message(libc::SOL_SOCKET, libc::SCM_RIGHTS, 3)), None);
        assert_eq!(software_stamp(&message(libc::IPPROTO_TCP, libc::SCM_TIMESTAMPING, 3)), None);
        assert_eq!(software_stamp(&message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, 0)), None);
    }

    #[test]
    fn a_port_where_nobody_listens_refuses() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = match open(port) {
            Err(error) => error,
            Ok(fd) => loop {
                match connected(&fd) {
                    Ok(()) => {}
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}

//! The system calls that std does not have, each behind a safe function.

#![expect(
    unsafe_code,
    reason = "std has neither netlink and AF_XDP sockets nor poll(2); these calls are all that is missing"
)]

use std::ffi::{CString, c_char, c_ulong, c_void};
use std::fs::File;
use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

unsafe extern "C" {
    fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
    fn setsockopt(socket: i32, level: i32, name: i32, value: *const c_void, length: u32) -> i32;
    fn bind(socket: i32, address: *const c_void, length: u32) -> i32;
    fn poll(entries: *mut Entry, count: c_ulong, timeout: i32) -> i32;
    fn if_nametoindex(name: *const c_char) -> u32;
}

const AF_NETLINK: i32 = 16;
const AF_XDP: i32 = 44;
const SOCK_RAW: i32 = 3;
const SOCK_NONBLOCK: i32 = 0o4000;
const SOCK_CLOEXEC: i32 = 0o2_000_000;
const SOL_SOCKET: i32 = 1;
const SO_SNDBUF: i32 = 7;
const SO_SNDBUFFORCE: i32 = 32;

const EBUSY: i32 = 16;
const EINVAL: i32 = 22;
const EAFNOSUPPORT: i32 = 97;

/// The events to wait for on a descriptor, and those that happened (`struct pollfd`).
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) descriptor: i32,
    pub(crate) events: i16,
    pub(crate) returned: i16,
}

pub(crate) const READABLE: i16 = 0x1;
pub(crate) const WRITABLE: i16 = 0x4;

/// Waits for an event. `timeout` is in milliseconds; -1: no timeout.
pub(crate) fn wait(entries: &mut [Entry], timeout: i32) -> Result<()> {
    // SAFETY: the pointer and the count are those of one slice of `struct pollfd`, which the kernel writes to.
    match unsafe { poll(entries.as_mut_ptr(), entries.len() as c_ulong, timeout) } {
        -1 => Err(Error::last_os_error()),
        _ => Ok(()),
    }
}

fn open(domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: socket(2) takes three numbers and touches no memory of ours.
    match unsafe { socket(domain, kind | SOCK_CLOEXEC, protocol) } {
        -1 => Err(Error::last_os_error()),
        // SAFETY: the kernel has just opened it for this call, and nothing else uses it.
        descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
    }
}

fn set<T>(socket: &impl AsRawFd, level: i32, name: i32, value: &T) -> Result<()> {
    let length = u32::try_from(size_of::<T>()).map_err(Error::other)?;
    // SAFETY: the kernel reads `length` bytes of a value that lives until the call returns.
    match unsafe { setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// A netlink socket to the kernel in the namespace of this process, with room for a message of `bytes`; reading it does
/// not wait.
pub(crate) fn netlink(protocol: i32, bytes: usize) -> Result<File> {
    let socket = open(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, protocol)?;
    // The kernel doubles the value, and refuses a message that is larger than the buffer. SO_SNDBUFFORCE requires
    // CAP_NET_ADMIN on the host; without it the host's `net.core.wmem_max` is the limit, and a larger send fails.
    let room = i32::try_from(bytes).unwrap_or(i32::MAX / 2);
    if set(&socket, SOL_SOCKET, SO_SNDBUFFORCE, &room).is_err() {
        set(&socket, SOL_SOCKET, SO_SNDBUF, &room)?;
    }
    Ok(File::from(socket))
}

/// Binds an AF_XDP socket to each queue of a device; the kernel allows only one per queue. What such a socket sends
/// bypasses the packet filters of the namespace, so no other process in it may have one.
///
/// The queues stay taken as long as the sockets are open. No sockets if the kernel has no AF_XDP.
pub(crate) fn take_xdp(device: &str) -> Result<Vec<OwnedFd>> {
    const SOL_XDP: i32 = 283;
    const XDP_TX_RING: i32 = 3;
    const XDP_UMEM_REG: i32 = 4;
    const XDP_UMEM_FILL_RING: i32 = 5;
    const XDP_UMEM_COMPLETION_RING: i32 = 6;
    const XDP_COPY: u16 = 1 << 1;
    /// `struct xdp_umem_reg` in its first version.
    #[repr(C)]
    struct Memory {
        address: u64,
        length: u64,
        chunk: u32,
        headroom: u32,
    }
    /// `struct sockaddr_xdp`.
    #[repr(C)]
    struct Address {
        family: u16,
        flags: u16,
        device: u32,
        queue: u32,
        shared: u32,
    }
    /// The largest page that a kernel has.
    #[repr(C, align(65536))]
    struct Page([u8; 65536]);
    const CHUNK: u32 = 4096;
    const ENTRIES: u32 = 1;
    const QUEUES: u32 = 4096;

    let name = CString::new(device)?;
    // SAFETY: it reads a string that ends with NUL.
    let index = match unsafe { if_nametoindex(name.as_ptr()) } {
        0 => return Err(Error::last_os_error()),
        index => index,
    };
    let mut taken = Vec::new();
    for queue in 0..QUEUES {
        let socket = match open(AF_XDP, SOCK_RAW, 0) {
            Ok(socket) => socket,
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => return Ok(taken),
            Err(error) => return Err(error),
        };
        // The kernel pins it as long as the socket is open, and nothing is ever sent from it.
        let page: &'static mut Page = Box::leak(Box::new(Page([0; 65536])));
        let address = page.0.as_mut_ptr() as u64;
        set(
            &socket,
            SOL_XDP,
            XDP_UMEM_REG,
            &Memory { address, length: u64::from(CHUNK), chunk: CHUNK, headroom: 0 },
        )?;
        for ring in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_TX_RING] {
            set(&socket, SOL_XDP, ring, &ENTRIES)?;
        }
        let family = u16::try_from(AF_XDP).map_err(Error::other)?;
        let place = Address { family, flags: XDP_COPY, device: index, queue, shared: 0 };
        // SAFETY: the kernel reads a `struct sockaddr_xdp`, which is 16 bytes, and the value lives until it returns.
        let bound = unsafe { bind(socket.as_raw_fd(), std::ptr::from_ref(&place).cast(), 16) };
        match Error::last_os_error() {
            _ if bound == 0 => taken.push(socket),
            // The device has no more queues.
            error if queue > 0 && error.raw_os_error() == Some(EINVAL) => return Ok(taken),
            error if error.raw_os_error() == Some(EBUSY) => {
                return Err(Error::other(format!("a queue of {device} already has an AF_XDP socket")));
            }
            error => return Err(error),
        }
    }
    Ok(taken)
}

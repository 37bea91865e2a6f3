//! What the tests run in containers: one static program, whose first argument selects what it does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// A dropped packet has no reply: how long to wait for one that should not arrive.
const TIMEOUT: Duration = Duration::from_secs(2);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exit", code] => std::process::exit(number(code)),
        ["hold"] => hold(&[]),
        // Numbered lines, odd ones to the standard error.
        ["lines", count] => {
            let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
            for line in 0..number(count) {
                let to: &mut dyn Write = if line % 2 == 0 { &mut out } else { &mut err };
                writeln!(to, "line {line}").expect("writes");
            }
        }
        ["print", text] => print!("{text}"),
        // A line that the engine splits.
        ["long", length] => println!("{}", "x".repeat(number(length) as usize)),
        ["cat", path] => print!("{}", std::fs::read_to_string(path).expect("reads")),
        ["write", path, text] => std::fs::write(path, text).expect("writes"),
        ["exists", path] => std::process::exit(if std::path::Path::new(path).exists() { 0 } else { 1 }),
        ["show", name] => println!("{}", std::env::var(name).unwrap_or_default()),
        ["directory"] => println!("{}", std::env::current_dir().expect("there is one").display()),
        // Touches so many MiB, prints a line, and keeps them.
        ["hog", mebibytes] => {
            let size = number(mebibytes) as usize * 1024 * 1024;
            let mut memory: Vec<u8> = Vec::with_capacity(size);
            while memory.len() < size {
                memory.extend_from_slice(&[7; 4096]);
            }
            println!("holds {mebibytes} MiB");
            hold(&memory);
        }
        ["burn"] => loop {
            std::hint::black_box(0);
        },
        // Replies to every word of three letters with its name until it is "bye".
        ["serve", port, name] => {
            let listener = TcpListener::bind(("0.0.0.0", number(port) as u16)).expect("binds");
            for connection in listener.incoming() {
                let mut connection = connection.expect("accepts");
                let mut said = [0; 3];
                let _ = connection.read_exact(&mut said);
                let _ = writeln!(connection, "{name}");
                if &said == b"bye" {
                    return;
                }
            }
        }
        // Sends a word to a server, prints its reply.
        ["say", word, address] => {
            let deadline = Instant::now() + Duration::from_secs(20);
            let mut connection = loop {
                match TcpStream::connect(address) {
                    Ok(connection) => break connection,
                    Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            connection.write_all(word.as_bytes()).expect("is written");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).expect("hears");
            print!("{answer}");
        }
        // Whether a server can be reached at all.
        ["knock", address] => {
            let address = address.parse().expect("an address and a port");
            let outcome = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| error.kind());
            println!(
                "{}",
                match outcome {
                    Ok(_) => "open",
                    Err(ErrorKind::ConnectionRefused) => "refused",
                    Err(_) => "closed",
                }
            );
        }
        // Connects, and sends its word once the file exists.
        ["linger", word, address, path] => {
            let mut connection = TcpStream::connect(address).expect("connects");
            println!("connected");
            while !std::path::Path::new(path).exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
            connection.write_all(word.as_bytes()).expect("is written");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).expect("hears");
            print!("{answer}");
        }
        // Sends every packet back and prints a line.
        ["echo", port] => {
            let socket = UdpSocket::bind(("0.0.0.0", number(port) as u16)).expect("binds");
            let mut packet = [0; 512];
            println!("ready");
            loop {
                let (length, from) = socket.recv_from(&mut packet).expect("receives");
                println!("received {length} bytes");
                let _ = socket.send_to(&packet[..length], from);
            }
        }
        // Whether a packet comes back. It is a DNS query for the address of "a".
        ["ask", address] => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
            socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
            let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
            let sent = socket.send_to(question, address);
            let open = sent.is_ok() && socket.recv(&mut [0; 512]).is_ok();
            println!("{}", if open { "open" } else { "closed" });
        }
        // Sends packets that bypass the hooks of IP, or with another's source address: one in each way, each a byte
        // longer.
        ["raw", from, to, length] => {
            for (way, length) in raw::WAYS.iter().zip(number(length) as usize..) {
                let sent = raw::send(way, from.parse().expect("an address"), to.parse().expect("a port"), length);
                println!("{way} {}", sent.map_or_else(|error| error.to_string(), |()| "sent".to_owned()));
            }
        }
        // Creates a connection tracking entry for a connection that does not exist, with a packet to itself from another's
        // address, and sends the reply.
        ["answer", from, to, length] => {
            let peer: SocketAddrV4 = to.parse().expect("a port");
            let socket = UdpSocket::bind((from.parse::<Ipv4Addr>().expect("an address"), 5555)).expect("binds");
            let own = SocketAddrV4::new(from.parse().expect("an address"), 5555);
            let _ = raw::as_though(peer, own);
            println!("{:?}", socket.send_to(&vec![b'x'; number(length) as usize], peer).map_err(|error| error.kind()));
        }
        // Announces by broadcast that an address is here.
        ["announce", address] => {
            println!("{:?}", raw::announce(address.parse().expect("an address")).map_err(|error| error.kind()));
        }
        // Sends a word, prints the reply, or that there was none.
        ["call", word, address] => {
            let answer = call(word, address);
            println!("{}", answer.unwrap_or_else(|error| format!("closed: {error}")));
        }
        // As many connections at once: all are open before a word is sent on any.
        ["crowd", count, word, address] => {
            let connections: Vec<TcpStream> =
                (0..number(count)).map(|_| TcpStream::connect(address).expect("connects")).collect();
            println!("connected");
            let mut answers = std::collections::BTreeMap::new();
            for mut connection in connections {
                connection.write_all(word.as_bytes()).expect("is written");
                let mut answer = String::new();
                connection.read_to_string(&mut answer).expect("hears");
                *answers.entry(answer).or_insert(0) += 1;
            }
            println!("{answers:?}");
        }
        // Sends a word and does not read the reply.
        ["ignore", word, address] => {
            let mut connection = TcpStream::connect(address).expect("connects");
            connection.write_all(word.as_bytes()).expect("is written");
            println!("ignores");
            hold(&connection.local_addr().expect("one").to_string().into_bytes());
        }
        // Sends a word, then as many bytes; prints how many came back, and whether they are the same.
        ["mirror", word, length, address] => {
            let sent: Vec<u8> = (0..number(length) as usize).map(|n| (n % 251) as u8).collect();
            let mut connection = TcpStream::connect(address).expect("connects");
            connection.write_all(word.as_bytes()).expect("is written");
            let mut writing = connection.try_clone().expect("clones");
            let to_write = sent.clone();
            let writer = std::thread::spawn(move || {
                writing.write_all(&to_write).expect("writes");
                writing.shutdown(std::net::Shutdown::Write).expect("ends");
            });
            let mut back = Vec::new();
            connection.read_to_end(&mut back).expect("hears");
            writer.join().expect("has written");
            println!("{} {}", back.len(), back == sent);
        }
        // The program of a sandbox of an older release: lines of netlink messages.
        ["pass"] => pass(),
        other => panic!("no such word: {other:?}"),
    }
}

fn call(word: &str, address: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.write_all(word.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    if answer.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

fn pass() {
    for line in std::io::stdin().lines() {
        let line = line.expect("reads");
        let mut words = line.split_whitespace();
        let (Some(id), Some(protocol), Some(batch)) = (words.next(), words.next(), words.next()) else { continue };
        let bytes: Vec<u8> = (0..batch.len() / 2)
            .map(|at| u8::from_str_radix(&batch[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect();
        let answers = raw::netlink(number(protocol), &bytes);
        let answers: Vec<String> =
            answers.iter().map(|answer| answer.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        println!("{id} {}", answers.join(" "));
    }
    hold(&[]);
}

/// Sockets that std does not have.
mod raw {
    use std::ffi::c_void;
    use std::io::{Error, Read, Result, Write};
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    unsafe extern "C" {
        fn socket(domain: i32, kind: i32, protocol: i32) -> i32;
        fn setsockopt(socket: i32, level: i32, name: i32, value: *const c_void, length: u32) -> i32;
        fn getsockopt(socket: i32, level: i32, name: i32, value: *mut c_void, length: *mut u32) -> i32;
        fn bind(socket: i32, address: *const c_void, length: u32) -> i32;
        fn sendto(socket: i32, bytes: *const c_void, length: usize, flags: i32, to: *const c_void, size: u32) -> isize;
        fn mmap(at: *mut c_void, length: usize, protection: i32, flags: i32, file: i32, offset: i64) -> *mut c_void;
    }

    const AF_PACKET: i32 = 17;
    const AF_XDP: i32 = 44;
    const SOCK_RAW: i32 = 3;
    const IPV4: u16 = 0x0800;

    fn open(domain: i32, protocol: i32) -> Result<OwnedFd> {
        match unsafe { socket(domain, SOCK_RAW, protocol) } {
            -1 => Err(Error::last_os_error()),
            descriptor => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        }
    }

    fn set(socket: &OwnedFd, level: i32, name: i32, value: &[u8]) -> Result<()> {
        let length = value.len() as u32;
        match unsafe { setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }

    fn send_to(socket: &OwnedFd, bytes: &[u8], to: &[u8]) -> Result<()> {
        let (data, address) = (bytes.as_ptr().cast(), to.as_ptr().cast());
        match unsafe { sendto(socket.as_raw_fd(), data, bytes.len(), 0, address, to.len() as u32) } {
            -1 => Err(Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn mac() -> [u8; 6] {
        let text = std::fs::read_to_string("/sys/class/net/eth0/address").expect("an interface");
        let bytes: Vec<u8> =
            text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
        bytes.try_into().expect("six bytes")
    }

    fn index() -> u32 {
        let text = std::fs::read_to_string("/sys/class/net/eth0/ifindex").expect("an interface");
        text.trim().parse().expect("a number")
    }

    /// IPv4 and UDP around so many bytes.
    fn packet(from: SocketAddrV4, to: SocketAddrV4, length: usize) -> Vec<u8> {
        let mut packet = vec![0x45, 0];
        packet.extend((28 + length as u16).to_be_bytes());
        packet.extend([0, 1, 0, 0, 64, 17, 0, 0]);
        packet.extend(from.ip().octets());
        packet.extend(to.ip().octets());
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(from.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend((8 + length as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(vec![b'x'; length]);
        packet
    }

    /// A broadcast frame, which needs no address resolution.
    fn frame(kind: u16, content: &[u8]) -> Vec<u8> {
        [&[0xff; 6], mac().as_slice(), &kind.to_be_bytes(), content].concat()
    }

    /// `struct sockaddr_ll`.
    fn link(kind: u16) -> Vec<u8> {
        let mut address = (AF_PACKET as u16).to_ne_bytes().to_vec();
        address.extend(kind.to_be_bytes());
        address.extend(index().to_ne_bytes());
        address.extend([0, 0, 0, 6]);
        address.extend([0xff; 8]);
        address
    }

    pub const WAYS: [&str; 6] = ["frame", "bypass", "vlan", "unknown", "xdp", "ip"];

    pub fn send(how: &str, from: Ipv4Addr, to: SocketAddrV4, length: usize) -> Result<()> {
        const SOL_PACKET: i32 = 263;
        const QDISC_BYPASS: i32 = 20;
        let packet = packet(SocketAddrV4::new(from, 9), to, length);
        match how {
            "frame" => send_to(&open(AF_PACKET, 0)?, &frame(IPV4, &packet), &link(IPV4)),
            "bypass" => {
                let socket = open(AF_PACKET, 0)?;
                set(&socket, SOL_PACKET, QDISC_BYPASS, &1i32.to_ne_bytes())?;
                send_to(&socket, &frame(IPV4, &packet), &link(IPV4))
            }
            // The frame claims to be a VLAN's, so the kernel looks for the IP header elsewhere: there is another one.
            "vlan" => {
                let allowed = self::packet(SocketAddrV4::new(own(), 9), to, 0);
                let packet = [&packet[..], &allowed].concat();
                send_to(&open(AF_PACKET, 0)?, &frame(IPV4, &packet), &link(0x8100))
            }
            "unknown" => send_to(&open(AF_PACKET, 0)?, &frame(IPV4, &packet), &link(0x88b5)),
            "xdp" => xdp(&frame(IPV4, &packet)),
            "ip" => by_ip(&packet, to),
            other => panic!("no such way: {other}"),
        }
    }

    fn own() -> Ipv4Addr {
        let routes = std::net::UdpSocket::bind("0.0.0.0:0").expect("binds");
        routes.connect("192.0.2.1:9").expect("a route");
        match routes.local_addr().expect("one").ip() {
            std::net::IpAddr::V4(address) => address,
            other => panic!("{other}"),
        }
    }

    fn by_ip(packet: &[u8], to: SocketAddrV4) -> Result<()> {
        const AF_INET: i32 = 2;
        const IPPROTO_RAW: i32 = 255;
        let mut address = (AF_INET as u16).to_ne_bytes().to_vec();
        address.extend([0, 0]);
        address.extend(to.ip().octets());
        address.extend([0; 8]);
        send_to(&open(AF_INET, IPPROTO_RAW)?, packet, &address)
    }

    /// A packet to an address of this host, as though another host had sent it.
    pub fn as_though(from: SocketAddrV4, to: SocketAddrV4) -> Result<()> {
        by_ip(&packet(from, to, 4), to)
    }

    /// An unsolicited ARP reply by broadcast.
    pub fn announce(address: Ipv4Addr) -> Result<()> {
        let mut answer = vec![0, 1, 8, 0, 6, 4, 0, 2];
        answer.extend(mac());
        answer.extend(address.octets());
        answer.extend([0xff; 6]);
        answer.extend(address.octets());
        const ARP: u16 = 0x0806;
        send_to(&open(AF_PACKET, 0)?, &frame(ARP, &answer), &link(ARP))
    }

    /// Sends a frame from an AF_XDP socket (Documentation/networking/af_xdp.rst).
    fn xdp(frame: &[u8]) -> Result<()> {
        const SOL_XDP: i32 = 283;
        const MMAP_OFFSETS: i32 = 1;
        const TX_RING: i32 = 3;
        const UMEM_REG: i32 = 4;
        const FILL_RING: i32 = 5;
        const COMPLETION_RING: i32 = 6;
        const TX_OFFSET: i64 = 0x8000_0000;
        const CHUNK: usize = 4096;
        const MSG_DONTWAIT: i32 = 0x40;
        let anonymous = unsafe { mmap(std::ptr::null_mut(), CHUNK, 3, 0x22, -1, 0) };
        unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), anonymous.cast::<u8>(), frame.len()) };
        let socket = open(AF_XDP, 0)?;
        let mut memory = (anonymous as u64).to_ne_bytes().to_vec();
        memory.extend((CHUNK as u64).to_ne_bytes());
        memory.extend((CHUNK as u32).to_ne_bytes());
        memory.extend([0; 4]);
        set(&socket, SOL_XDP, UMEM_REG, &memory)?;
        for ring in [FILL_RING, COMPLETION_RING, TX_RING] {
            set(&socket, SOL_XDP, ring, &1u32.to_ne_bytes())?;
        }
        let mut offsets = [0u64; 16];
        let mut size = 128;
        unsafe { getsockopt(socket.as_raw_fd(), SOL_XDP, MMAP_OFFSETS, offsets.as_mut_ptr().cast(), &mut size) };
        let [producer, descriptors] = [offsets[4] as usize, offsets[6] as usize];
        let ring =
            unsafe { mmap(std::ptr::null_mut(), descriptors + 16, 3, 1, socket.as_raw_fd(), TX_OFFSET) };
        let mut address = (AF_XDP as u16).to_ne_bytes().to_vec();
        address.extend((1u16 << 1).to_ne_bytes());
        address.extend(index().to_ne_bytes());
        address.extend([0; 8]);
        if unsafe { bind(socket.as_raw_fd(), address.as_ptr().cast(), 16) } != 0 {
            return Err(Error::last_os_error());
        }
        unsafe {
            let ring = ring.cast::<u8>();
            ring.add(descriptors).cast::<u64>().write(0);
            ring.add(descriptors + 8).cast::<u32>().write(frame.len() as u32);
            ring.add(descriptors + 12).cast::<u32>().write(0);
            ring.add(producer).cast::<u32>().write_volatile(1);
            match sendto(socket.as_raw_fd(), std::ptr::null(), 0, MSG_DONTWAIT, std::ptr::null(), 0) {
                -1 => Err(Error::last_os_error()),
                _ => Ok(()),
            }
        }
    }

    /// Sends a batch to the kernel, and returns its responses.
    pub fn netlink(protocol: i32, batch: &[u8]) -> Vec<Vec<u8>> {
        const AF_NETLINK: i32 = 16;
        const NONBLOCK: i32 = 0o4000;
        let descriptor = unsafe { socket(AF_NETLINK, SOCK_RAW | NONBLOCK, protocol) };
        let mut kernel = unsafe { std::fs::File::from_raw_fd(descriptor) };
        kernel.write_all(batch).expect("the kernel takes it");
        let mut answers = Vec::new();
        let mut answer = [0; 512];
        while let Ok(length @ 1..) = kernel.read(&mut answer) {
            answers.push(answer[..length].to_vec());
        }
        answers
    }
}

/// Keeps its argument for ever.
fn hold(what: &[u8]) -> ! {
    loop {
        std::hint::black_box(what);
        std::thread::park();
    }
}

fn number(text: &str) -> i32 {
    text.parse().expect("a number")
}

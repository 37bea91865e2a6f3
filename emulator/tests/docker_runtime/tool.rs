//! What the tests run in containers: one static program, a word for what it does.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// What drops packets gives no answer: how long one is waited for that should not come.
const PATIENCE: Duration = Duration::from_secs(2);

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
        // A line that the engine cuts.
        ["long", length] => println!("{}", "x".repeat(number(length) as usize)),
        ["cat", path] => print!("{}", std::fs::read_to_string(path).expect("reads")),
        ["write", path, text] => std::fs::write(path, text).expect("writes"),
        ["exists", path] => std::process::exit(if std::path::Path::new(path).exists() { 0 } else { 1 }),
        ["show", name] => println!("{}", std::env::var(name).unwrap_or_default()),
        ["directory"] => println!("{}", std::env::current_dir().expect("there is one").display()),
        // Touches so many MiB, says so, and keeps them.
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
        // Answers every word of three letters with its name until it is "bye".
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
        // Says a word to a server, prints its answer.
        ["say", word, address] => {
            let deadline = Instant::now() + Duration::from_secs(20);
            let mut connection = loop {
                match TcpStream::connect(address) {
                    Ok(connection) => break connection,
                    Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            };
            connection.write_all(word.as_bytes()).expect("says");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).expect("hears");
            print!("{answer}");
        }
        // Whether a server can be reached at all.
        ["knock", address] => {
            let address = address.parse().expect("an address and a port");
            let outcome = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.kind());
            println!(
                "{}",
                match outcome {
                    Ok(_) => "open",
                    Err(ErrorKind::ConnectionRefused) => "refused",
                    Err(_) => "closed",
                }
            );
        }
        // Connects, and says its word when there is such a file.
        ["linger", word, address, path] => {
            let mut connection = TcpStream::connect(address).expect("connects");
            println!("connected");
            while !std::path::Path::new(path).exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
            connection.write_all(word.as_bytes()).expect("says");
            let mut answer = String::new();
            connection.read_to_string(&mut answer).expect("hears");
            print!("{answer}");
        }
        // Sends every packet back and says so.
        ["echo", port] => {
            let socket = UdpSocket::bind(("0.0.0.0", number(port) as u16)).expect("binds");
            let mut packet = [0; 512];
            println!("ready");
            loop {
                let (length, from) = socket.recv_from(&mut packet).expect("receives");
                println!("heard {length} bytes");
                let _ = socket.send_to(&packet[..length], from);
            }
        }
        // Whether a packet comes back. It is a question for the name server, of the address of "a".
        ["ask", address] => {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("binds");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
            let sent = socket.send_to(question, address);
            let open = sent.is_ok() && socket.recv(&mut [0; 512]).is_ok();
            println!("{}", if open { "open" } else { "closed" });
        }
        other => panic!("no such word: {other:?}"),
    }
}

/// Keeps what it is given, forever.
fn hold(what: &[u8]) -> ! {
    loop {
        std::hint::black_box(what);
        std::thread::park();
    }
}

fn number(text: &str) -> i32 {
    text.parse().expect("a number")
}

//! What the tests run in containers: one static program, a word for what it does.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

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

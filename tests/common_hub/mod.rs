//! A hub on the loopback interface: HEAD and GET of `resolve` addresses, ranges, error codes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use embedport::embed::ModelSpec;
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub fn spec_of(name: &str) -> ModelSpec {
    name.parse().unwrap()
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    requests: AtomicUsize,
    /// Bytes after which the next transfer of weights breaks off; 0 for never.
    break_after: AtomicUsize,
    altered: Mutex<Option<String>>,
    ranges: Mutex<Vec<(String, usize)>>,
    stop: AtomicBool,
}

pub struct Hub {
    pub endpoint: String,
    address: std::net::SocketAddr,
    state: Arc<State>,
}

impl Hub {
    pub fn start() -> Hub {
        let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/static-256");
        let names = ["modules.json", "config.json", "tokenizer.json", "model.safetensors"];
        let files = names.map(|name| (name.to_owned(), std::fs::read(assets.join(name)).unwrap()));
        let state = Arc::new(State { files: files.into(), ..State::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle is no failure of the test.
                std::thread::spawn(move || stream.and_then(|stream| serve(stream, &shared)));
            }
        });
        Hub { endpoint: format!("http://{address}"), address, state }
    }

    pub fn break_off_after(&self, bytes: usize) {
        self.state.break_after.store(bytes, Ordering::SeqCst);
    }

    pub fn alter(&self, name: &str) {
        *self.state.altered.lock().unwrap() = Some(name.to_owned());
    }

    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// First bytes of the ranges asked for, beyond the first byte alone.
    pub fn ranges_of(&self, name: &str) -> Vec<usize> {
        self.state.ranges.lock().unwrap().iter().filter(|(n, _)| n == name).map(|(_, start)| *start).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
    }
}

struct Asked {
    method: String,
    path: String,
    headers: HashMap<String, String>,
}

fn read_request(reader: &mut impl BufRead) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return Ok(Some(Asked { method, path, headers })),
        };
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(asked) = read_request(&mut reader)? {
        state.requests.fetch_add(1, Ordering::SeqCst);
        if !answer(&mut stream, &asked, state)? {
            stream.shutdown(std::net::Shutdown::Both)?;
            break;
        }
    }
    Ok(())
}

fn refuse(stream: &mut TcpStream, status: u16, code: &str) -> std::io::Result<bool> {
    let commit = if code == "EntryNotFound" { format!("x-repo-commit: {COMMIT}\r\n") } else { String::new() };
    let code = if code.is_empty() { String::new() } else { format!("X-Error-Code: {code}\r\n") };
    write!(stream, "HTTP/1.1 {status} No\r\n{code}{commit}Content-Length: 0\r\n\r\n")?;
    Ok(true)
}

/// Whether the connection stays open.
fn answer(stream: &mut TcpStream, asked: &Asked, state: &State) -> std::io::Result<bool> {
    let parts: Vec<&str> = asked.path.trim_start_matches('/').splitn(5, '/').collect();
    let &["owner", repository, "resolve", revision, name] = parts.as_slice() else {
        return refuse(stream, 404, "RepoNotFound");
    };
    let authorised = asked.headers.get("authorization").is_some_and(|token| token == "Bearer hf_right");
    match repository {
        "static" => {}
        "private" if authorised => {}
        "private" => return refuse(stream, 401, "RepoNotFound"),
        "gated" => return refuse(stream, 403, "GatedRepo"),
        "busy" => return refuse(stream, 503, ""),
        "pytorch" if name == "model.safetensors" => return refuse(stream, 404, "EntryNotFound"),
        "pytorch" => {}
        _ => return refuse(stream, 404, "RepoNotFound"),
    }
    if revision != "main" && revision != COMMIT {
        return refuse(stream, 404, "RevisionNotFound");
    }
    let Some(bytes) = state.files.get(name) else { return refuse(stream, 404, "EntryNotFound") };
    let etag: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    let total = bytes.len();
    let described = format!("ETag: \"{etag}\"\r\nx-repo-commit: {COMMIT}\r\nx-linked-size: {total}\r\n");
    if asked.method == "HEAD" {
        write!(stream, "HTTP/1.1 200 OK\r\n{described}Content-Length: {total}\r\n\r\n")?;
        return Ok(true);
    }
    let range =
        asked.headers.get("range").and_then(|r| r.strip_prefix("bytes=")).and_then(|r| r.split_once('-'));
    let (start, end) = range.map_or((0, total), |(start, end)| {
        (start.parse().unwrap_or(0), end.parse::<usize>().map_or(total, |end| (end + 1).min(total)))
    });
    if start >= total {
        return refuse(stream, 416, "");
    }
    write!(
        stream,
        "HTTP/1.1 206 Partial\r\n{described}Content-Range: bytes {start}-{}/{total}\r\nContent-Length: {}\r\n\r\n",
        end - 1,
        end - start
    )?;
    let mut body = bytes[start..end].to_vec();
    if body.len() > 1 {
        state.ranges.lock().unwrap().push((name.to_owned(), start));
        if state.altered.lock().unwrap().as_deref() == Some(name) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        let cut = state.break_after.load(Ordering::SeqCst);
        if name == "model.safetensors" && cut > 0 {
            state.break_after.store(0, Ordering::SeqCst);
            stream.write_all(&body[..cut.min(body.len())])?;
            stream.flush()?;
            return Ok(false);
        }
    }
    stream.write_all(&body)?;
    Ok(true)
}

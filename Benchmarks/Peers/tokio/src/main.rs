//! tokio on a current_thread runtime, as its users write it: a task a connection that reads into one buffer, answers all
//! whole frames where they are and writes them with one `write_all`. The idle timer is one pinned `Sleep` a connection:
//! a message stores its deadline, and the sleep is reset when it ends too early.

use std::io;
use std::net::SocketAddr;
use std::os::unix::io::AsRawFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, Instant};

const HEADER: usize = 4;
const LIMIT: usize = 8 << 20;
const HELLO_LENGTH: usize = 32;
const KIND_HELLO: u8 = 1;
const KIND_PING: u8 = 2;
const KIND_DATA: u8 = 3;
const ANSWER: u8 = 0x80;

fn is_allowed(length: usize, kind: Option<u8>, greeted: bool) -> bool {
    if length == 0 || length > LIMIT || (!greeted && length != HELLO_LENGTH) {
        return false;
    }
    match kind {
        None => true,
        Some(kind) if greeted => kind == KIND_PING || kind == KIND_DATA,
        Some(kind) => kind == KIND_HELLO,
    }
}

/// Answers the whole frames in place. Returns their length in all and what the next one takes; None if one is broken.
fn answer_frames(bytes: &mut [u8], greeted: &mut bool) -> Option<(usize, usize)> {
    let mut done = 0;
    while bytes.len() - done >= HEADER {
        let frame = &mut bytes[done..];
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        if !is_allowed(length, frame.get(HEADER).copied(), *greeted) {
            return None;
        }
        let whole = HEADER + length;
        if frame.len() < whole {
            return Some((done, whole));
        }
        frame[HEADER] |= ANSWER;
        *greeted = true;
        done += whole;
    }
    Some((done, HEADER))
}

async fn serve(mut stream: TcpStream, idle: Duration) -> io::Result<()> {
    let mut bytes = vec![0u8; 4096];
    let mut filled = 0;
    let mut greeted = false;
    let mut deadline = Instant::now() + idle;
    let timer = sleep_until(deadline);
    tokio::pin!(timer);
    loop {
        let count = tokio::select! {
            biased;
            count = stream.read(&mut bytes[filled..]) => count?,
            _ = &mut timer => {
                if deadline <= Instant::now() {
                    return Ok(());
                }
                timer.as_mut().reset(deadline);
                continue;
            }
        };
        if count == 0 {
            return Ok(());
        }
        filled += count;
        let (done, needed) = match answer_frames(&mut bytes[..filled], &mut greeted) {
            Some(answered) => answered,
            None => return Ok(()),
        };
        if done > 0 {
            deadline = Instant::now() + idle;
            // A client that does not read holds us here, and its deadline holds for it, too.
            match tokio::time::timeout_at(deadline, stream.write_all(&bytes[..done])).await {
                Ok(written) => written?,
                Err(_) => return Ok(()),
            }
            bytes.copy_within(done..filled, 0);
            filled -= done;
        }
        if filled == bytes.len() || (filled == 0 && count == bytes.len() && bytes.len() < 65536) {
            // Grows with what really comes, never with what was announced.
            let size = (2 * bytes.len()).min(needed.max(65536));
            bytes.resize(size.max(filled + 1024), 0);
        }
    }
}

/// TCP_NODELAY once, on the listener: accepted sockets inherit it.
fn inherit_nodelay(listener: &TcpListener) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = std::mem::size_of_val(&on) as libc::socklen_t;
    let value = &on as *const libc::c_int as *const libc::c_void;
    match unsafe { libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

async fn run(port: u16, idle: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    inherit_nodelay(&listener)?;
    println!("ready {}", std::process::id());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(async move { serve(stream, idle).await });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// The listener is Tokio's; the limit on descriptors is the process's.
fn raise_limit() {
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let port = arguments.get(1).and_then(|text| text.parse().ok());
    let idle = arguments.get(2).map_or(Some(120_000), |text| text.parse().ok());
    let (port, idle) = match (port, idle, arguments.len()) {
        (Some(port), Some(idle), 2..=3) => (port, idle),
        _ => {
            eprintln!("usage: server PORT [IDLE_MILLISECONDS]");
            std::process::exit(64);
        }
    };
    raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(port, Duration::from_millis(idle)))
}

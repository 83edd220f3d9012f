//! Each fault of the network, seen from both sides: by a client, and by a server that repeats what it hears.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::app::{DEADLINE, wait_until};
use crate::support::fault_proxy::{FaultProxy, Mode};
use crate::support::port::Port;

/// How long silence has to last to be believed.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that answers each line with the same line.
struct Echo {
    port: Port,
    ears: Arc<Ears>,
}

/// What the server noticed.
#[derive(Default)]
struct Ears {
    lines: Mutex<Vec<String>>,
    ended: AtomicUsize,
}

impl Echo {
    fn start() -> Echo {
        let ears = Arc::new(Ears::default());
        let mut port = Port::closed();
        let hearing = Arc::clone(&ears);
        port.open(move |listener: &TcpListener| {
            while let Ok((stream, _)) = listener.accept() {
                let ears = Arc::clone(&hearing);
                thread::spawn(move || ears.serve(&stream));
            }
        });
        Echo { port, ears }
    }

    fn address(&self) -> SocketAddr {
        self.port.address()
    }

    fn has_heard(&self, line: &str) -> bool {
        let lines = self.ears.lines.lock().unwrap();
        lines.iter().any(|heard| heard == line)
    }

    /// Connections that have ended.
    fn ended(&self) -> usize {
        self.ears.ended.load(Ordering::SeqCst)
    }
}

impl Ears {
    fn serve(&self, mut stream: &TcpStream) {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let answer = format!("echo: {line}\n");
            self.lines.lock().unwrap().push(line);
            if stream.write_all(answer.as_bytes()).is_err() {
                break;
            }
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.port.stop();
    }
}

fn try_to_connect(proxy: &FaultProxy) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy.address())?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    try_to_connect(proxy).unwrap()
}

fn tell(mut stream: &TcpStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

/// Reads a line, which comes without its end.
fn hear(mut stream: &TcpStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte == [b'\n'] {
            return Ok(String::from_utf8(line).unwrap());
        }
        line.push(byte[0]);
    }
}

/// Says a line and reads the answer.
fn ask(stream: &TcpStream, line: &str) -> io::Result<String> {
    tell(stream, line)?;
    hear(stream)
}

/// Whether nothing comes, neither a byte nor an end.
fn is_silent(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let read = stream.read(&mut [0]);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}

#[track_caller]
fn assert_reset<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn what_passes_is_counted_and_ends_when_either_side_ends() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    assert_eq!(proxy.url(), format!("http://{}", proxy.address()));
    let (one, two) = (connect(&proxy), connect(&proxy));
    assert_eq!(ask(&one, "one").unwrap(), "echo: one");
    assert_eq!(ask(&two, "two").unwrap(), "echo: two");
    assert_eq!(ask(&one, "three").unwrap(), "echo: three");
    assert_eq!((proxy.connections(), proxy.open()), (2, 2));
    let sent = "one\ntwo\nthree\n".len() as u64;
    let answered = sent + 3 * "echo: ".len() as u64;
    wait_until("the bytes are counted", || {
        (proxy.bytes_to_target(), proxy.bytes_to_client()) == (sent, answered)
    });
    drop(one);
    wait_until("one connection has ended", || proxy.open() == 1);
    // The client has no more to say, and still hears the answer and then the end.
    tell(&two, "four").unwrap();
    two.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    (&two).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "echo: four\n");
    wait_until("both have ended", || proxy.open() == 0 && echo.ended() == 2);
}

#[test]
fn a_refusing_network_resets_what_is_open_and_comes_back_at_the_same_address() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    for _ in 0..3 {
        proxy.set_mode(Mode::Refuse);
        assert_eq!(proxy.open(), 0);
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set_mode(Mode::Pass);
        assert_eq!(ask(&connect(&proxy), "after").unwrap(), "echo: after");
    }
    assert_reset(hear(&old));
    wait_until("the server knows too", || echo.ended() == 4);
}

#[test]
fn in_a_hanging_network_nothing_moves_until_it_moves_again() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    proxy.set_mode(Mode::Hang);
    let new = connect(&proxy);
    tell(&old, "from the old").unwrap();
    tell(&new, "from the new").unwrap();
    assert!(is_silent(&old) && is_silent(&new));
    assert!(!echo.has_heard("from the old") && !echo.has_heard("from the new"));
    proxy.set_mode(Mode::Pass);
    assert_eq!(hear(&old).unwrap(), "echo: from the old");
    assert_eq!(hear(&new).unwrap(), "echo: from the new");
}

#[test]
fn what_a_client_gave_up_while_the_network_hung_never_arrives() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    proxy.set_mode(Mode::Hang);
    let new = connect(&proxy);
    for stream in [&old, &new] {
        tell(stream, "too late").unwrap();
    }
    wait_until("both are there", || proxy.open() == 2);
    drop((old, new));
    wait_until("both are gone", || proxy.open() == 0);
    proxy.set_mode(Mode::Pass);
    ask(&connect(&proxy), "after").unwrap();
    assert!(!echo.has_heard("too late"));
}

#[test]
fn in_a_slow_network_every_request_and_every_answer_takes_longer() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let stream = connect(&proxy);
    let delay = Duration::from_millis(60);
    proxy.set_mode(Mode::Slow(delay));
    for round in ["first", "second"] {
        let started = Instant::now();
        ask(&stream, round).unwrap();
        assert!(started.elapsed() >= 2 * delay, "{:?}", started.elapsed());
    }
    // What waits goes on at once when the network is well again.
    proxy.set_mode(Mode::Slow(2 * DEADLINE));
    tell(&stream, "third").unwrap();
    assert!(is_silent(&stream));
    proxy.set_mode(Mode::Pass);
    assert_eq!(hear(&stream).unwrap(), "echo: third");
}

#[test]
fn an_answer_is_cut_after_so_many_bytes_by_a_reset() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "a long answer comes first").unwrap();
    proxy.set_mode(Mode::CutAfter(8));
    for stream in [&old, &connect(&proxy)] {
        tell(stream, "hello").unwrap();
        let mut start = [0; 8];
        let mut reading = stream;
        reading.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"echo: he");
        assert_reset(hear(stream));
    }
    // Shorter answers are whole.
    assert_eq!(ask(&connect(&proxy), "").unwrap(), "echo: ");
    proxy.set_mode(Mode::CutAfter(0));
    assert_reset(ask(&connect(&proxy), "heard and not answered"));
    assert!(echo.has_heard("heard and not answered"));
}

#[test]
fn a_lost_answer_leaves_the_request_done_and_the_client_waiting() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    proxy.set_mode(Mode::DropResponses);
    let new = connect(&proxy);
    tell(&old, "done by the old").unwrap();
    tell(&new, "done by the new").unwrap();
    wait_until("both requests have arrived", || {
        echo.has_heard("done by the old") && echo.has_heard("done by the new")
    });
    assert!(is_silent(&old) && is_silent(&new));
    proxy.set_mode(Mode::Pass);
    assert!(is_silent(&old) && is_silent(&new));
    assert_eq!(ask(&connect(&proxy), "after").unwrap(), "echo: after");
}

#[test]
fn a_half_open_connection_is_mute_until_the_client_gives_up() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    proxy.set_mode(Mode::HalfOpen);
    wait_until("the server's side is closed", || echo.ended() == 1);
    let new = connect(&proxy);
    tell(&old, "into the void").unwrap();
    tell(&new, "into the void").unwrap();
    assert!(is_silent(&old) && is_silent(&new));
    proxy.set_mode(Mode::Pass);
    assert!(is_silent(&old) && is_silent(&new));
    assert!(!echo.has_heard("into the void"));
    assert_eq!(proxy.open(), 2);
    drop((old, new));
    wait_until("both are gone", || proxy.open() == 0);
}

#[test]
fn a_share_of_the_connections_breaks_the_same_way_with_the_same_seed() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let outcomes = |share: f64, seed: u64| -> Vec<bool> {
        proxy.set_mode(Mode::Flaky { share, seed });
        let answer = || try_to_connect(&proxy).and_then(|stream| ask(&stream, "hello"));
        (0..64).map(|_| answer().is_ok()).collect()
    };
    let some = outcomes(0.5, 7);
    let worked = some.iter().filter(|worked| **worked).count();
    assert!((16..=48).contains(&worked), "{worked} of 64");
    assert!(outcomes(0.0, 7).iter().all(|worked| *worked));
    assert!(!outcomes(1.0, 7).iter().any(|worked| *worked));
    // Those that are open are drawn as well, before those to come.
    wait_until("all have ended", || proxy.open() == 0);
    assert_eq!(outcomes(0.5, 7), some);
    assert_ne!(outcomes(0.5, 8), some);
    proxy.set_mode(Mode::Pass);
    let old = connect(&proxy);
    ask(&old, "hello").unwrap();
    proxy.set_mode(Mode::Flaky {
        share: 1.0,
        seed: 7,
    });
    assert_reset(hear(&old));
}

#[test]
fn a_target_that_is_gone_and_a_proxy_that_is_dropped_reset_their_clients() {
    let echo = Echo::start();
    let proxy = FaultProxy::before(echo.address());
    let old = connect(&proxy);
    ask(&old, "before").unwrap();
    proxy.set_mode(Mode::Hang);
    let held = connect(&proxy);
    tell(&held, "held back").unwrap();
    let address = proxy.address();
    drop(proxy);
    assert_reset(hear(&old));
    assert_reset(hear(&held));
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let target = echo.address();
    drop(echo);
    let proxy = FaultProxy::before(target);
    assert_reset(try_to_connect(&proxy).and_then(|stream| hear(&stream)));
}

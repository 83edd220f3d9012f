//! The generator: requests when they are due, whatever became of those before.
//!
//! All of it is one thread, so that one core can offer many thousand requests a second. Connections are kept and
//! shared by the requests of a stream, the one that was used last first. A request that finds all of them busy is not
//! sent, and counted as late: it was asked for nevertheless. What is sent is counted in the phase in which it was due,
//! whenever it is answered, and its latency begins when it was due.

use std::io::Read;
use std::iter::Peekable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use self::board::{Board, Counted};
use self::connection::{Connection, Job};
use self::window::Window;
use super::plan::{Load, Measured, PhaseOutcome, PhasePlan, Plan, StreamPlan};
use super::schedule::Schedule;
use crate::error::{Error, Result};

mod board;
mod connection;
mod open_files;
mod window;

/// Timers of the runtime go by milliseconds. What is nearer is waited for by looking at the clock again and again,
/// between the answers that come in: the generator has a core for itself.
const NEAR: Duration = Duration::from_millis(2);

/// How often it is looked whether to end early.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Requests of a stream that are sent before answers are looked at again.
const BURST_MAX: usize = 64;

/// Makes the load of a plan, which is read as JSON to its end, and calls each phase by its name when it begins.
///
/// # Errors
/// A plan that is none; too few open files for its connections; [`Error::Interrupted`] when `stop` was set.
pub fn offer(input: &mut dyn Read, stop: &AtomicBool, say: &dyn Fn(&str)) -> Result<Measured> {
    let mut text = Vec::new();
    input
        .read_to_end(&mut text)
        .map_err(|error| Error::io("read", "standard input", error))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| Error::Argument {
        problem: format!("standard input is no plan of a load: {error}"),
        remedy: "`embedder bench overload` runs this by itself".to_owned(),
    })?;
    let connections = plan.streams.iter().map(|stream| stream.connections).sum();
    open_files::allow(connections)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("start", "the runtime", error))?;
    runtime.block_on(drive(plan, stop, say))
}

async fn drive(plan: Plan, stop: &AtomicBool, say: &dyn Fn(&str)) -> Result<Measured> {
    let streams: Vec<_> = plan.streams.into_iter().map(Arc::new).collect();
    let mut generator = Generator::start(streams, &plan.phases, stop);
    let mut begins = Instant::now();
    let mut windows = Vec::new();
    for (number, phase) in plan.phases.iter().enumerate() {
        say(&phase.name);
        let mut window = Window::new(plan.process, begins, phase);
        match &phase.load {
            Load::Closed { clients } => generator.closed(number, *clients, &mut window).await?,
            Load::Open { per_second } => {
                let schedules = generator.schedules(number, per_second, plan.seed);
                generator.open(number, schedules, &mut window).await?;
            }
        }
        windows.push(window);
        // By the plan and not by the clock: phases do not drift.
        begins += phase.time();
    }
    generator.until_all_ended().await?;
    let outcomes = generator.board.outcomes();
    let phases = windows.into_iter().zip(outcomes);
    Ok(Measured {
        phases: phases
            .map(|(window, streams)| PhaseOutcome {
                seconds: window.seconds(),
                cpu_s: window.cpu_s(),
                streams,
            })
            .collect(),
    })
}

/// Sends requests by the connections of all streams.
struct Generator<'a> {
    streams: Vec<Arc<StreamPlan>>,
    /// Of each stream, the way to each of its connections.
    connections: Vec<Vec<mpsc::Sender<Job>>>,
    /// Of each stream, the request that is next.
    turns: Vec<usize>,
    board: Arc<Board>,
    stop: &'a AtomicBool,
}

impl<'a> Generator<'a> {
    /// Starts a task for each connection; none of them connects before it has something to send.
    fn start(
        streams: Vec<Arc<StreamPlan>>,
        phases: &[PhasePlan],
        stop: &'a AtomicBool,
    ) -> Generator<'a> {
        let board = Arc::new(Board::new(&streams, phases));
        let start = |stream: &Arc<StreamPlan>, place: (usize, usize)| -> mpsc::Sender<Job> {
            let (sender, jobs) = mpsc::channel(1);
            let connection = Connection::new(Arc::clone(stream));
            tokio::spawn(connection::serve(
                connection,
                jobs,
                Arc::clone(&board),
                place,
            ));
            sender
        };
        let start_all = |(number, stream): (usize, &Arc<StreamPlan>)| -> Vec<mpsc::Sender<Job>> {
            let places = (0..stream.connections).map(|place| (number, place));
            places.map(|place| start(stream, place)).collect()
        };
        Generator {
            connections: streams.iter().enumerate().map(start_all).collect(),
            turns: vec![0; streams.len()],
            streams,
            board,
            stop,
        }
    }

    fn schedules(&self, phase: usize, per_second: &[f64], seed: u64) -> Vec<Peekable<Schedule>> {
        let schedule = |(number, (stream, &per_second)): (usize, (&Arc<StreamPlan>, &f64))| {
            let seed = [seed, phase as u64, number as u64];
            Schedule::new(stream.arrivals, per_second, seed).peekable()
        };
        let streams = self.streams.iter().zip(per_second);
        streams.enumerate().map(schedule).collect()
    }

    /// Sends what the schedules of the streams say, when they say it.
    async fn open(
        &mut self,
        phase: usize,
        mut schedules: Vec<Peekable<Schedule>>,
        window: &mut Window,
    ) -> Result<()> {
        loop {
            let now = Instant::now();
            window.look(now);
            let mut next = window.ends();
            for (stream, schedule) in schedules.iter_mut().enumerate() {
                let mut sent = 0;
                while let Some(due) = schedule.peek().map(|&after| window.begins() + after)
                    && due < window.ends()
                {
                    if due > now || sent == BURST_MAX {
                        next = next.min(due);
                        break;
                    }
                    schedule.next();
                    self.send(stream, due, now, window.counted(phase, due));
                    sent += 1;
                }
            }
            if now >= window.ends() && next >= window.ends() {
                return Ok(());
            }
            self.go_on()?;
            rest(next.saturating_duration_since(now)).await;
        }
    }

    /// Sends the next request of each client of the first stream as soon as it has its answer.
    async fn closed(&mut self, phase: usize, clients: usize, window: &mut Window) -> Result<()> {
        let clients = clients.min(self.connections[0].len());
        loop {
            let now = Instant::now();
            window.look(now);
            if now >= window.ends() {
                return Ok(());
            }
            self.go_on()?;
            while self.board.under_way() < clients {
                self.send(0, now, now, window.counted(phase, now));
            }
            self.wait_for_an_end().await;
        }
    }

    /// Waits for what is still under way, which is given up in the end.
    async fn until_all_ended(&self) -> Result<()> {
        while self.board.under_way() > 0 {
            self.go_on()?;
            self.wait_for_an_end().await;
        }
        Ok(())
    }

    /// Sends the next request of a stream, if there is a connection for it.
    fn send(&mut self, stream: usize, due: Instant, now: Instant, counted: Option<Counted>) {
        let lag = now.saturating_duration_since(due);
        let Some(place) = self.board.take(stream, lag, counted) else {
            return;
        };
        let turn = &mut self.turns[stream];
        let job = Job {
            request: *turn,
            due,
            counted,
        };
        *turn = (*turn + 1) % self.streams[stream].requests.len();
        self.connections[stream][place]
            .try_send(job)
            .expect("a connection that is free waits for a job");
    }

    async fn wait_for_an_end(&self) {
        // Whether one ended or it took too long, the caller looks.
        let _ = tokio::time::timeout(LOOK_EVERY, self.board.ended.notified()).await;
    }

    fn go_on(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// Lets connections work until it is about time.
async fn rest(time: Duration) {
    if time > NEAR {
        tokio::time::sleep((time - NEAR).min(LOOK_EVERY)).await;
    } else {
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests;

//! What fails in a simulation, and for how long.

use std::time::Duration;

use embedder_reliability::Random;

use super::network::Mode;
use super::server::Server;
use super::{below, happens};
use crate::engine::serving::simulated::Pace;
use crate::failpoint::{self, Action, Failpoint};

/// The faults that are in force.
#[derive(Default)]
pub(super) struct Faults {
    in_force: Vec<Fault>,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Point(Failpoint, Action),
    Provider(Mode),
    Pace(Pace),
}

/// Faults at once.
const FAULTS_MAX: usize = 4;

/// How slow things are at the worst: slower than what depends on them waits.
const SLOW: Duration = Duration::from_secs(8);

impl Faults {
    /// Ends some, begins others.
    pub(super) fn change(&mut self, random: &mut Random, server: &Server) {
        let ended = self.in_force.extract_if(.., |_| happens(random, 0.2));
        for fault in ended.collect::<Vec<_>>() {
            fault.end(server);
        }
        if self.in_force.len() < FAULTS_MAX && happens(random, 0.6) {
            let fault = Fault::draw(random);
            fault.begin(server);
            self.in_force.push(fault);
            self.count += 1;
        }
    }

    /// Ends all.
    pub(super) fn end(&mut self, server: &Server) {
        for fault in self.in_force.drain(..) {
            fault.end(server);
        }
    }

    /// Returns how many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl Fault {
    fn draw(random: &mut Random) -> Fault {
        match below(random, 4) {
            0 => Fault::Provider(Mode::FAULTS[below(random, Mode::FAULTS.len())]),
            1 => Fault::Pace(Pace {
                work: SLOW.mul_f64(random.unit().powi(3)),
                encoding: SLOW.mul_f64(random.unit().powi(3)),
            }),
            _ => {
                let point = Failpoint::ALL[below(random, Failpoint::ALL.len())];
                Fault::Point(point, Fault::action(point, random))
            }
        }
    }

    fn action(point: Failpoint, random: &mut Random) -> Action {
        let times = Some(1 + below(random, 4) as u64);
        match (point, below(random, 4)) {
            // What stands in a request's own way, and fails alone.
            (Failpoint::Handler, _) => Action::Panic { times },
            // The disk is opened anew after each.
            (Failpoint::StoreCommit, _) => Action::Fail { times: Some(1) },
            (_, 0) => Action::Fail { times: None },
            (_, 1) => Action::FailEvery {
                calls: 2 + below(random, 3) as u64,
            },
            (_, _) => Action::Fail { times },
        }
    }

    fn begin(self, server: &Server) {
        match self {
            Fault::Point(point, action) => failpoint::set(point, action),
            Fault::Provider(mode) => server.network().set(mode),
            Fault::Pace(pace) => server.set_pace(pace),
        }
    }

    fn end(self, server: &Server) {
        match self {
            Fault::Point(point, _) => failpoint::clear(Some(point)),
            Fault::Provider(_) => server.network().set(Mode::Well),
            Fault::Pace(_) => server.set_pace(Server::WELL),
        }
    }
}

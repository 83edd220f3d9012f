//! `embedder doctor`.

use super::{Context, output, served};
use crate::engine::doctor::{Check, Verdict, doctor};
use crate::engine::serving::resilience::DegradationView;
use crate::error::{Error, Result};
use crate::outbound::control::{Control, Silent, Sleep};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let control = Control {
        progress: &Silent,
        interrupt: &context.stop,
        pause: &Sleep,
    };
    let mut checks = doctor(&context.config, &control);
    checks.push(server(context));
    if args.json {
        output::json(&checks)?;
    } else {
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok      ",
                Verdict::Warning => "warning ",
                Verdict::Problem => "PROBLEM ",
            };
            output::line(&format!("{mark}{}: {}", check.name, check.detail))?;
            if !check.remedy.is_empty() {
                output::line(&format!("        {}", check.remedy))?;
            }
        }
    }
    match checks
        .iter()
        .filter(|check| check.verdict == Verdict::Problem)
        .count()
    {
        0 => Ok(()),
        problems => Err(Error::Unhealthy(problems)),
    }
}

/// Whether a server runs in the data directory, and whether it can be worked with.
fn server(context: &Context) -> Check {
    let (verdict, detail, remedy) = match served::find(context) {
        Ok(Some(server)) => {
            let detail = format!(
                "process {} answers at {}, version {}",
                server.pid(),
                server.address(),
                server.version()
            );
            let asked = server.get::<DegradationView>(&["v1", "admin", "degradation"], &[]);
            match asked {
                Ok(service) if service.level == "Full" => (Verdict::Ok, detail, None),
                Ok(service) => {
                    let parts = service.switched_off.iter();
                    let off = parts.map(|part| format!("{part} is switched off"));
                    let why: Vec<_> = service.causes.iter().cloned().chain(off).collect();
                    let detail = format!("{detail}, and is {}: {}", service.level, why.join("; "));
                    let remedy = "docs/operating.md says what to do about each".to_owned();
                    (Verdict::Warning, detail, Some(remedy))
                }
                Err(error) => (Verdict::Problem, error.to_string(), error.remedy()),
            }
        }
        Ok(None) => (
            Verdict::Ok,
            "none runs: commands work alone".to_owned(),
            None,
        ),
        Err(error) => (Verdict::Problem, error.to_string(), error.remedy()),
    };
    Check {
        name: "server".to_owned(),
        verdict,
        detail,
        remedy: remedy.unwrap_or_default(),
    }
}

//! `embedder doctor`.

use super::{Context, output};
use crate::engine::doctor::{Verdict, doctor};
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
    let checks = doctor(&context.config, &control);
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

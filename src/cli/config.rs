//! `embedder config`.

use serde_json::json;

use super::{Context, output};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print every setting in force and where it comes from.
    Show {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check the settings; all mistakes are reported at once.
    Check,
}

pub(super) fn run(context: &Context, args: Args) -> Result<()> {
    let table = context.config.table();
    match args.command {
        // Mistakes ended the program before it came here.
        Command::Check => output::line(&format!("{} settings are in order", table.len())),
        Command::Show { json: true } => {
            let rows = table.iter().map(|(setting, value, origin)| {
                json!({"key": setting.key, "value": value, "from": origin.to_string(), "unit": setting.unit,
                       "variables": setting.variables, "meaning": setting.meaning})
            });
            output::json(&rows.collect::<Vec<_>>())
        }
        Command::Show { json: false } => {
            for (setting, value, origin) in table {
                let unit = if setting.unit.is_empty() {
                    String::new()
                } else {
                    format!(" [{}]", setting.unit)
                };
                output::line(&format!("{} = {value}  ({origin})", setting.key))?;
                output::line(&format!(
                    "    {}{unit}; {}",
                    setting.meaning,
                    setting.variables.join(", ")
                ))?;
            }
            Ok(())
        }
    }
}

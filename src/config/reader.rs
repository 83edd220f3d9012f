//! Reads settings one by one.

use super::settings::{SETTINGS, Setting};
use super::strings::{Layers, Origin};
use super::without_user;

/// Reads settings one by one, and gathers what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers<'a>,
    pub(super) problems: &'a mut Vec<String>,
    pub(super) table: Vec<(&'static Setting, String, Origin)>,
}

impl Reader<'_> {
    pub(super) fn text(&mut self, key: &str, default: Option<&str>) -> Option<String> {
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.key == key)
            .expect("every key read is in SETTINGS");
        let found = self.layers.get(key, setting.variables);
        let (value, origin) = match found {
            Some((value, origin)) => (Some(value), origin),
            None => (default.map(str::to_owned), Origin::Default),
        };
        let shown = match &value {
            Some(_) if setting.is_secret => "(set, not shown)".to_owned(),
            Some(value) if value.contains("://") => without_user(value),
            Some(value) => value.clone(),
            None => "(not set)".to_owned(),
        };
        self.table.push((setting, shown, origin));
        value
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let text = self
            .text(key, Some(&default.to_string()))
            .unwrap_or_default();
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = range.into_inner();
                self.problems.push(format!(
                    "{key} must be a whole number from {low} to {high}, not {text:?}"
                ));
                default
            }
        }
    }

    /// Returns a number of bytes, or none for `off`, which is the default.
    pub(super) fn bytes_or_off(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key, Some("off")).unwrap_or_default();
        if matches!(text.as_str(), "off" | "none") {
            return None;
        }
        let bytes = text.parse().ok().filter(|bytes| *bytes > 0);
        if bytes.is_none() {
            self.problems.push(format!(
                "{key} must be a number of bytes, or `off`, not {text:?}"
            ));
        }
        bytes
    }

    /// Reads a number from 1 on, or `off`; off where there is no default.
    pub(super) fn number_or_off(&mut self, key: &str, default: Option<u32>) -> Option<u32> {
        let default = default.map_or_else(|| "off".to_owned(), |number| number.to_string());
        let text = self.text(key, Some(&default)).unwrap_or_default();
        if matches!(text.as_str(), "off" | "none") {
            return None;
        }
        match text.parse() {
            Ok(number @ 1..=u32::MAX) => Some(number),
            _ => {
                self.problems.push(format!(
                    "{key} must be a whole number from 1 on, or `off`, not {text:?}"
                ));
                None
            }
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        let text = self.text(key, Some("0")).unwrap_or_default();
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => true,
            "0" | "false" | "no" | "off" => false,
            _ => {
                self.problems
                    .push(format!("{key} must be 0 or 1, not {text:?}"));
                false
            }
        }
    }
}

//! Settings from several sources, where later ones override earlier ones.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use toml::{Table, Value};

use super::model::{DEFAULTS, Settings};

/// Settings during loading. They are validated after each change, so that an error names the source
/// of the invalid value.
pub(super) struct Layers {
    table: Table,
    settings: Settings,
}

impl Layers {
    /// Start with the defaults.
    pub(super) fn new() -> Result<Self> {
        let table: Table = DEFAULTS.parse().context("the built-in defaults are not valid TOML")?;
        let settings = Settings::try_from(&table)
            .map_err(|error| anyhow!("the built-in defaults are invalid: {error}"))?;
        Ok(Self { table, settings })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn into_settings(self) -> Settings {
        self.settings
    }

    /// Override settings by a TOML file.
    pub(super) fn add_file(&mut self, file: &Path) -> Result<()> {
        let name = file.display();
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the configuration file {name}"))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            anyhow!("{name}, line {}: {}", before.matches('\n').count() + 1, error.message())
        })?;
        self.add_table(&table, "", &name)
    }

    fn add_table(&mut self, table: &Table, section: &str, file: &impl Display) -> Result<()> {
        for (key, value) in table {
            let setting = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match (at(&mut self.table, &setting), value) {
                (None, _) => bail!(
                    "{setting} in {file} is not a setting; `fiapx check --defaults` prints all \
                     settings"
                ),
                (Some(Value::Table(_)), Value::Table(inner)) => {
                    self.add_table(inner, &setting, file)?;
                }
                (Some(Value::Table(_)), _) => {
                    bail!("{setting} in {file} is invalid: it must be a section, [{setting}]")
                }
                (Some(_), value) => {
                    self.set(&setting, value.clone(), &format_args!("{setting} in {file}"))?;
                }
            }
        }
        Ok(())
    }

    /// Override one setting. `origin` is its name in its source and the source, for errors.
    pub(super) fn set(&mut self, setting: &str, value: Value, origin: &impl Display) -> Result<()> {
        let Some(place) = at(&mut self.table, setting) else { bail!("{origin} is not a setting") };
        *place = value;
        self.settings = Settings::try_from(&self.table)
            .map_err(|error| anyhow!("{origin} is invalid: {error}"))?;
        Ok(())
    }
}

impl Settings {
    /// Convert a table. The error is one line.
    fn try_from(table: &Table) -> Result<Self, String> {
        table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| error.message().replace('\n', " "))
    }
}

/// Return the value of a setting, or `None` if there is no such setting.
fn at<'table>(table: &'table mut Table, setting: &str) -> Option<&'table mut Value> {
    match setting.split_once('.') {
        None => table.get_mut(setting),
        Some((section, rest)) => at(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

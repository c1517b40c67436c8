//! Settings from several places, one over the other.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use toml::{Table, Value};

use super::{DEFAULTS, Settings};

/// Settings in the making. They are right after each step, so the step that makes them wrong is the
/// one to blame.
pub(super) struct Layers {
    table: Table,
    settings: Settings,
}

impl Layers {
    /// The defaults.
    pub(super) fn new() -> Result<Self> {
        let table: Table = DEFAULTS.parse().context("the built-in defaults are damaged")?;
        let settings = Settings::try_from(&table)
            .map_err(|wrong| anyhow!("the built-in defaults are wrong: {wrong}"))?;
        Ok(Self { table, settings })
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn into_settings(self) -> Settings {
        self.settings
    }

    /// Put everything that stands in a TOML file over what is there.
    pub(super) fn add_file(&mut self, file: &Path) -> Result<()> {
        let name = file.display();
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the settings in {name}"))?;
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
                    "{setting} in {file} is no setting; `fiapx check --defaults` prints all that there are"
                ),
                (Some(Value::Table(_)), Value::Table(inner)) => {
                    self.add_table(inner, &setting, file)?;
                }
                (Some(Value::Table(_)), _) => {
                    bail!("{setting} in {file} is wrong: it must be a section, [{setting}]")
                }
                (Some(_), value) => {
                    self.set(&setting, value.clone(), &format_args!("{setting} in {file}"))?;
                }
            }
        }
        Ok(())
    }

    /// Put one value over what is there. `origin` is what the one who set it calls it, and where.
    pub(super) fn set(&mut self, setting: &str, value: Value, origin: &impl Display) -> Result<()> {
        let Some(place) = at(&mut self.table, setting) else { bail!("{origin} is no setting") };
        *place = value;
        self.settings = Settings::try_from(&self.table)
            .map_err(|wrong| anyhow!("{origin} is wrong: {wrong}"))?;
        Ok(())
    }
}

impl Settings {
    /// The settings in a table, or in one line what is wrong with them.
    fn try_from(table: &Table) -> Result<Self, String> {
        table
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| error.message().replace('\n', " "))
    }
}

/// Where a setting stands, if there is such a one.
fn at<'table>(table: &'table mut Table, setting: &str) -> Option<&'table mut Value> {
    match setting.split_once('.') {
        None => table.get_mut(setting),
        Some((section, rest)) => at(table.get_mut(section)?.as_table_mut()?, rest),
    }
}

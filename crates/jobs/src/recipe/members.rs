//! Members of JSON objects, as a recipe is read from them. Every error names the member.

use std::num::NonZeroU32;

use serde_json::{Map, Value};

use super::invalid::{InvalidRecipe, Reason};
use crate::excerpt::Excerpt;

/// Members of an object that have not been read yet.
pub(super) struct Members {
    rest: Map<String, Value>,
    /// Names of the members that were asked for.
    known: Vec<&'static str>,
}

impl Members {
    /// Members of a value that has to be an object.
    pub(super) fn of(value: Value) -> Result<Self, InvalidRecipe> {
        match value {
            Value::Object(rest) => Ok(Self { rest, known: Vec::new() }),
            other => {
                let message = format!("`{}` is not an object", Excerpt::of(&other));
                Err(InvalidRecipe::new(Reason::NotAnObject, message))
            }
        }
    }

    /// Read a member with a function, if it is present.
    pub(super) fn take<T, E: Into<InvalidRecipe>>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value) -> Result<T, E>,
    ) -> Result<Option<T>, InvalidRecipe> {
        self.known.push(name);
        let value = self.rest.remove(name);
        value.map(read).transpose().map_err(|error| error.into().within(name))
    }

    /// Reject members that nobody asked for.
    pub(super) fn finish(self) -> Result<(), InvalidRecipe> {
        let Some((name, _)) = self.rest.into_iter().next() else { return Ok(()) };
        let name = Excerpt::of(name).to_string();
        let message = match &self.known[..] {
            [] => "this member is unknown; there are none".to_owned(),
            known => format!("this member is unknown; there are {}", enumerate(known)),
        };
        Err(InvalidRecipe::new(Reason::UnknownMember, message).within(&name))
    }

    /// Read the only member of an object whose members are alternatives.
    pub(super) fn finish_one<T>(
        self,
        alternatives: impl IntoIterator<Item = Option<T>>,
    ) -> Result<T, InvalidRecipe> {
        let known = enumerate(&self.known);
        self.finish()?;
        let mut found = alternatives.into_iter().flatten();
        let Some(only) = found.next() else {
            let message = format!("it must have one of the members {known}");
            return Err(InvalidRecipe::new(Reason::SelectionMissing, message));
        };
        if found.next().is_some() {
            let message = format!("it must have only one of the members {known}");
            return Err(InvalidRecipe::new(Reason::SelectionsConflict, message));
        }
        Ok(only)
    }
}

/// Read the elements of a list with a function.
pub(super) fn elements<T, E: Into<InvalidRecipe>>(
    value: Value,
    read: impl Fn(Value) -> Result<T, E>,
) -> Result<Vec<T>, InvalidRecipe> {
    let Value::Array(elements) = value else {
        let message = format!("`{}` is not a list", Excerpt::of(&value));
        return Err(InvalidRecipe::new(Reason::NotAList, message));
    };
    let element = |(index, element)| {
        read(element).map_err(|error| error.into().within(&format!("[{index}]")))
    };
    elements.into_iter().enumerate().map(element).collect()
}

/// Read a whole number from 1 to `max`.
pub(super) fn whole_number<T: TryFrom<NonZeroU32>>(
    max: u32,
) -> impl Fn(Value) -> Result<T, InvalidRecipe> {
    move |value| {
        // JSON does not distinguish 1 and 1.0 (RFC 8259, 6).
        let whole = |number: &f64| number.fract() == 0.0 && (0.0..=f64::from(max)).contains(number);
        let number = value
            .as_u64()
            .or_else(|| value.as_f64().filter(whole).map(|number| number as u64))
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= max)
            .and_then(|number| T::try_from(NonZeroU32::new(number)?).ok());
        number.ok_or_else(|| {
            let message =
                format!("`{}` is not a whole number from 1 to {max}", Excerpt::of(&value));
            InvalidRecipe::new(Reason::NumberInvalid, message)
        })
    }
}

/// Read `true` or `false`.
#[expect(clippy::needless_pass_by_value, reason = "all readers of members consume the value")]
pub(super) fn boolean(value: Value) -> Result<bool, InvalidRecipe> {
    value.as_bool().ok_or_else(|| {
        let message = format!("`{}` is neither `true` nor `false`", Excerpt::of(&value));
        InvalidRecipe::new(Reason::NotABoolean, message)
    })
}

/// Names in a sentence: `a`, `b` and `c`.
fn enumerate(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

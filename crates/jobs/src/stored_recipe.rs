//! Recipe of a job as the database and messages hold it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::recipe::Recipe;

/// Recipe as the database and messages hold it. While processes are replaced by those of a later
/// version, both read the same jobs: this version keeps and shows a recipe that it does not know,
/// and leaves the job to workers that know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StoredRecipe {
    /// Recipe that this version can execute.
    Known(Recipe),
    /// JSON of a recipe that this version does not know.
    Unknown(Value),
}

impl StoredRecipe {
    /// Recipe, if this version can execute it.
    #[must_use]
    pub const fn known(&self) -> Option<&Recipe> {
        match self {
            Self::Known(recipe) => Some(recipe),
            Self::Unknown(_) => None,
        }
    }

    /// Recipe in JSON. An unknown one is returned as it was read.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!(self)
    }
}

impl Default for StoredRecipe {
    fn default() -> Self {
        Self::Known(Recipe::default())
    }
}

impl From<Recipe> for StoredRecipe {
    fn from(recipe: Recipe) -> Self {
        Self::Known(recipe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_known_recipes() {
        let half = json!({ "select": { "every": "1/2" }, "image": { "format": "png" } });
        for (json, expected) in [("{}", json!(Recipe::default())), (&half.to_string(), half)] {
            let stored: StoredRecipe = serde_json::from_str(json).expect(json);
            assert_eq!(stored.known(), serde_json::from_str(json).ok().as_ref(), "{json}");
            assert_eq!(stored.to_json(), expected);
        }
    }

    #[test]
    fn keeps_unknown_recipes_unchanged() {
        for json in [
            r#"{"image":{"format":"avif"}}"#,
            r#"{"select":{"every":1},"crop":10}"#,
            r#"{"select":{"scenes":0.25},"image":{"format":"png","quality":[1,null]}}"#,
            "\"all\"",
            "null",
        ] {
            let stored: StoredRecipe = serde_json::from_str(json).expect(json);
            assert_eq!(stored.known(), None, "{json}");
            assert_eq!(stored.to_json().to_string(), json);
        }
        assert!(serde_json::from_str::<StoredRecipe>("{").is_err());
    }
}

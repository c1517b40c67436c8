//! Fractions, as libav counts time and aspect ratios.

use serde::{Deserialize, Serialize};

/// A fraction. The denominator is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Fields")]
pub struct Ratio {
    /// Numerator.
    pub num: i64,
    /// Denominator.
    pub den: i64,
}

impl Ratio {
    /// `num / den`. A denominator below 1 counts as 1, because untrusted files may hold any number.
    #[must_use]
    pub const fn new(num: i64, den: i64) -> Self {
        Self { num, den: if den < 1 { 1 } else { den } }
    }

    /// Value as a floating point number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

/// Serialized form, whose denominator is not validated.
#[derive(Deserialize)]
struct Fields {
    num: i64,
    den: i64,
}

impl From<Fields> for Ratio {
    fn from(Fields { num, den }: Fields) -> Self {
        Self::new(num, den)
    }
}

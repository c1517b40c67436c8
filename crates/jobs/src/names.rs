//! Names of enum variants.

/// Implement `Display` and `FromStr` for an enum with `ALL` and `name()`, and define the error of
/// a text that is no name.
macro_rules! impl_names {
    ($type:ident, $unknown:ident, $message:literal) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.name())
            }
        }

        #[doc = concat!("A text that is not the name of a [`", stringify!($type), "`].")]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $unknown(String);

        impl std::str::FromStr for $type {
            type Err = $unknown;

            fn from_str(name: &str) -> Result<Self, $unknown> {
                let named = Self::ALL.iter().copied().find(|value| value.name() == name);
                named.ok_or_else(|| $unknown(name.to_owned()))
            }
        }
    };
}

pub(crate) use impl_names;

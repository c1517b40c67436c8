//! Addresses of videos that workers fetch.

use std::fmt;

/// URL of a video. Its query may be a secret, such as the signature of a link, so it is in no log,
/// message or response.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceUrl {
    shown: String,
    query: Option<String>,
}

impl SourceUrl {
    /// Split a URL without a fragment into the part that may be shown, and its query.
    #[must_use]
    pub fn new(url: &str) -> Self {
        match url.split_once('?') {
            Some((shown, query)) => Self::from_parts(shown.to_owned(), Some(query.to_owned())),
            None => Self::from_parts(url.to_owned(), None),
        }
    }

    /// Put the parts of a URL together again.
    #[must_use]
    pub const fn from_parts(shown: String, query: Option<String>) -> Self {
        Self { shown, query }
    }

    /// The URL without its query.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The whole URL, for a request.
    #[must_use]
    pub fn secret_url(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.shown),
            None => self.shown.clone(),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_tuple("SourceUrl");
        debug.field(&self.shown);
        match self.query {
            Some(_) => debug.finish_non_exhaustive(),
            None => debug.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_kept_and_not_shown() {
        for (url, shown) in [
            ("https://example.com/a.mp4?key=secret&x=?", "https://example.com/a.mp4"),
            ("https://example.com/a.mp4?", "https://example.com/a.mp4"),
            ("https://example.com/a.mp4", "https://example.com/a.mp4"),
        ] {
            let source = SourceUrl::new(url);
            assert_eq!((source.shown(), source.secret_url().as_str()), (shown, url));
            let query = source.query().map(str::to_owned);
            assert_eq!(SourceUrl::from_parts(shown.to_owned(), query), source);
            assert!(!format!("{source:?}").contains("secret"));
        }
    }
}

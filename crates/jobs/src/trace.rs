//! The trace that a job's way belongs to, in the form of W3C Trace Context, version 00: it goes
//! with the job's row and its messages, so whoever takes up the job goes on with the trace.

/// Tells where in which trace the caller is now, as a `traceparent` (3.2). Nothing where nobody
/// traces.
pub type Here = fn() -> Option<String>;

/// The id of the trace (3.2.2.3), if this is a `traceparent` of version 00.
#[must_use]
pub fn id_of(traceparent: &str) -> Option<&str> {
    let fields: Vec<&str> = traceparent.split('-').collect();
    let [version, trace, parent, flags] = fields[..] else { return None };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    // Zeros alone are no id (3.2.2.3 and 3.2.2.4).
    let is = |field: &str, length: usize| field.len() == length && field.bytes().all(is_hex);
    let is_id =
        |field: &str, length: usize| is(field, length) && field.bytes().any(|byte| byte != b'0');
    (version == "00" && is_id(trace, 32) && is_id(parent, 16) && is(flags, 2)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_trace_context_is_none() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(id_of(&format!("00-{trace}-{parent}-01")), Some(trace));
        assert_eq!(id_of(&format!("00-{trace}-{parent}-00")), Some(trace));
        for wrong in [
            String::new(),
            trace.to_owned(),
            format!("01-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("00-{trace}-{parent}-1"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}-{parent}-0\u{e9}"),
            format!(" 00-{trace}-{parent}-01"),
        ] {
            assert_eq!(id_of(&wrong), None, "{wrong:?}");
        }
    }
}

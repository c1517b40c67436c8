//! Trace context of a job (W3C Trace Context, version 00). It is stored with the job's row and its
//! messages, so that every process continues the same trace.

/// Function that returns the caller's position in a trace as a `traceparent` (3.2); `None` without
/// tracing.
pub type CurrentTraceparent = fn() -> Option<String>;

/// Trace id (3.2.2.3) of a `traceparent` of version 00; `None` if it is malformed.
#[must_use]
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let fields: Vec<&str> = traceparent.split('-').collect();
    let [version, trace, parent, flags] = fields[..] else { return None };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_field = |field: &str, length: usize| field.len() == length && field.bytes().all(is_hex);
    // An id of zeros is invalid (3.2.2.3 and 3.2.2.4).
    let is_id = |field: &str, length: usize| {
        is_field(field, length) && field.bytes().any(|byte| byte != b'0')
    };
    (version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_field(flags, 2))
        .then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_version_00() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert_eq!(trace_id(&format!("00-{trace}-{parent}-01")), Some(trace));
        assert_eq!(trace_id(&format!("00-{trace}-{parent}-00")), Some(trace));
        for malformed in [
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
            assert_eq!(trace_id(&malformed), None, "{malformed:?}");
        }
    }
}

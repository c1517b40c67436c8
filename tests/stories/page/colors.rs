//! Colors that have to differ, for people who see fewer of them, too.

use serde_json::Value;

use super::browser::{Browser, Preferences};
use crate::harness::service::Service;

/// Differences of the accent and the error color (CIE 1976, in Lab) as people with complete
/// protanopia, deuteranopia and tritanopia see them (Machado et al., 2009), and as others do.
const DIFFERENCES: &str = "
    const kinds = [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900]],
    ];
    const linear = (name) => {
        const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        return [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16) / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    };
    const seen = (matrix, color) => matrix.map((row) =>
        Math.min(1, Math.max(0, row.reduce((sum, part, at) => sum + part * color[at], 0))));
    const root = (part) => (part > 0.008856 ? Math.cbrt(part) : 7.787 * part + 16 / 116);
    const lab = ([red, green, blue]) => {
        const x = root((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047);
        const y = root(0.2126 * red + 0.7152 * green + 0.0722 * blue);
        const z = root((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883);
        return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
    };
    return kinds.map((matrix) => {
        const [one, other] = ['--accent', '--error'].map((name) => lab(seen(matrix, linear(name))));
        return Math.hypot(...one.map((part, at) => part - other[at]));
    });";

#[tokio::test(flavor = "multi_thread")]
async fn errors_differ_from_actions_for_the_color_blind() {
    /// Several times the smallest difference that is seen, which is about 2.
    const MIN_DIFFERENCE: f64 = 16.0;
    for dark in [false, true] {
        let service = Service::start().await;
        let browser = Browser::open(&service, Preferences { dark, ..Preferences::default() }).await;
        browser.find("#email").await;
        let differences = browser.js(DIFFERENCES).await;
        let values = differences.as_array().map(|values| values.iter().filter_map(Value::as_f64));
        let least = values.into_iter().flatten().fold(f64::INFINITY, f64::min);
        assert!(least > MIN_DIFFERENCE && least.is_finite(), "dark: {dark}: {differences}");
    }
}

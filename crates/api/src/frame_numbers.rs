//! Selection of frames by their numbers, such as `1,5,9-12`.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use jobs::manifest::FrameEntry;
use poem::http::StatusCode;

use crate::problem::Problem;

/// Maximum number of numbers and ranges.
const MAX_RANGES: usize = 1000;
/// Maximum length in characters. A link with so many is less than the head of a request may have.
const MAX_LENGTH: usize = 8000;
/// Maximum number of frames, which bounds the memory of a download.
const MAX_FRAMES: u64 = 10_000;

/// Numbers of selected frames.
pub struct FrameNumbers {
    /// Ranges in ascending order, which do not overlap. There is at least one.
    ranges: Vec<RangeInclusive<u64>>,
}

impl FrameNumbers {
    /// Read numbers and ranges between commas. Their order does not matter, and a number that is
    /// repeated counts once.
    ///
    /// # Errors
    /// The text is malformed, or has too many ranges.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.len() > MAX_LENGTH || text.split(',').count() > MAX_RANGES {
            let detail = format!(
                "`frames` has more than {MAX_RANGES} numbers and ranges, or {MAX_LENGTH} \
                 characters. Select fewer, or longer ranges."
            );
            return Err(invalid(detail));
        }
        let mut parsed = text.split(',').map(parse_range).collect::<Result<Vec<_>, _>>()?;
        parsed.sort_unstable_by_key(|range| *range.start());
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::with_capacity(parsed.len());
        for range in parsed {
            match ranges.last_mut() {
                Some(last) if range.start() <= last.end() => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => ranges.push(range),
            }
        }
        Ok(Self { ranges })
    }

    /// Return whether a number is selected.
    pub fn contains(&self, number: u64) -> bool {
        let index = self.ranges.partition_point(|range| *range.end() < number);
        self.ranges.get(index).is_some_and(|range| range.contains(&number))
    }

    /// Selected frames of a list in ascending order of the numbers.
    ///
    /// # Errors
    /// There is no frame with the first or the last number of a range, or there are too many.
    pub fn select<'a>(&self, frames: &'a [FrameEntry]) -> Result<Vec<&'a FrameEntry>, Problem> {
        let mut selected = Vec::new();
        for range in &self.ranges {
            let [start, end] = [range.start(), range.end()].map(|number| {
                let found = frames.binary_search_by_key(number, |frame| frame.number);
                found.map_err(|_| unknown(*number))
            });
            let part = &frames[start?..=end?];
            if (selected.len() + part.len()) as u64 > MAX_FRAMES {
                let detail = format!(
                    "More than {MAX_FRAMES} frames are selected. Select fewer, or download the \
                     whole archive."
                );
                return Err(invalid(detail));
            }
            selected.extend(part);
        }
        Ok(selected)
    }
}

impl Display for FrameNumbers {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (start, end) = (range.start(), range.end());
            if start == end {
                write!(formatter, "{comma}{start}")?;
            } else {
                write!(formatter, "{comma}{start}-{end}")?;
            }
        }
        Ok(())
    }
}

/// Read a number, or two of them with a hyphen.
fn parse_range(text: &str) -> Result<RangeInclusive<u64>, Problem> {
    let malformed = || {
        let shown: String = text.chars().take(40).collect();
        invalid(format!(
            "`{shown}` in `frames` is neither the number of a frame nor an ascending range. Write \
             numbers from 1, such as `1,5,9-12`."
        ))
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|number| is_number && *number > 0).map(u64::from)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first = number(first).ok_or_else(malformed)?;
    let last = number(last).filter(|last| *last >= first).ok_or_else(malformed)?;
    Ok(first..=last)
}

fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER", detail)
}

fn unknown(number: u64) -> Problem {
    let detail = format!(
        "The archive has no frame {number}. Select the numbers of frames that `GET \
         /jobs/{{id}}/frames` lists."
    );
    Problem::new(StatusCode::NOT_FOUND, "FRAME_NOT_FOUND", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match FrameNumbers::parse(text) {
            Ok(numbers) => numbers.to_string(),
            Err(problem) => problem.code().to_owned(),
        }
    }

    #[test]
    fn reads_numbers_and_ranges_in_any_order() {
        assert_eq!(parsed("1,5,9-12"), "1,5,9-12");
        assert_eq!(parsed("9-12,5,1,5,10-14,3-3"), "1,3,5,9-14");
        assert_eq!(parsed("4294967295"), "4294967295");
        let numbers = FrameNumbers::parse("2,5-7").ok();
        let contained = |number| numbers.as_ref().is_some_and(|numbers| numbers.contains(number));
        assert_eq!((0..10).filter(|number| contained(*number)).collect::<Vec<_>>(), [2, 5, 6, 7]);
    }

    #[test]
    fn rejects_what_is_no_list_of_numbers() {
        for text in
            ["", "0", "x", "1,", ",1", "1 ,2", "+1", "-1", "3-1", "1-2-3", "1-", "4294967296", "é"]
        {
            assert_eq!(parsed(text), "INVALID_PARAMETER", "{text}");
        }
        let list = |count: usize| vec!["7"; count].join(",");
        assert_eq!(parsed(&list(MAX_RANGES)), "7");
        assert_eq!(parsed(&list(MAX_RANGES + 1)), "INVALID_PARAMETER");
        assert_eq!(parsed(&"4294967295,".repeat(800)), "INVALID_PARAMETER", "too long");
    }
}

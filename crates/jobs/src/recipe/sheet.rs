//! Contact sheets: overviews of the frames.

use serde::Serialize;

/// Contact sheets in the archive: JPEG files with small copies of the frames in rows, and a WebVTT
/// file from which video players read which part of them to show at which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sheet {
    columns: u8,
    tile_width: u16,
}

impl Sheet {
    /// Maximum number of copies in a row.
    pub const MAX_COLUMNS: u8 = 20;
    /// Minimum width of a copy in pixels.
    const MIN_TILE_WIDTH: u16 = 16;
    /// Maximum width of a copy in pixels.
    pub const MAX_TILE_WIDTH: u16 = 640;

    /// Sheets with this number of copies in a row, each of this width in pixels.
    ///
    /// # Errors
    /// A number is out of range.
    pub fn new(columns: u8, tile_width: u16) -> Result<Self, InvalidSheet> {
        if !(1..=Self::MAX_COLUMNS).contains(&columns) {
            return Err(InvalidSheet::Columns);
        }
        if !(Self::MIN_TILE_WIDTH..=Self::MAX_TILE_WIDTH).contains(&tile_width) {
            return Err(InvalidSheet::TileWidth);
        }
        Ok(Self { columns, tile_width })
    }

    /// Number of copies in a row.
    #[must_use]
    pub const fn columns(self) -> u8 {
        self.columns
    }

    /// Width of each copy in pixels.
    #[must_use]
    pub const fn tile_width(self) -> u16 {
        self.tile_width
    }
}

impl Default for Sheet {
    /// Five copies of 320 pixels in a row.
    fn default() -> Self {
        Self { columns: 5, tile_width: 320 }
    }
}

impl std::str::FromStr for Sheet {
    type Err = InvalidSheet;

    /// Parse a text such as `5x320`.
    fn from_str(text: &str) -> Result<Self, InvalidSheet> {
        let (columns, tile_width) = text.split_once('x').ok_or(InvalidSheet::Text)?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(columns) || !is_number(tile_width) {
            return Err(InvalidSheet::Text);
        }
        let columns = columns.parse().map_err(|_| InvalidSheet::Columns)?;
        Self::new(columns, tile_width.parse().map_err(|_| InvalidSheet::TileWidth)?)
    }
}

/// Reason why numbers are not those of a [`Sheet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSheet {
    /// Not two numbers.
    #[error("a contact sheet needs columns and the width of a tile, such as 5x320")]
    Text,
    /// No column, or too many.
    #[error("the number of columns must be from 1 to {}", Sheet::MAX_COLUMNS)]
    Columns,
    /// Copies are too narrow or too wide.
    #[error("the width of a tile must be from 16 to 640 pixels")]
    TileWidth,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_are_parsed_and_bounded() {
        assert_eq!("5x320".parse(), Ok(Sheet::default()));
        assert_eq!("20x640".parse(), Sheet::new(20, 640));
        for (text, error) in [
            ("", InvalidSheet::Text),
            ("5", InvalidSheet::Text),
            ("5x", InvalidSheet::TileWidth),
            ("0x320", InvalidSheet::Columns),
            ("21x320", InvalidSheet::Columns),
            ("999x320", InvalidSheet::Columns),
            ("5x15", InvalidSheet::TileWidth),
            ("5x70000", InvalidSheet::TileWidth),
            ("+5x320", InvalidSheet::Text),
        ] {
            assert_eq!(text.parse::<Sheet>(), Err(error), "{text}");
        }
    }
}

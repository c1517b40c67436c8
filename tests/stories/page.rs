//! The page, as people use it: in a browser, with a mouse, a keyboard or a thumb, and with a screen
//! reader.

mod assets;
mod browser;
mod entry;
mod frames;
mod list;
mod reach;
mod uploads;
mod way;

//! Web page in a browser: all its functions, accessibility, texts and delivery.

mod browser;

mod account_links;
mod account;
mod account_data;
mod account_keys;

mod absent;
mod accessibility;
mod api_docs;
mod assets;
mod by_url;
mod colors;
mod downloads;
mod drops;
mod end_to_end;
mod frame_selection;
mod frames;
mod gallery;
mod list;
mod list_places;
mod list_tools;
mod login;
mod logout;
mod options;
mod previews;
mod process_again;
mod resumable_uploads;
mod screenshots;
mod shares;
mod sheets;
mod speed;
mod texts;
mod uploads;
mod viewer;
mod webhooks;

//! Table `users`.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub email: String,
    pub name: String,
    pub password_hash: String,
    pub language: String,
    pub generation: i32,
    pub is_active: bool,
    pub created_at: Time,
    /// NULL if the row was never updated and a program without this column inserted it.
    pub updated_at: Option<Time>,
    pub second_factor: bool,
    /// Whether the user has proven to read mails to the address.
    pub confirmed: bool,
    /// Name of a [`MailChoice`](crate::mail_choice::MailChoice).
    pub mails: String,
    /// Name of a [`jobs::TimeZone`]; NULL if it is not known.
    pub time_zone: Option<String>,
    /// Secret of the link that ends mails; NULL before the first mail.
    pub unsubscribe_secret: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

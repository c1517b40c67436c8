//! Table `account_mails`: mails about accounts.

use jobs::Time;
use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "account_mails")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: String,
    pub is_notice: bool,
    pub address: String,
    /// Address whose budget the mail counts towards.
    pub mailbox: String,
    /// Secret of the link, until the mail is sent.
    pub token: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub created_at: Time,
    pub next_attempt_at: Time,
    /// Time from which the mail is of no use.
    pub expires_at: Time,
    pub sent_at: Option<Time>,
    pub last_error: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! Second factor of a user: the secret of time-based codes (RFC 6238), and recovery codes.

use std::time::Duration;

use jobs::{Time, UserId};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    QuerySelect,
};

use crate::account_mails::AccountMailKind;
use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{recovery_code, second_factor, user};
use crate::users::{User, lock_user};

/// Period in which wrong codes are counted.
const WRONG_CODES_PERIOD: Duration = Duration::from_hours(24);

/// Result of using a time-based code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeUse {
    /// The code is accepted, and it and all earlier ones are spent.
    Accepted,
    /// The code is wrong or spent.
    Wrong,
    /// The limit of wrong codes is reached until this time; the code was not compared.
    Limited(Time),
}

impl Database {
    /// Store a new secret, which becomes the second factor when it is
    /// [enabled](Self::enable_second_factor). It replaces one that is not enabled. Return `false`
    /// if the user has a second factor, or changed since the password was verified.
    pub async fn begin_second_factor(&self, user: &User, secret: &str) -> Result<bool, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let current = lock_user(&transaction, user.id).await?;
        if user.second_factor || !current.is_some_and(|current| user.has_access_of(&current)) {
            return Ok(false);
        }
        remove_second_factor(&transaction, user.id).await?;
        let row = second_factor::ActiveModel {
            user_id: ActiveValue::Set(user.id.0),
            secret: ActiveValue::Set(secret.to_owned()),
            created_at: ActiveValue::Set(now),
            last_step: ActiveValue::Set(0),
            wrong_codes: ActiveValue::Set(0),
            wrong_since: ActiveValue::Set(now),
        };
        row.insert(&transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Secret of a user's codes, whether enabled or not.
    pub async fn second_factor_secret(&self, user: UserId) -> Result<Option<String>, Error> {
        let row = second_factor::Entity::find_by_id(user.0).one(&self.read).await?;
        Ok(row.map(|row| row.secret))
    }

    /// Enable the second factor, whose code of the time step `step` was verified with `secret`, and
    /// store the hashes of its recovery codes, and notify the user. Return `false` if it is enabled
    /// already, or the secret was replaced.
    pub async fn enable_second_factor(
        &self,
        user: UserId,
        secret: &str,
        step: i64,
        recovery_hashes: Vec<String>,
    ) -> Result<bool, Error> {
        let transaction = self.begin().await?;
        let current = lock_user(&transaction, user).await?;
        let current = current.filter(|current| current.is_active && !current.second_factor);
        let Some(current) = current else { return Ok(false) };
        let confirmed = second_factor::Entity::update_many()
            .col_expr(second_factor::Column::LastStep, Expr::value(step))
            .filter(second_factor::Column::UserId.eq(user.0))
            .filter(second_factor::Column::Secret.eq(secret))
            .exec(&transaction)
            .await?;
        if confirmed.rows_affected == 0 {
            return Ok(false);
        }
        let codes = recovery_hashes.into_iter().map(|code_hash| recovery_code::ActiveModel {
            user_id: ActiveValue::Set(user.0),
            code_hash: ActiveValue::Set(code_hash),
        });
        recovery_code::Entity::insert_many(codes).exec_without_returning(&transaction).await?;
        self.set_second_factor(&transaction, user, true).await?;
        let kind = AccountMailKind::SecondFactorEnabled;
        self.write_notice(&transaction, &current, kind).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(true)
    }

    /// Remove the second factor and its recovery codes, and notify the user. Return whether the
    /// user had one.
    pub async fn disable_second_factor(&self, user: UserId) -> Result<bool, Error> {
        let transaction = self.begin().await?;
        let current = lock_user(&transaction, user).await?;
        let Some(current) = current.filter(|current| current.second_factor) else {
            return Ok(false);
        };
        remove_second_factor(&transaction, user).await?;
        self.set_second_factor(&transaction, user, false).await?;
        let kind = AccountMailKind::SecondFactorDisabled;
        self.write_notice(&transaction, &current, kind).await?;
        transaction.commit().await?;
        self.wake_mailer();
        Ok(true)
    }

    /// Use a code of the second factor. `step` is the time step that the code belongs to, `None` if
    /// it belongs to no current one. A code is accepted once, and none that is older than an
    /// accepted one (RFC 6238, 5.2). After `max_wrong` wrong codes in a day, none is accepted.
    pub async fn use_code(
        &self,
        user: UserId,
        step: Option<i64>,
        max_wrong: u32,
    ) -> Result<CodeUse, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let row = second_factor::Entity::find_by_id(user.0)
            .lock(LockType::Update)
            .one(&transaction)
            .await?;
        let Some(row) = row else { return Ok(CodeUse::Wrong) };
        let is_over = row.wrong_since + WRONG_CODES_PERIOD <= now;
        let (wrong, since) = if is_over { (0, now) } else { (row.wrong_codes, row.wrong_since) };
        if u32::try_from(wrong).unwrap_or(0) >= max_wrong {
            return Ok(CodeUse::Limited(since + WRONG_CODES_PERIOD));
        }
        let accepted = step.filter(|step| *step > row.last_step);
        let (last_step, is_wrong) = (accepted.unwrap_or(row.last_step), accepted.is_none());
        let used = second_factor::ActiveModel {
            last_step: ActiveValue::Set(last_step),
            wrong_codes: ActiveValue::Set(wrong + i32::from(is_wrong)),
            wrong_since: ActiveValue::Set(since),
            ..row.into()
        };
        used.update(&transaction).await?;
        transaction.commit().await?;
        Ok(if is_wrong { CodeUse::Wrong } else { CodeUse::Accepted })
    }

    /// Use a recovery code, by its hash. Return whether the user has it; it is spent then.
    pub async fn use_recovery_code(&self, user: UserId, code_hash: &str) -> Result<bool, Error> {
        let deleted = recovery_code::Entity::delete_many()
            .filter(recovery_code::Column::UserId.eq(user.0))
            .filter(recovery_code::Column::CodeHash.eq(code_hash))
            .exec(&self.write)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    async fn set_second_factor(
        &self,
        transaction: &Transaction,
        user: UserId,
        enabled: bool,
    ) -> Result<(), Error> {
        user::Entity::update_many()
            .col_expr(user::Column::SecondFactor, Expr::value(enabled))
            .col_expr(user::Column::UpdatedAt, Expr::value(self.now()))
            .filter(user::Column::Id.eq(user.0))
            .exec(transaction)
            .await?;
        Ok(())
    }
}

/// Delete the secret and the recovery codes of a user.
pub(crate) async fn remove_second_factor(
    on: &impl ConnectionTrait,
    user: UserId,
) -> Result<(), Error> {
    second_factor::Entity::delete_by_id(user.0).exec(on).await?;
    recovery_code::Entity::delete_many()
        .filter(recovery_code::Column::UserId.eq(user.0))
        .exec(on)
        .await?;
    Ok(())
}

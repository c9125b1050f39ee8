//! The HTTP API.

mod api_keys;
mod users;
mod verify;

use contracts::auth::Scope;
use secrecy::SecretString;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;
use web::{Caller, Problem, RateLimit, auth::protect};

use crate::{Accounts, store::Page};

/// No part of a list is longer.
const MAX_PAGE: u32 = 100;

/// All routes of the service.
pub(crate) fn routes(
    accounts: Accounts,
    service_token: Option<SecretString>,
    limit: RateLimit,
) -> OpenApiRouter {
    let protected = OpenApiRouter::new()
        .routes(routes!(users::create, users::list))
        .routes(routes!(users::me))
        .routes(routes!(users::get, users::update))
        .routes(routes!(api_keys::create, api_keys::list))
        .routes(routes!(api_keys::revoke))
        .routes(routes!(api_keys::rotate))
        .with_state(accounts.clone());
    let verify = OpenApiRouter::new()
        .routes(routes!(verify::verify))
        .with_state(verify::Verification::new(accounts.clone(), service_token));
    protect(protected, accounts, limit).merge(verify)
}

/// The part of a list that is asked for.
fn page(limit: Option<u32>, cursor: Option<Uuid>) -> Result<Page, Problem> {
    let limit = limit.unwrap_or(MAX_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(Page { after: cursor, limit })
    } else {
        Err(Problem::invalid("limit", "must be a whole number from 1 to 100"))
    }
}

/// Where the next part of a list begins; nothing when this part was not full.
fn next_cursor<T>(items: &[T], page: Page, id: impl Fn(&T) -> &str) -> Option<String> {
    let full = items.len() >= page.limit as usize;
    items.last().filter(|_| full).map(|last| id(last).to_owned())
}

/// Managing other users takes the role and the scope.
fn require_administrator(caller: &Caller) -> Result<(), Problem> {
    caller.require(&Scope::Admin)?;
    if caller.user.is_admin() {
        Ok(())
    } else {
        Err(Problem::forbidden("only administrators manage other users"))
    }
}

//! Accounts of users.

use aws_access::RoleArn;
use cloud::Zone;
use contracts::{
    auth::UserData,
    events::{Event, EventType},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Lab, LabError, invalid, parsed, text};
use crate::{
    reach::ReachError,
    store::{Account, Added, MAX_EACH, Removed, marked},
};

/// An account as its user gives it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// What you call it; each of your accounts has another name.
    #[schema(max_length = 100)]
    pub name: String,
    /// The role by which it is entered, such as `arn:aws:iam::123456789012:role/kubesage`.
    pub role_arn: String,
    /// The external id that the role's trust policy asks for.
    pub external_id: String,
    /// Where its instances are, such as `eu-central-1`.
    pub region: String,
}

impl Lab {
    /// Adds an account whose role can be assumed.
    pub(crate) async fn add_account(&self, user: &UserData, new: NewAccount) -> Result<Account, LabError> {
        let account = self.checked(user, new)?;
        self.clouds.prove(&account).await.map_err(|error| match error {
            ReachError::Refused(why) | ReachError::Shortage(why) | ReachError::NoCluster(why) => {
                invalid("role_arn", why)
            }
            ReachError::Unknown(why) => {
                // Whoever runs this is told as well: it may be for them to mend.
                tracing::warn!(why, "an account cannot be entered right now");
                LabError::Cloud(why)
            }
        })?;
        let event = self.account_event(EventType::AccountAdded, user, &account);
        match self.database.add_account(&account, &event).await? {
            Added::Now => Ok(account),
            Added::TooMany => {
                Err(LabError::Conflict(format!("you have {MAX_EACH} accounts already; remove some first")))
            }
            Added::Before | Added::NoAccount => Err(LabError::Conflict(format!(
                "you have an account named {:?}, or {} of AWS account {} is somebody's already",
                account.name, account.region, account.aws_account
            ))),
        }
    }

    /// The user's account of this name, made when there is none. Its role and external id may have changed.
    pub(crate) async fn ensure_account(&self, user: &UserData, new: NewAccount) -> Result<String, LabError> {
        let known = self.database.accounts_of(&user.id).await?;
        if let Some(account) = known.into_iter().find(|account| account.name == new.name) {
            if account.role_arn != new.role_arn || account.external_id != new.external_id {
                let role: RoleArn = parsed("role_arn", &new.role_arn)?;
                self.database.change_role(&account.id, role.as_str(), &new.external_id).await?;
            }
            return Ok(account.id);
        }
        Ok(self.add_account(user, new).await?.id)
    }

    fn checked(&self, user: &UserData, new: NewAccount) -> Result<Account, LabError> {
        let NewAccount { name, role_arn, external_id, region } = new;
        let role: RoleArn = parsed("role_arn", &role_arn)?;
        let is_region = format!("{region}a").parse::<Zone>().is_ok_and(|zone| zone.region() == region);
        if !is_region {
            return Err(invalid("region", format!("{region:?} is no region, such as eu-central-1")));
        }
        // What AWS takes: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
        let is_in = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:/-".contains(c);
        if !(2..=1224).contains(&external_id.len()) || !external_id.chars().all(is_in) {
            return Err(invalid(
                "external_id",
                "is 2 to 1224 of the characters a-z A-Z 0-9 _ + = , . @ : / -",
            ));
        }
        Ok(Account {
            id: Uuid::now_v7().to_string(),
            user_id: user.id.clone(),
            name: text("name", name, 100)?,
            aws_account: role.account_id().to_owned(),
            role_arn: role.to_string(),
            external_id,
            region,
            created_at: self.database.now().as_millis(),
        })
    }

    /// Forgets an account in which no operation is under way, and its instances.
    pub(crate) async fn remove_account(&self, user: &UserData, id: &str) -> Result<(), LabError> {
        let account = self.account(user, id).await?;
        let event = self.account_event(EventType::AccountRemoved, user, &account);
        match self.database.remove_account(&account, &event).await? {
            Removed::Now => Ok(()),
            Removed::Gone => Err(LabError::NotFound("account")),
            Removed::InUse(saga) => {
                Err(LabError::Conflict(format!("operation {saga} is under way in this account")))
            }
        }
    }

    /// One of the user's accounts.
    pub(crate) async fn account(&self, user: &UserData, id: &str) -> Result<Account, LabError> {
        self.database.account_of(&user.id, id).await?.ok_or(LabError::NotFound("account"))
    }

    fn account_event(&self, event_type: EventType, user: &UserData, account: &Account) -> Event {
        let data = json!({"account_id": account.id, "name": account.name, "aws_account": account.aws_account,
            "region": account.region});
        let data = marked(data, self.clouds.is_simulated(&account.role_arn));
        Event::new(event_type, &user.id, &user.username, self.database.now(), data)
    }
}

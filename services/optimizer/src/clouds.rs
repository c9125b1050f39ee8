//! Which cloud an account is in, and how it is entered.

use std::sync::Arc;

use aws_access::RoleArn;
use cloud::CloudChanges;
use simulated_cloud::{REGION, Settings, SetupError, Simulated};
use thiserror::Error;

use crate::{
    cluster::{AccountCredentials, Eks},
    reach::{Changes, ReachError, Reads},
    saga::{NewSaga, Reach, RunMode},
    store::Account,
};

/// The clouds that accounts can be in. Cheap to clone.
#[derive(Clone, Default)]
pub struct Clouds {
    simulated: Option<Arc<SimulatedAccount>>,
    #[cfg(feature = "aws")]
    aws: Option<Arc<EnteredAws>>,
}

struct SimulatedAccount {
    role_arn: String,
    external_id: String,
    cloud: Arc<Simulated>,
}

/// How AWS is asked.
#[cfg(feature = "aws")]
pub struct Aws {
    /// The sessions of users' roles.
    pub sessions: aws_access::Sessions,
    /// Another place than AWS's own, for a stand-in.
    pub endpoint_url: Option<url::Url>,
    /// Where it is read how often spot instances are interrupted.
    pub advisor: Option<aws_cloud::SpotAdvisor>,
}

/// AWS, with what those who work in an account share.
#[cfg(feature = "aws")]
struct EnteredAws {
    /// Those in which operations act.
    sessions: aws_access::Sessions,
    clients: aws_cloud::Clients,
}

/// An account cannot be entered at all.
#[derive(Debug, Error)]
pub(crate) enum NoSuchCloud {
    /// What was stored is none.
    #[error("{0}")]
    Role(#[from] aws_access::InvalidArn),
    /// The simulated account asks for another one.
    #[error("the role cannot be assumed with this external id")]
    ExternalId,
    /// The simulated account is in one region only.
    #[error("the simulated account has nothing but {REGION}")]
    Region,
    /// This process knows no AWS.
    #[error("this process reaches no accounts of AWS")]
    NoAws,
}

/// An account that can be worked in.
pub(crate) struct Entered {
    pub(crate) cloud: Arc<dyn CloudChanges>,
    pub(crate) credentials: Arc<dyn AccountCredentials>,
}

impl Clouds {
    /// With the simulated account that is entered by these settings.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn and_simulated(mut self, settings: Settings) -> Result<Self, SetupError> {
        self.simulated = Some(Arc::new(SimulatedAccount {
            role_arn: settings.role_arn.clone(),
            external_id: settings.external_id.clone(),
            cloud: Arc::new(Simulated::new(settings)?),
        }));
        Ok(self)
    }

    /// With AWS.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn and_aws(mut self, aws: Aws) -> Self {
        self.aws = Some(Arc::new(EnteredAws::new(aws)));
        self
    }

    /// Whether this is the role of the simulated account.
    pub(crate) fn is_simulated(&self, role_arn: &str) -> bool {
        self.simulated.as_ref().is_some_and(|simulated| simulated.role_arn == role_arn)
    }

    /// Whether the role can be assumed with the external id, and, in AWS, not without it.
    pub(crate) async fn prove(&self, account: &Account) -> Result<(), ReachError> {
        if self.is_simulated(&account.role_arn) {
            return self.enter(account).map_err(refused)?.credentials.credentials().await.map(drop);
        }
        #[cfg(feature = "aws")]
        if let Some(aws) = &self.aws {
            let role: RoleArn = account.role_arn.parse().map_err(refused)?;
            let proof = aws.sessions.sts().prove(&role, &account.external_id).await;
            return match proof.map_err(|error| crate::cluster::reach_error(&error))? {
                aws_access::Proof::Proven(_) => Ok(()),
                aws_access::Proof::Unguarded => Err(ReachError::Refused(
                    "the role can be assumed without this external id: its trust policy needs the condition sts:ExternalId, with this value alone"
                        .to_owned(),
                )),
            };
        }
        Err(refused(NoSuchCloud::NoAws))
    }

    /// The account, entered by its role when that is first needed.
    pub(crate) fn enter(&self, account: &Account) -> Result<Entered, NoSuchCloud> {
        let role: RoleArn = account.role_arn.parse()?;
        if let Some(simulated) = self.simulated.as_ref().filter(|one| one.role_arn == role.as_str()) {
            // The client has an external id of its own: whoever has not been told it does not get in by that.
            if account.external_id != simulated.external_id {
                return Err(NoSuchCloud::ExternalId);
            }
            if account.region != REGION {
                return Err(NoSuchCloud::Region);
            }
            return Ok(Entered { cloud: simulated.cloud.clone(), credentials: simulated.cloud.clone() });
        }
        #[cfg(feature = "aws")]
        if let Some(aws) = &self.aws {
            return Ok(aws.enter(account, role));
        }
        Err(NoSuchCloud::NoAws)
    }

    /// What a saga in this account is carried on with: in shadow mode, no more than what reads.
    pub(crate) fn reach(&self, account: &Account, saga: &NewSaga) -> Result<Reach, NoSuchCloud> {
        let Entered { cloud, credentials } = self.enter(account)?;
        let cluster = Eks::new(cloud.clone(), credentials, &account.region, saga.target.cluster.as_str());
        Ok(match saga.mode {
            RunMode::Shadow => Reach::Shadow(Reads { cloud, cluster: cluster.reads() }),
            RunMode::Live => Reach::Live(Changes { cloud, cluster: cluster.changes(saga.id) }),
        })
    }
}

#[cfg(feature = "aws")]
impl EnteredAws {
    fn new(aws: Aws) -> Self {
        let Aws { sessions, endpoint_url, advisor } = aws;
        let sessions = sessions.acting();
        let clients = aws_cloud::Clients::new(aws_cloud::Settings {
            sessions: sessions.clone(),
            endpoint_url,
            timeouts: aws_cloud::Timeouts::default(),
            advisor,
        });
        Self { sessions, clients }
    }

    fn enter(&self, account: &Account, role: RoleArn) -> Entered {
        let (external_id, region) = (account.external_id.clone(), account.region.clone());
        let credentials =
            crate::cluster::AssumedRole::new(self.sessions.clone(), role.clone(), external_id.clone());
        let cloud = self.clients.of(&aws_cloud::Account { role_arn: role, external_id, region });
        Entered { cloud, credentials: Arc::new(credentials) }
    }
}

fn refused(error: impl std::fmt::Display) -> ReachError {
    ReachError::Refused(error.to_string())
}

//! How a cluster of EKS is entered: its address and its authority are the account's to tell, and a token that is good for some minutes
//! says who asks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_access::{EksToken, eks_token};
use cloud::{CloudReads, EksCluster};
use cluster_access::{
    Allowed, Bearer, ClusterClient, Credentials, Limits, ServerUrl, Trust, drain::Drainer, tls_data,
};
use tokio::{sync::Mutex, time::sleep};

use super::{AccountCredentials, trouble::Trouble};
use crate::reach::ReachError;

/// A [`Drainer`] bounds its calls itself, but for the time until it is connected.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    answer: Duration::from_secs(30),
    at_once: 64,
    // An account may name any address as its cluster's: not one of ours.
    any_address: false,
};
/// A token is not renewed more often while something is under way.
const RENEWALS: Duration = Duration::from_secs(2);

pub(super) struct Access {
    cloud: Arc<dyn CloudReads>,
    credentials: Arc<dyn AccountCredentials>,
    region: String,
    name: String,
    now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    /// Whoever makes another one holds it meanwhile; the others wait, and use it.
    entry: Mutex<Option<Entry>>,
    /// Whether the cluster has answered us once.
    is_known: AtomicBool,
}

/// A client, and until when its token is good.
#[derive(Clone)]
struct Entry {
    drainer: Drainer,
    bearer: Bearer,
    place: EksCluster,
    use_until: SystemTime,
    /// How many tokens there were before.
    number: u64,
}

impl Access {
    pub(super) fn new(
        cloud: Arc<dyn CloudReads>,
        credentials: Arc<dyn AccountCredentials>,
        region: String,
        name: String,
        now: Box<dyn Fn() -> SystemTime + Send + Sync>,
    ) -> Self {
        let (entry, is_known) = (Mutex::default(), AtomicBool::new(false));
        Self { cloud, credentials, region, name, now, entry, is_known }
    }

    /// Asks the cluster; once more when it does not know the token, or is elsewhere by now. So it must be something that may be asked
    /// again.
    pub(super) async fn ask<T, E, Answer>(&self, call: impl Fn(Drainer) -> Answer) -> Result<T, Trouble>
    where
        E: Into<Trouble>,
        Answer: Future<Output = Result<T, E>>,
    {
        self.ask_for(Duration::ZERO, call).await
    }

    /// The same of something that takes so long.
    pub(super) async fn ask_for<T, E, Answer>(
        &self,
        duration: Duration,
        call: impl Fn(Drainer) -> Answer,
    ) -> Result<T, Trouble>
    where
        E: Into<Trouble>,
        Answer: Future<Output = Result<T, E>>,
    {
        let entry = self.entry(duration).await?;
        let trouble = match call(entry.drainer.clone()).await.map_err(Into::into) {
            Err(trouble) if trouble.is_unknown_token() || trouble.is_unreachable() => trouble,
            answer => return self.heard(answer),
        };
        let is_refused = trouble.is_unknown_token();
        let renewed = self.renewed(entry.number, is_refused).await;
        match renewed {
            Ok(other) if is_refused || other.place != entry.place => {
                self.heard(call(other.drainer).await.map_err(Into::into))
            }
            Err(error) if is_refused => Err(error.into()),
            _ => Err(trouble),
        }
    }

    /// Keeps the token good for as long as something is under way.
    pub(super) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        let keep = async {
            loop {
                let until = self.entry.lock().await.as_ref().map(|entry| entry.use_until);
                let left = until.and_then(|until| until.duration_since((self.now)()).ok());
                sleep(left.unwrap_or_default().max(RENEWALS)).await;
                // Where there is none to be had, it is tried again, and the cluster says what it thinks of the old one.
                let _ = self.entry(Duration::ZERO).await;
            }
        };
        tokio::select! {
            biased;
            done = work => done,
            () = keep => unreachable!("it goes on for ever"),
        }
    }

    /// What a trouble means for a saga.
    pub(super) fn reach_error(&self, trouble: Trouble) -> ReachError {
        trouble.into_reach_error(self.is_known.load(Ordering::Relaxed))
    }

    fn heard<T>(&self, answer: Result<T, Trouble>) -> Result<T, Trouble> {
        if answer.is_ok() {
            self.is_known.store(true, Ordering::Relaxed);
        }
        answer
    }

    /// What is there, if its token is good for so long; else with another token. One that ends earlier will do where there is no other.
    async fn entry(&self, good_for: Duration) -> Result<Entry, ReachError> {
        let mut entry = self.entry.lock().await;
        let now = (self.now)();
        if let Some(good) = entry.as_ref().filter(|entry| entry.use_until > now + good_for) {
            return Ok(good.clone());
        }
        match self.make(entry.as_ref()).await {
            Ok(made) => Ok(entry.insert(made).clone()),
            Err(error) => entry.clone().filter(|entry| entry.use_until > now).ok_or(error),
        }
    }

    /// Another one than that with this token. `is_refused`: whether the cluster did not know it.
    async fn renewed(&self, stale: u64, is_refused: bool) -> Result<Entry, ReachError> {
        let mut entry = self.entry.lock().await;
        if let Some(newer) = entry.as_ref().filter(|entry| entry.number != stale) {
            return Ok(newer.clone());
        }
        if is_refused {
            self.credentials.forget().await;
        }
        let made = self.make(entry.as_ref()).await?;
        Ok(entry.insert(made).clone())
    }

    /// With another token. The client stays the same where the cluster does, so that what is under way has the new token, too.
    async fn make(&self, before: Option<&Entry>) -> Result<Entry, ReachError> {
        // First of all: the account finds out by it whether its own session is still good.
        let place = self.cloud.eks_cluster(&self.name).await?.ok_or_else(|| {
            ReachError::NoCluster(format!("there is no EKS cluster {} in {}", self.name, self.region))
        })?;
        let credentials = self.credentials.credentials().await?;
        let now = (self.now)();
        let made = eks_token(&credentials, &self.region, &self.name, now).map_err(refused)?;
        let EksToken { token, use_until } = made;
        let number = before.map_or(0, |before| before.number + 1);
        if let Some(same) = before.filter(|before| before.place == place) {
            same.bearer.replace(&token).map_err(refused)?;
            return Ok(Entry { use_until, number, ..same.clone() });
        }
        let bearer = Bearer::new(&token).map_err(refused)?;
        let client = ClusterClient::with_bearer(&credentials_of(&place, now)?, bearer.clone(), LIMITS);
        let drainer = Drainer::new(client.map_err(refused)?.unbounded());
        Ok(Entry { drainer, bearer, place, use_until, number })
    }
}

/// How the cluster is reached and known, without a token.
fn credentials_of(place: &EksCluster, now: SystemTime) -> Result<Credentials, ReachError> {
    let invalid = |what: &str, why: String| ReachError::Refused(format!("the cluster's {what} {why}"));
    let server = ServerUrl::parse(&place.endpoint, Allowed::default())
        .map_err(|error| invalid("endpoint", error.to_string()))?;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let authorities = tls_data::authorities(&place.certificate_authority, seconds)
        .map_err(|error| invalid("certificate authority", error.to_string()))?;
    let trust = Trust::Authorities(authorities);
    Ok(Credentials { server, server_name: None, token: None, identity: None, trust })
}

fn refused(error: impl std::fmt::Display) -> ReachError {
    ReachError::Refused(error.to_string())
}

//! How often spot instances are taken away: the data of the Spot Instance Advisor
//! (<https://aws.amazon.com/ec2/spot/instance-advisor/>). They are in no API; its page reads them from a public file.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use cloud::{InstanceType, InterruptionBand};
use futures_util::StreamExt as _;
use reqwest::redirect::Policy;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Mutex;
use url::Url;

/// Where the page of the advisor has its data from.
const DATA: &str = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json";
/// The file has about two megabytes.
const MOST_BYTES: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// It changes a few times a day, and tells of a month.
const GOOD_FOR: Duration = Duration::from_hours(3);
/// Where there is no new one, the last is used for so long.
const STILL_GOOD_FOR: Duration = Duration::from_hours(48);
/// So long it is not asked for again when it could not be had.
const RETRY_AFTER: Duration = Duration::from_mins(5);

/// The advisor's data, for all accounts and regions. Cheap to clone.
#[derive(Clone)]
pub struct SpotAdvisor {
    http: reqwest::Client,
    url: Url,
    kept: Arc<Mutex<Kept>>,
}

/// There is nobody to ask.
#[derive(Debug, Error)]
#[error("the spot advisor's data cannot be asked for")]
pub struct AdvisorError(#[from] reqwest::Error);

#[derive(Default)]
struct Kept {
    bands: Option<(Instant, Arc<Bands>)>,
    tried: Option<Instant>,
}

/// What the file says, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Bands {
    ranges: Vec<Range>,
    spot_advisor: HashMap<String, HashMap<String, HashMap<String, Advice>>>,
}

#[derive(Debug, Deserialize)]
struct Range {
    index: usize,
    max: u32,
}

#[derive(Debug, Deserialize)]
struct Advice {
    /// The index of its range.
    r: usize,
}

#[derive(Debug, Error)]
enum FetchError {
    #[error("it cannot be had: {0}")]
    Http(#[from] reqwest::Error),
    #[error("it is larger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("it is not understood: {0}")]
    Form(#[from] serde_json::Error),
}

impl SpotAdvisor {
    /// By AWS's own file, or another one of its form. Nothing is asked for yet.
    ///
    /// # Errors
    /// [`AdvisorError`] when there can be no HTTP client.
    pub fn new(url: Option<Url>) -> Result<Self, AdvisorError> {
        // Reqwest takes the process's provider; where another part has set one already, that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(PATIENCE).redirect(Policy::none()).build()?;
        let url = url.unwrap_or_else(|| Url::parse(DATA).expect("the constant is a URL"));
        Ok(Self { http, url, kept: Arc::default() })
    }

    /// The data; `None` when they cannot be had, which nothing fails for. Those who ask at once wait for one fetch.
    pub(crate) async fn bands(&self) -> Option<Arc<Bands>> {
        let mut kept = self.kept.lock().await;
        let age = kept.bands.as_ref().map(|(since, _)| since.elapsed());
        let is_due = age.is_none_or(|age| age > GOOD_FOR)
            && kept.tried.is_none_or(|tried| tried.elapsed() > RETRY_AFTER);
        if is_due {
            kept.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(bands) => kept.bands = Some((Instant::now(), Arc::new(bands))),
                Err(error) => tracing::warn!(%error, "the spot advisor's data are not there"),
            }
        }
        let (since, bands) = kept.bands.as_ref()?;
        (since.elapsed() < STILL_GOOD_FOR).then(|| bands.clone())
    }

    async fn fetch(&self) -> Result<Bands, FetchError> {
        let answer = self.http.get(self.url.clone()).send().await?.error_for_status()?;
        let mut body = Vec::new();
        let mut parts = answer.bytes_stream();
        while let Some(part) = parts.next().await {
            let part = part?;
            if body.len() + part.len() > MOST_BYTES {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&part);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Bands {
    pub(crate) fn band(&self, region: &str, instance_type: &InstanceType) -> Option<InterruptionBand> {
        let advice = self.spot_advisor.get(region)?.get("Linux")?.get(instance_type.as_str())?;
        let range = self.ranges.iter().find(|range| range.index == advice.r)?;
        Some(match range.max {
            ..=5 => InterruptionBand::Below5,
            // The file has 11, 16 and 22 for what the page calls 10, 15 and 20.
            6..=11 => InterruptionBand::From5To10,
            12..=16 => InterruptionBand::From10To15,
            17..=22 => InterruptionBand::From15To20,
            23.. => InterruptionBand::Above20,
        })
    }
}

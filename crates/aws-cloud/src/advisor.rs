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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    /// The form of the file, with a type of each range.
    const FILE: &str = r#"{
        "global_rate": "<5%",
        "instance_types": {"m5.large": {"emr": true, "cores": 2, "ram_gb": 8.0}},
        "ranges": [
            {"index": 0, "label": "<5%", "dots": 0, "max": 5},
            {"index": 1, "label": "5-10%", "dots": 1, "max": 11},
            {"index": 2, "label": "10-15%", "dots": 2, "max": 16},
            {"index": 3, "label": "15-20%", "dots": 3, "max": 22},
            {"index": 4, "label": ">20%", "dots": 4, "max": 100}
        ],
        "spot_advisor": {"us-east-1": {
            "Windows": {"m5.large": {"s": 40, "r": 4}},
            "Linux": {
                "m5.large": {"s": 70, "r": 0}, "c5.large": {"s": 70, "r": 1}, "r5.large": {"s": 70, "r": 2},
                "t3.large": {"s": 70, "r": 3}, "m4.large": {"s": 70, "r": 4}, "m3.large": {"s": 70, "r": 9}
            }
        }}
    }"#;

    async fn serving(body: String) -> (SpotAdvisor, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            body.clone()
        };
        let router = Router::new().route("/", get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (SpotAdvisor::new(Some(url.parse().unwrap())).unwrap(), asked)
    }

    #[tokio::test]
    async fn bands_are_read_and_kept() {
        let (advisor, asked) = serving(FILE.to_owned()).await;
        let bands = advisor.bands().await.unwrap();
        for (name, expected) in [
            ("m5.large", Some(InterruptionBand::Below5)),
            ("c5.large", Some(InterruptionBand::From5To10)),
            ("r5.large", Some(InterruptionBand::From10To15)),
            ("t3.large", Some(InterruptionBand::From15To20)),
            ("m4.large", Some(InterruptionBand::Above20)),
            ("m3.large", None),
            ("x1.large", None),
        ] {
            assert_eq!(bands.band("us-east-1", &name.parse().unwrap()), expected, "{name}");
        }
        assert_eq!(bands.band("us-west-1", &"m5.large".parse().unwrap()), None);
        assert!(advisor.bands().await.is_some());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_known_and_not_asked_for_again_at_once() {
        for body in ["{}".to_owned(), " ".repeat(MOST_BYTES + 1)] {
            let (advisor, asked) = serving(body).await;
            assert!(advisor.bands().await.is_none() && advisor.bands().await.is_none());
            assert_eq!(asked.load(Ordering::Relaxed), 1);
        }
    }
}

//! Tokens by which EKS clusters know who asks.
//!
//! Such a token is a request to STS that asks who its sender is, signed beforehand: the cluster sends it to STS, and believes what STS
//! answers (<https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster>).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningError, SigningSettings,
        sign,
    },
    sign::v4::SigningParams,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::SecretString;
use thiserror::Error;
use url::Url;

const PREFIX: &str = "k8s-aws-v1.";
/// The header that ties the signed request to one cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
/// What the authenticator asks for; it takes the request for fifteen minutes from its date all the same.
const EXPIRES: Duration = Duration::from_secs(60);
/// So long after its date a token is good
/// (`presignedURLExpiration` of <https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/v0.7.8/pkg/token/token.go>).
const GOOD_FOR: Duration = Duration::from_mins(15);
/// So long before its end a token is not used any more: clocks differ, and a request takes its time.
const BEFORE_END: Duration = Duration::from_mins(1);

/// A token, and until when to use it.
#[derive(Clone, Debug)]
pub struct EksToken {
    /// The token. Its `Debug` hides it.
    pub token: SecretString,
    /// Then there has to be a new one: fourteen minutes after it was made, or a minute before the credentials end that signed it.
    pub use_until: SystemTime,
}

/// Why there is no token.
#[derive(Debug, Error)]
pub enum EksTokenError {
    /// No region has such a name.
    #[error("{0:?} is no region")]
    Region(String),
    /// No cluster has such a name.
    #[error("{0:?} is no name of an EKS cluster")]
    Cluster(String),
    /// The request cannot be signed.
    #[error("the token cannot be signed")]
    Signing(#[from] SigningError),
}

/// A token for the cluster of this name, by whoever has these credentials, made at `now`. The request is one to the region's STS.
///
/// # Errors
/// [`EksTokenError`]; it holds nothing secret.
pub fn eks_token(
    credentials: &Credentials,
    region: &str,
    cluster: &str,
    now: SystemTime,
) -> Result<EksToken, EksTokenError> {
    let mut url = sts_of(region)?;
    if !is_cluster_name(cluster) {
        return Err(EksTokenError::Cluster(cluster.to_owned()));
    }
    url.set_query(Some("Action=GetCallerIdentity&Version=2011-06-15"));

    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    settings.expires_in = Some(EXPIRES);
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .expect("every parameter is given");
    let headers = [(CLUSTER_HEADER, cluster)];
    let request = SignableRequest::new("GET", url.as_str(), headers.into_iter(), SignableBody::Bytes(&[]))?;
    let (instructions, _) = sign(request, &parameters.into())?.into_parts();
    let (_, added) = instructions.into_parts();
    url.query_pairs_mut().extend_pairs(added);

    let token = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(url.as_str()));
    let good_until = now + GOOD_FOR - BEFORE_END;
    let use_until = credentials.expiry().map_or(good_until, |expiry| good_until.min(expiry - BEFORE_END));
    Ok(EksToken { token: token.into(), use_until })
}

/// STS of a region: not the global one, which takes tokens of some regions only.
fn sts_of(region: &str) -> Result<Url, EksTokenError> {
    let unknown = || EksTokenError::Region(region.to_owned());
    let is_one = !region.is_empty()
        && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_one {
        return Err(unknown());
    }
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    Url::parse(&format!("https://sts.{region}.{domain}/")).map_err(|_| unknown())
}

/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateCluster.html>
fn is_cluster_name(name: &str) -> bool {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=100).contains(&name.len()) && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(is_in)
}

//! The form of tokens for EKS, what AWS's own program makes of the same, and what STS says to them.

#![allow(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use aws_access::{EksTokenError, eks_token};
use aws_credential_types::Credentials;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use libtest_mimic::{Arguments, Failed, Trial};
use proptest::{prelude::*, test_runner::TestRunner};
use secrecy::ExposeSecret;
use testkit::Moto;
use url::Url;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("every_token_has_its_form", every_token_has_its_form),
        trial("every_partition_has_its_domain", every_partition_has_its_domain),
        trial("what_names_nothing_is_refused", what_names_nothing_is_refused),
        needs(aws_is_missing(), trial("it_is_as_aws_makes_it", it_is_as_aws_makes_it)),
        needs(Moto::missing(), trial("sts_answers_it", sts_answers_it)),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: fn() -> Result<()>) -> Trial {
    Trial::test(name, move || test().map_err(|error| Failed::from(format!("{error:?}"))))
}

fn needs(missing: Option<&'static str>, trial: Trial) -> Trial {
    match missing {
        Some(why) => trial.with_kind(why).with_ignored_flag(true),
        None => trial,
    }
}

fn aws_is_missing() -> Option<&'static str> {
    let runs = Command::new("aws").arg("--version").output().is_ok_and(|output| output.status.success());
    (!runs).then_some("no aws on PATH: https://aws.amazon.com/cli")
}

fn credentials(session: Option<&str>, expiry: Option<SystemTime>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", "planted", session.map(str::to_owned), expiry, "test")
}

fn url_of(token: &str) -> Result<Url> {
    let encoded = token.strip_prefix("k8s-aws-v1.").context("the prefix")?;
    Ok(Url::parse(&String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded)?)?)?)
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    let mut of_name = url.query_pairs().filter(|(key, _)| key == name);
    let value = of_name.next()?.1.into_owned();
    assert!(of_name.next().is_none(), "{name} is there twice: {url}");
    Some(value)
}

fn every_token_has_its_form() -> Result<()> {
    let cases = (
        "[a-z]{2}-[a-z]{4,9}-[1-9]",
        "[A-Za-z0-9][A-Za-z0-9_-]{0,99}",
        proptest::option::of("[A-Za-z0-9+/=]{1,900}"),
        0..4_000_000_000_u64,
        proptest::option::of(0..3600_u64),
    );
    TestRunner::default().run(&cases, |(region, cluster, session, seconds, left)| {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        let expiry = left.map(|left| now + Duration::from_secs(left));
        let credentials = credentials(session.as_deref(), expiry);
        let made = eks_token(&credentials, &region, &cluster, now).unwrap();
        let shown = format!("{made:?}");
        prop_assert!(!shown.contains("k8s-aws-v1"));
        let token = made.token.expose_secret();
        prop_assert!(!token.contains('='));
        let url = url_of(token).unwrap();
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        prop_assert_eq!(url.host_str(), Some(&*format!("sts.{region}.{domain}")));
        let is = |name: &str| parameter(&url, name);
        for (name, value) in [
            ("Action", "GetCallerIdentity"),
            ("X-Amz-Expires", "60"),
            ("X-Amz-SignedHeaders", "host;x-k8s-aws-id"),
        ] {
            prop_assert_eq!(is(name), Some(value.to_owned()));
        }
        prop_assert_eq!(is("X-Amz-Security-Token"), session);
        let scope = format!("/{region}/sts/aws4_request");
        prop_assert!(is("X-Amz-Credential").unwrap().ends_with(&scope));
        prop_assert_eq!(is("X-Amz-Signature").map(|signature| signature.len()), Some(64));
        // Never used for longer than the server takes it, nor than its credentials last.
        prop_assert!(made.use_until <= now + Duration::from_secs(14 * 60));
        prop_assert!(expiry.is_none_or(|expiry| made.use_until <= expiry));
        // The same request is signed alike, another cluster's is not.
        let again = eks_token(&credentials, &region, &cluster, now).unwrap();
        prop_assert_eq!(again.token.expose_secret(), token);
        let other = eks_token(&credentials, &region, &format!("{}x", &cluster[..1]), now).unwrap();
        prop_assert!(cluster.len() == 2 && cluster.ends_with('x') || other.token.expose_secret() != token);
        Ok(())
    })?;
    Ok(())
}

/// AWS in China has a domain of its own (<https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html>).
fn every_partition_has_its_domain() -> Result<()> {
    for (region, host) in [
        ("eu-west-1", "sts.eu-west-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ] {
        let made = eks_token(&credentials(None, None), region, "prod", SystemTime::now())?;
        let url = url_of(made.token.expose_secret())?;
        ensure!(url.host_str() == Some(host), "{region}: {url}");
    }
    Ok(())
}

fn what_names_nothing_is_refused() -> Result<()> {
    let make = |region: &str, cluster: &str| {
        eks_token(&credentials(None, None), region, cluster, SystemTime::now()).err()
    };
    let long = "a".repeat(101);
    for cluster in ["", "-a", "a b", "a\r\nx-evil: 1", "ä", &long] {
        ensure!(matches!(make("eu-west-1", cluster), Some(EksTokenError::Cluster(_))), "{cluster:?}");
    }
    for region in ["", "eu-west-1.evil.com", "eu-west-1/", "EU-WEST-1", "a@b"] {
        ensure!(matches!(make(region, "prod"), Some(EksTokenError::Region(_))), "{region:?}");
    }
    Ok(())
}

/// The same host, the same parameters, the same signed headers.
fn it_is_as_aws_makes_it() -> Result<()> {
    let made = Command::new("aws")
        .args(["eks", "get-token", "--cluster-name", "prod", "--region", "eu-west-1", "--output", "json"])
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "planted")
        .env("AWS_SESSION_TOKEN", "session")
        .env("AWS_STS_REGIONAL_ENDPOINTS", "regional")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: serde_json::Value = serde_json::from_slice(&made.stdout)?;
    let theirs = url_of(made["status"]["token"].as_str().context("a token")?)?;
    let ours = eks_token(&credentials(Some("session"), None), "eu-west-1", "prod", SystemTime::now())?;
    let ours = url_of(ours.token.expose_secret())?;
    ensure!(ours.origin() == theirs.origin() && ours.path() == theirs.path(), "{ours} {theirs}");
    let names = |url: &Url| url.query_pairs().map(|(name, _)| name.into_owned()).collect::<BTreeSet<_>>();
    ensure!(names(&ours) == names(&theirs), "{ours} {theirs}");
    for same in [
        "Action",
        "Version",
        "X-Amz-Algorithm",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Security-Token",
    ] {
        ensure!(parameter(&ours, same) == parameter(&theirs, same), "{same}: {ours} {theirs}");
    }
    Ok(())
}

fn sts_answers_it() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let moto = Moto::start().await?;
        let made = eks_token(&credentials(None, None), "eu-west-1", "prod", SystemTime::now())?;
        let signed = url_of(made.token.expose_secret())?;
        let mut url: Url = moto.url().parse()?;
        url.set_query(signed.query());
        // moto looks for the service in a header, and not in what is signed beforehand.
        let scope = parameter(&signed, "X-Amz-Credential").context("a scope")?;
        let request = reqwest::Client::new()
            .get(url)
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
            )
            .header("x-k8s-aws-id", "prod");
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{answer:?}");
        let text = answer.text().await?;
        ensure!(text.contains("GetCallerIdentityResult") && text.contains("<Arn>"), "{text}");
        Ok(())
    })
}

//! Roles that customers hand over: against moto, and for what it does not model (trust policies, refusals) against replayed
//! answers of AWS. Where moto is missing its tests are reported as ignored, with the reason beside their name.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use aws_access::{AwsError, Proof, RoleArn, Sessions, Sts, StsOptions};
use libtest_mimic::{Arguments, Failed, Trial};
use testkit::{Moto, ReplayedSts};

const EXTERNAL_ID: &str = "kubesage-1";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("a_guarded_role_is_proven", a_guarded_role_is_proven),
        trial("a_palindrome_is_guarded_as_well", a_palindrome_is_guarded_as_well),
        trial("a_role_that_anybody_can_assume_is_not", a_role_that_anybody_can_assume_is_not),
        trial("refusals_are_told_apart", refusals_are_told_apart),
        trial(
            "sessions_are_kept_until_shortly_before_their_end",
            sessions_are_kept_until_shortly_before_their_end,
        ),
        trial("who_is_away_is_told", who_is_away_is_told),
        needs_moto(trial("moto_gives_sessions", moto_gives_sessions)),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F: Future<Output = Result<()>> + 'static>(name: &str, test: fn() -> F) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failed::from(error.to_string()))?;
        runtime.block_on(test()).map_err(|error| Failed::from(format!("{error:?}")))
    })
}

fn needs_moto(trial: Trial) -> Trial {
    match Moto::missing() {
        Some(why) => trial.with_kind(why).with_ignored_flag(true),
        None => trial,
    }
}

async fn sts(url: &str) -> Result<Sts> {
    let credentials = Some(("AKIAEXAMPLE".to_owned(), "secret".to_owned().into()));
    Ok(Sts::new(&StsOptions { endpoint_url: Some(url.parse()?), credentials }).await)
}

fn role(name: &str) -> Result<RoleArn> {
    Ok(format!("arn:aws:iam::123456789012:role/{name}").parse()?)
}

async fn a_guarded_role_is_proven() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    let sts = sts(&aws.url()).await?;
    let Proof::Proven(session) = sts.prove(&role("Guarded")?, EXTERNAL_ID).await? else {
        bail!("not proven")
    };
    ensure!(session.assumed_role_arn.ends_with("assumed-role/Guarded/SpotOptimizerMonitoring"));
    ensure!(!format!("{session:?}").contains("planted"), "{session:?}");
    ensure!(sts.identity().await?.account_id == "999999999999");
    Ok(())
}

/// The other external id that is tried is another one, whatever the true one is.
async fn a_palindrome_is_guarded_as_well() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    let proof = sts(&aws.url()).await?.prove(&role("Guarded")?, "kubesage--egasebuk").await?;
    ensure!(matches!(proof, Proof::Proven(_)), "{proof:?}");
    ensure!(aws.assumed() == 1, "{}", aws.assumed());
    Ok(())
}

async fn a_role_that_anybody_can_assume_is_not() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    for name in ["Unguarded", "Careless"] {
        let proof = sts(&aws.url()).await?.prove(&role(name)?, EXTERNAL_ID).await?;
        ensure!(matches!(proof, Proof::Unguarded), "{name}");
    }
    Ok(())
}

async fn refusals_are_told_apart() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    let sts = sts(&aws.url()).await?;
    for (name, expected) in [
        ("Denied", AwsError::Denied),
        ("Unknown", AwsError::NoSuchRole),
        ("Throttled", AwsError::Throttled),
        ("Expired", AwsError::Expired),
    ] {
        let refused = sts.prove(&role(name)?, EXTERNAL_ID).await.err().context(name)?;
        ensure!(refused == expected, "{name}: {refused:?}");
    }
    Ok(())
}

async fn sessions_are_kept_until_shortly_before_their_end() -> Result<()> {
    let aws = ReplayedSts::start().await?;
    let sessions = Sessions::new(sts(&aws.url()).await?);
    let guarded = role("Guarded")?;
    let asked = (0..20).map(|_| sessions.session(&guarded, EXTERNAL_ID));
    for session in futures_util::future::join_all(asked).await {
        ensure!(session?.credentials.session_token() == Some("token"));
    }
    ensure!(aws.assumed() == 1, "{}", aws.assumed());
    // Another external id is another customer's.
    sessions.session(&guarded, "kubesage-2").await?;
    sessions.forget(&guarded, EXTERNAL_ID).await;
    sessions.session(&guarded, EXTERNAL_ID).await?;
    ensure!(aws.assumed() == 3, "{}", aws.assumed());
    // It ends in five minutes and a second, so it is given out for a second.
    let short = role("Short")?;
    sessions.session(&short, EXTERNAL_ID).await?;
    testkit::eventually("a new session", async || {
        sessions.session(&short, EXTERNAL_ID).await.ok()?;
        (aws.assumed() > 4).then_some(())
    })
    .await?;
    // What was refused is not kept.
    ensure!(sessions.session(&role("Denied")?, EXTERNAL_ID).await.is_err());
    Ok(())
}

async fn who_is_away_is_told() -> Result<()> {
    let nobody = ReplayedSts::start().await?.url();
    let error = sts(&nobody).await?.assume(&role("Guarded")?, None).await.err().context("an error")?;
    ensure!(matches!(error, AwsError::Unreachable(_)), "{error:?}");
    Ok(())
}

/// moto models no trust policies: whatever it gives can be had without the external id.
async fn moto_gives_sessions() -> Result<()> {
    let moto = Moto::start().await?;
    let sts = sts(moto.url()).await?;
    ensure!(sts.identity().await?.account_id == "123456789012");
    let session = sts.assume(&role("Reader")?, Some(EXTERNAL_ID)).await?;
    ensure!(session.credentials.access_key_id().starts_with("ASIA"));
    ensure!(session.assumed_role_arn.ends_with("assumed-role/Reader/SpotOptimizerMonitoring"));
    let acting = Sessions::new(sts.clone()).acting().session(&role("Optimizer")?, EXTERNAL_ID).await?;
    ensure!(acting.assumed_role_arn.ends_with("assumed-role/Optimizer/SpotOptimizerAction"));
    let left = session.expires.duration_since(std::time::SystemTime::now())?;
    ensure!(left.as_secs() > 3500 && left.as_secs() <= 3600, "{left:?}");
    ensure!(matches!(sts.prove(&role("Reader")?, EXTERNAL_ID).await?, Proof::Unguarded));
    Ok(())
}

//! Where the cluster is, and who is let in.

use anyhow::Result;
use sim::{Delays, Options, Seed, Sim};
use tempfile::TempDir;
use testkit::eventually_within;

use crate::common::{PATIENCE, after_kill, kept, sim};

fn options() -> Options {
    Options { seed: Seed::Empty, delays: Delays::none(), ..Options::default() }
}

#[tokio::test]
async fn kubeconfigs_stay_good() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options()).await?;
    let administrators = sim(&first).kubeconfig(sim(&first).admin_token());
    let account = sim(&first).token_for("default", "default");
    let certificate = sim(&first).client_certificate("ann", None)?;
    let requested = first.token_of(first.namespace(), "default").await?;
    drop(first);

    let start =
        async || Sim::start(Options { state_dir: Some(directory.path().to_owned()), ..options() }).await.ok();
    let second = eventually_within(PATIENCE, "the end of the first", start).await?;
    assert_eq!(second.kubeconfig(second.admin_token()), administrators, "also its port");
    assert_eq!(second.token_for("default", "default"), account);
    let authority = reqwest::Certificate::from_pem(second.ca_pem().as_bytes())?;
    let identity =
        reqwest::Identity::from_pem(format!("{}{}", certificate.certificate, certificate.key).as_bytes())?;
    let client = reqwest::Client::builder().tls_certs_only([authority.clone()]);
    let (anonymous, ann) =
        (client.build()?, reqwest::Client::builder().tls_certs_only([authority]).identity(identity).build()?);
    let review = format!("{}/apis/authentication.k8s.io/v1/selfsubjectreviews", second.url());
    let body = r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}"#;
    for (request, user) in [
        (anonymous.post(&review).bearer_auth(&requested), "system:serviceaccount:"),
        (anonymous.post(&review).bearer_auth(&account), "system:serviceaccount:default:default"),
        (ann.post(&review), "\"ann\""),
    ] {
        let answer =
            request.header("content-type", "application/json").body(body).send().await?.text().await?;
        assert!(answer.contains(user), "{answer}");
    }
    Ok(())
}

/// Somebody else has the port by now.
#[tokio::test]
async fn another_port_is_taken_where_the_last_one_is_not_free() -> Result<()> {
    let directory = TempDir::new()?;
    let first = kept(directory.path(), options()).await?;
    let (second, _image) = after_kill(directory.path(), options()).await?;
    assert_ne!(sim(&first).addr(), sim(&second).addr());
    assert_eq!(sim(&first).ca_pem(), sim(&second).ca_pem());
    assert_eq!(second.get("/api/v1/namespaces").await?.0, 200);
    Ok(())
}

#[tokio::test]
async fn what_is_not_kept_is_another_cluster() -> Result<()> {
    let first = Sim::start(options()).await?;
    let second = Sim::start(options()).await?;
    assert_ne!(first.ca_pem(), second.ca_pem());
    Ok(())
}

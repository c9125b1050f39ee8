//! Which keys are valid: by the service's own endpoints, over the bus and over HTTP.

use anyhow::Result;
use contracts::{
    ErrorCode,
    auth::{AuthResult, Scope},
    queues::Service as Asking,
};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::test_on_both;

use crate::harness::{Answer, Running, SERVICE_TOKEN, Setup, new_token, send, start, verify_for};

const VERIFY: &str = "/api/v1/auth/verify";

async fn verify_over_http(service: &Running, token: &str, body: Value) -> Result<Answer> {
    send(service.request(Method::POST, VERIFY).bearer_auth(token).json(&body)).await
}

/// That the key is refused for the same reason by all three ways; answers the reason.
async fn refusal(service: &Running, key: &str) -> Result<String> {
    let own = service.me(key).await?;
    let reason = own.problem(401, "unauthenticated")?;
    let over_bus = service.verify(key).await?;
    assert!(!over_bus.valid && over_bus.user_data.is_none() && over_bus.key_id.is_none());
    assert_eq!(over_bus.code, Some(ErrorCode::Unauthenticated));
    assert_eq!(over_bus.error.as_ref(), Some(&reason));
    let over_http = verify_over_http(service, SERVICE_TOKEN, json!({"api_key": key})).await?;
    assert_eq!(over_http.text(200, "/error")?, reason);
    Ok(reason)
}

test_on_both! {
    async fn a_valid_key_tells_its_user_to_every_asking_service(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let (user_id, key) = service.user_with_key("ada", &["read", "operate"]).await?;
        for asking in Asking::ALL {
            let result = verify_for(&service.bus, asking, &key).await?;
            assert_eq!(result.request_id, "r-1");
            assert!(result.valid && result.error.is_none() && result.message.is_some());
            assert!(result.key_id.is_some() && result.expires_at.is_none());
            let user = result.user_data.expect("a valid key has a user");
            assert_eq!((user.id, user.username, user.is_active), (user_id.clone(), "ada".into(), true));
            assert_eq!(user.scopes, [Scope::Read, Scope::Operate]);
        }
        let over_http = verify_over_http(&service, SERVICE_TOKEN, json!({"api_key": key})).await?;
        let result: AuthResult = serde_json::from_value(over_http.json(200)?.clone())?;
        assert!(result.valid && result.user_data.is_some_and(|user| user.id == user_id));
        let me = service.me(&key).await?;
        assert_eq!(me.json(200)?["scopes"], json!(["read", "operate"]));
        Ok(())
    }

    async fn each_kind_of_bad_key_is_refused_for_its_reason(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let missing = send(service.request(Method::GET, "/api/v1/users/me")).await?;
        missing.problem(401, "unauthenticated")?;

        let token = new_token();
        let unknown = token.secret().expose_secret();
        assert_eq!(refusal(&service, unknown).await?, "this API key is not known");
        assert!(refusal(&service, "hunter2").await?.contains("ks_"));
        let cut = &unknown[..unknown.len() - 1];
        assert!(refusal(&service, cut).await?.contains("38 letters"));
        let swapped = format!("{cut}{}", if unknown.ends_with('x') { 'y' } else { 'x' });
        assert!(refusal(&service, &swapped).await?.contains("checksum"));

        let user = service.user("ada", &[]).await?;
        let (expired_id, expired) = service.key_of(&user, &["read"]).await?;
        service.sql("UPDATE api_keys SET expires_at = 1 WHERE id = $1", &expired_id).await?;
        assert_eq!(refusal(&service, &expired).await?, "this API key has expired");

        let (revoked_id, revoked) = service.key_of(&user, &["read"]).await?;
        service.revoke(&service.admin, &revoked_id).await?.json(204)?;
        assert_eq!(refusal(&service, &revoked).await?, "this API key was revoked");

        let (_, orphaned) = service.key_of(&user, &["read"]).await?;
        let path = format!("/api/v1/users/{user}");
        service.patch(&service.admin, &path, json!({"is_active": false})).await?.json(200)?;
        assert_eq!(refusal(&service, &orphaned).await?, "the user of this API key is deactivated");
        Ok(())
    }

    async fn only_services_verify_over_http(database: TestDatabase) -> Result<()> {
        let service = start(&database).await?;
        let body = json!({"api_key": service.admin});
        let without = send(service.request(Method::POST, VERIFY).json(&body)).await?;
        without.problem(401, "unauthenticated")?;
        for wrong in ["", "kt_", &SERVICE_TOKEN[1..], &format!("{SERVICE_TOKEN}0")] {
            for body in [&body, &json!({"nonsense": 1})] {
                let answer = verify_over_http(&service, wrong, body.clone()).await?;
                answer.problem(401, "unauthenticated")?;
            }
        }
        let answer = verify_over_http(&service, SERVICE_TOKEN, json!({"api_key": "ks_x", "more": 1})).await?;
        answer.refuses_fields(&["more"])?;
        let answer = verify_over_http(&service, SERVICE_TOKEN, json!({})).await?;
        answer.refuses_fields(&["api_key"])?;
        Ok(())
    }

    async fn without_a_service_token_nobody_verifies_over_http(database: TestDatabase) -> Result<()> {
        let service = Setup { service_token: None, ..Setup::on(&database) }.start().await?;
        for token in ["", SERVICE_TOKEN] {
            let answer = verify_over_http(&service, token, json!({"api_key": service.admin})).await?;
            assert!(answer.problem(403, "forbidden")?.contains("SERVICE_TOKEN"));
        }
        Ok(())
    }

    async fn each_key_has_its_allowance(database: TestDatabase) -> Result<()> {
        let service = Setup { rate_limit: Some(2), ..Setup::on(&database) }.start().await?;
        for _ in 0..2 {
            service.me(&service.admin).await?.json(200)?;
        }
        let third = service.me(&service.admin).await?;
        third.problem(429, "rate_limited")?;
        Ok(())
    }
}

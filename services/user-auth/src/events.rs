//! The events that tell others what changed; each is written with its change.

use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::{ApiKey, User};

pub(crate) fn key_created(key: &ApiKey, of: &User, now: Timestamp) -> Event {
    let data = json!({"key_id": key.id, "name": key.name, "scopes": key.scopes});
    event(EventType::ApiKeyCreated, of, now, data)
}

pub(crate) fn key_revoked(key: &ApiKey, of: &User, now: Timestamp) -> Event {
    let data = json!({"key_id": key.id, "name": key.name});
    event(EventType::ApiKeyRevoked, of, now, data)
}

pub(crate) fn key_rotated(key: &ApiKey, of: &User, now: Timestamp) -> Event {
    let data = json!({
        "key_id": key.id,
        "name": key.name,
        "replaced_by": key.replaced_by,
        "expires_at": key.expires_at,
    });
    event(EventType::ApiKeyRotated, of, now, data)
}

pub(crate) fn user_created(user: &User, now: Timestamp) -> Event {
    let data = json!({"user_id": user.id, "roles": user.roles});
    event(EventType::UserCreated, user, now, data)
}

pub(crate) fn user_updated(user: &User, now: Timestamp) -> Event {
    let data = json!({"user_id": user.id, "is_active": user.is_active(), "roles": user.roles});
    event(EventType::UserUpdated, user, now, data)
}

fn event(event_type: EventType, of: &User, occurred_at: Timestamp, data: Value) -> Event {
    let data = match data {
        Value::Object(data) => data,
        _ => serde_json::Map::new(),
    };
    Event {
        event_id: Uuid::now_v7().to_string(),
        event_type,
        user_id: of.id.clone(),
        username: of.username.clone(),
        occurred_at,
        data,
    }
}

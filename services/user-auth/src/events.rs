//! The events that tell others what changed; each is written with its change.

use contracts::{
    Timestamp,
    events::{Event, EventType},
};
use serde_json::{Value, json};

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

fn event(event_type: EventType, of: &User, now: Timestamp, data: Value) -> Event {
    Event::new(event_type, &of.id, &of.username, now, data)
}

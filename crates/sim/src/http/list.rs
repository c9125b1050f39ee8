//! Lists, streamed: each object's JSON is printed once and kept with it, so that a list is little more than copying.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer;
use super::objects::Call;
use crate::conversion;
use crate::kinds::Kind;
use crate::object::Object;
use crate::status::ApiError;
use crate::store::Page;

/// About how much is sent at a time.
pub(super) const CHUNK: usize = 128 * 1024;

/// Answers with the objects that are asked for, or one page of them.
pub(super) fn serve(call: &Call<'_>) -> Result<Response, ApiError> {
    let query = call.options.list_query(call.spoken, call.namespace())?;
    let page = call.server.api.list(call.kind, &query)?;
    Ok(match call.rendering.list(call.kind, &page, call.server.api.clock().now())? {
        Some(rendered) => answer::json(200, &rendered),
        None => respond(call.spoken, page),
    })
}

/// A page as `PodList` and its like.
pub(super) fn respond(kind: &Kind, mut page: Page) -> Response {
    for item in &mut page.items {
        if let Some(spoken) = conversion::spoken(kind, item) {
            *item = Arc::new(spoken);
        }
    }
    let mut chunks = Chunks::new(kind, page).peekable();
    let first = chunks.next();
    if chunks.peek().is_none() {
        return answer::json_bytes(200, first.unwrap_or_default());
    }
    let chunks = first.into_iter().chain(chunks).map(Ok::<_, std::convert::Infallible>);
    answer::stream(Body::from_stream(futures_util::stream::iter(chunks)))
}

/// The `metadata` of a list.
pub(super) fn metadata(page: &Page) -> Value {
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if let Some(token) = &page.continue_token {
        metadata["continue"] = token.as_str().into();
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = remaining.into();
    }
    metadata
}

/// The text of a list, piece by piece.
struct Chunks {
    text: Vec<u8>,
    items: std::vec::IntoIter<Arc<Object>>,
    is_first: bool,
    is_done: bool,
}

impl Chunks {
    fn new(kind: &Kind, page: Page) -> Chunks {
        let (kind, version) = (kind.kind, kind.api_version());
        let head = format!(
            "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{version}\",\"metadata\":{},\"items\":[",
            metadata(&page)
        );
        Chunks { text: head.into_bytes(), items: page.items.into_iter(), is_first: true, is_done: false }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_done {
            return None;
        }
        while self.text.len() < CHUNK {
            let Some(object) = self.items.next() else {
                self.text.extend_from_slice(b"]}\n");
                self.is_done = true;
                break;
            };
            if !std::mem::take(&mut self.is_first) {
                self.text.push(b',');
            }
            self.text.extend_from_slice(object.item());
        }
        Some(Bytes::from(std::mem::take(&mut self.text)))
    }
}

//! Lists in pages, so that a large cluster is never one giant answer of the API server.

use std::io;

use contracts::{ErrorCode, agent::MAX_RESULT_BYTES, query::Params};
use kube::{
    Api, Resource,
    api::ListParams,
    core::{ObjectList, Request},
};
use serde::{Serialize, Serializer, de::DeserializeOwned};

use super::{ApiServer, QueryError, places::Places};
use crate::bulk;

/// Objects that are asked for at once, as kubectl does.
const PAGE: u32 = 500;
/// How often a list is begun anew because it expired half-way; the last time it is asked for in one piece.
const MAX_RESTARTS: usize = 2;

/// What is listed, and how much of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery {
    /// Only objects with these labels.
    pub(crate) label_selector: Option<String>,
    /// At most so many; absent: all.
    pub(crate) limit: Option<u32>,
    /// Where an earlier list ended.
    pub(crate) continue_token: Option<String>,
}

/// Views of objects, page by page as they came. While they are in memory, they hold the places that were taken for them.
#[derive(Debug)]
pub(crate) struct Views<V> {
    pages: Vec<Vec<V>>,
    _places: Places,
}

impl<V> Views<V> {
    pub(crate) fn len(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    /// The views without their places: for what is kept elsewhere.
    pub(crate) fn into_views(self) -> impl Iterator<Item = V> {
        self.pages.into_iter().flatten()
    }
}

impl<V: Serialize> Serialize for Views<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.pages.iter().flatten())
    }
}

/// What was listed.
#[derive(Debug)]
pub(crate) struct Listed<V> {
    pub(crate) items: Views<V>,
    pub(crate) continue_token: Option<String>,
    pub(crate) remaining: Option<i64>,
    /// The version of the whole list, from which a watch goes on.
    pub(crate) resource_version: String,
}

impl From<&Params> for ListQuery {
    fn from(params: &Params) -> Self {
        Self {
            label_selector: params.label_selector.clone().filter(|selector| !selector.is_empty()),
            // For the API server a limit of 0 is none.
            limit: params.limit.filter(|limit| *limit > 0),
            continue_token: params.continue_token.clone().filter(|token| !token.is_empty()),
        }
    }
}

/// Lists objects and keeps only their views.
///
/// An expired `continue` of the caller is an error of the caller's; a list of ours that expires half-way begins anew.
pub(crate) async fn list<K, V>(
    server: &ApiServer,
    api: &Api<K>,
    query: &ListQuery,
    view: impl Fn(K) -> V + Copy + Send + 'static,
) -> Result<Listed<V>, QueryError>
where
    K: Resource + Clone + DeserializeOwned,
    V: Serialize + Send + 'static,
{
    for _ in 0..MAX_RESTARTS {
        match in_pages(server, api, query, PAGE, view).await {
            Err(error) if error.code == ErrorCode::Expired && query.continue_token.is_none() => {}
            result => return result,
        }
    }
    in_pages(server, api, query, u32::MAX, view).await
}

/// How many objects there are, or how many with these labels.
pub(crate) async fn count<K>(
    server: &ApiServer,
    api: &Api<K>,
    label_selector: Option<&str>,
) -> Result<i64, QueryError>
where
    K: Resource + Clone + DeserializeOwned,
{
    if label_selector.is_some() {
        // The API server does not say how many more a selector selects.
        return count_all(server, api, label_selector).await;
    }
    let page = one_page(server, api, &ListParams::default().limit(1), |_| ()).await?;
    let here = i64::try_from(page.views.len()).unwrap_or(i64::MAX);
    match (page.remaining, page.next_token) {
        (Some(remaining), _) => Ok(here.saturating_add(remaining)),
        (None, None) => Ok(here),
        // More follow, but the API server does not say how many.
        (None, Some(_)) => count_all(server, api, None).await,
    }
}

async fn count_all<K>(
    server: &ApiServer,
    api: &Api<K>,
    label_selector: Option<&str>,
) -> Result<i64, QueryError>
where
    K: Resource + Clone + DeserializeOwned,
{
    let query = ListQuery { label_selector: label_selector.map(str::to_owned), ..ListQuery::default() };
    let all = list(server, api, &query, |_| ()).await?;
    Ok(i64::try_from(all.items.len()).unwrap_or(i64::MAX))
}

async fn in_pages<K, V>(
    server: &ApiServer,
    api: &Api<K>,
    query: &ListQuery,
    page_size: u32,
    view: impl Fn(K) -> V + Copy + Send + 'static,
) -> Result<Listed<V>, QueryError>
where
    K: Resource + Clone + DeserializeOwned,
    V: Serialize + Send + 'static,
{
    let mut places = Places::first().await;
    if page_size == u32::MAX {
        places.grow().await;
    }
    let mut pages: Vec<Vec<V>> = Vec::new();
    let (mut listed, mut bytes) = (0, 0);
    let mut token = query.continue_token.clone();
    loop {
        let wanted = query.limit.map_or(u32::MAX, |limit| limit.saturating_sub(listed));
        let params = ListParams {
            label_selector: query.label_selector.clone(),
            limit: Some(wanted.min(page_size)).filter(|limit| *limit < u32::MAX),
            continue_token: token,
            ..ListParams::default()
        };
        let page = one_page(server, api, &params, view).await?;
        token = page.next_token;
        bytes += page.bytes;
        if bytes > MAX_RESULT_BYTES {
            return Err(too_large());
        }
        listed = listed.saturating_add(u32::try_from(page.views.len()).unwrap_or(u32::MAX));
        pages.push(page.views);
        let is_full = query.limit.is_some_and(|limit| listed >= limit);
        if is_full || token.is_none() {
            return Ok(Listed {
                items: Views { pages, _places: places },
                continue_token: token,
                remaining: page.remaining,
                resource_version: page.resource_version,
            });
        }
        places.grow().await;
    }
}

/// What is kept of a page.
struct Page<V> {
    views: Vec<V>,
    /// How large the views will be in an answer.
    bytes: usize,
    next_token: Option<String>,
    remaining: Option<i64>,
    resource_version: String,
}

/// Asks for a page. It is read on a thread of its own: that takes some milliseconds, for which all other answers of this
/// runtime thread would wait.
async fn one_page<K, V>(
    server: &ApiServer,
    api: &Api<K>,
    params: &ListParams,
    view: impl Fn(K) -> V + Send + 'static,
) -> Result<Page<V>, QueryError>
where
    K: Resource + Clone + DeserializeOwned,
    V: Serialize + Send + 'static,
{
    let request = Request::new(api.resource_url()).list(params).map_err(kube::Error::BuildRequest)?;
    let client = server.client();
    let text = server.call(client.request_text(request)).await?;
    bulk::READING.run(move || read_page(&text, view)).await?
}

fn read_page<K, V>(text: &str, view: impl Fn(K) -> V) -> Result<Page<V>, QueryError>
where
    K: Clone + DeserializeOwned,
    V: Serialize,
{
    let page: ObjectList<K> = serde_json::from_str(text).map_err(kube::Error::SerdeError)?;
    let next_token = page.metadata.continue_.filter(|token| !token.is_empty());
    // Not collected, which would keep the memory of the objects, some times as large, for the views.
    let mut views = Vec::with_capacity(page.items.len());
    views.extend(page.items.into_iter().map(view));
    Ok(Page {
        bytes: json_bytes(&views)?,
        views,
        next_token,
        remaining: page.metadata.remaining_item_count,
        resource_version: page.metadata.resource_version.unwrap_or_default(),
    })
}

/// The answer would be larger than any answer may be.
pub(crate) fn too_large() -> QueryError {
    let detail = format!(
        "the answer is larger than {} MiB: ask for less with namespace, label_selector, or limit and continue",
        MAX_RESULT_BYTES / (1024 * 1024)
    );
    QueryError::new(ErrorCode::TooLarge, detail)
}

/// How large the views will be in an answer; measured page by page so that not more than one page is kept beyond
/// the limit.
fn json_bytes(views: &impl Serialize) -> Result<usize, QueryError> {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, views).map_err(QueryError::internal)?;
    Ok(counter.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_parameters_are_absent_ones() {
        let params = Params {
            label_selector: Some(String::new()),
            limit: Some(0),
            continue_token: Some(String::new()),
            ..Params::default()
        };
        let query = ListQuery::from(&params);
        assert!(query.label_selector.is_none() && query.limit.is_none() && query.continue_token.is_none());
    }

    #[test]
    fn views_are_measured_as_they_are_written() {
        let views = vec!["ä", "b"];
        assert_eq!(json_bytes(&views), Ok(serde_json::to_string(&views).unwrap().len()));
    }
}

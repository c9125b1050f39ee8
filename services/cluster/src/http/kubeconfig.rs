//! `POST /onboard-cluster/kubeconfig`: each context of a kubeconfig becomes a cluster.

use axum::{
    body::Bytes,
    extract::{FromRequest, Multipart, Request, State, multipart::MultipartError},
    http::{HeaderMap, StatusCode, header},
};
use cluster_access::kubeconfig::{self, Context};
use contracts::{ErrorCode, auth::Scope};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use web::{Caller, FieldError, Json, Problem, Query};

use super::{Api, stored::ClusterConfig};
use crate::stored::{Checked, Given, StoredError};

/// The types by which YAML is sent; JSON is YAML.
const YAML: [&str; 6] =
    ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "application/json", "text/plain"];

/// So many contexts are named to whom asks for one that is not there.
const NAMED: usize = 20;

/// So many clusters are asked at once.
const AT_ONCE: usize = 25;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(onboard))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KubeconfigParams {
    /// Only this context.
    context: Option<String>,
    /// What its cluster is called; without it, as the context.
    cluster_name: Option<String>,
    /// Who runs the clusters.
    provider_name: Option<String>,
    /// Words to find them by.
    tags: Option<String>,
    /// Ask each cluster for its version first, and store none that does not answer.
    #[serde(default)]
    verify: bool,
}

/// The file in a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `file` reads")]
struct KubeconfigForm {
    kubeconfig: String,
}

#[derive(Serialize, ToSchema)]
struct OnboardedContexts {
    /// Those that are stored now.
    clusters: Vec<ClusterConfig>,
    /// Those that are not, and why.
    refused: Vec<RefusedContext>,
    message: String,
}

#[derive(Serialize, ToSchema)]
struct RefusedContext {
    context: String,
    /// What is wrong, and what to do instead.
    reason: String,
}

/// Store the clusters of a kubeconfig
///
/// The body is the file, as YAML or as the field `kubeconfig` (or `file`) of `multipart/form-data`. Each context becomes a cluster
/// of its name. Programs that it names (exec) are not run, and files are not read: such contexts are refused, the others stored. When
/// none is stored, the answer is 422. Needs the scope `operate`.
#[utoipa::path(post, path = "/onboard-cluster/kubeconfig", tag = "stored clusters",
    request_body(content((String = "application/yaml"), (KubeconfigForm = "multipart/form-data"))),
    responses((status = 201, body = OnboardedContexts)))]
async fn onboard(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<KubeconfigParams>,
    request: Request,
) -> Result<(StatusCode, Json<OnboardedContexts>), Problem> {
    caller.require(&Scope::Operate)?;
    let yaml = file(request).await?;
    let contexts =
        kubeconfig::contexts(&yaml).map_err(|error| Problem::invalid("kubeconfig", error.to_string()))?;
    let there: Vec<_> = contexts.iter().map(|(name, _)| name.as_str()).take(NAMED).collect();
    let there = there.join(", ");
    let contexts: Vec<_> = match &params.context {
        None => contexts,
        Some(only) => contexts.into_iter().filter(|(name, _)| name == only).collect(),
    };
    if contexts.is_empty() {
        return Err(Problem::invalid("context", format!("is not in the kubeconfig, which has: {there}")));
    }
    if params.cluster_name.is_some() && contexts.len() > 1 {
        let message = "is for a single context; say which with `context`";
        return Err(Problem::invalid("cluster_name", message));
    }
    let is_one = contexts.len() == 1;
    // Some at once, so that those which do not answer keep nobody waiting for each other.
    let verified = stream::iter(contexts).map(async |(name, context)| {
        let checked = match context {
            Ok(context) => api.check_context(&caller, context, &params).await,
            Err(reason) => Err(Refusal::Context(reason)),
        };
        (name, checked)
    });
    let verified: Vec<_> = verified.buffered(AT_ONCE).collect().await;
    let (mut clusters, mut refused) = (Vec::new(), Vec::new());
    for (name, checked) in verified {
        let stored = match checked {
            Ok(checked) => {
                api.clusters.onboard(&caller.user, &checked, api.now()).await.map_err(Refusal::Cluster)
            }
            Err(refusal) => Err(refusal),
        };
        match stored {
            Ok(cluster) => clusters.push(ClusterConfig::from(cluster)),
            // What is ours, and what is said of a single one, is said as it is.
            Err(Refusal::Cluster(error)) if clusters.is_empty() && (is_one || is_ours(&error)) => {
                return Err(of_context(error).into());
            }
            Err(refusal) => refused.push(RefusedContext { context: name, reason: reason(&refusal) }),
        }
    }
    if clusters.is_empty() {
        let none = Problem::new(ErrorCode::Invalid, "no context of the kubeconfig can be onboarded");
        return Err(refused.into_iter().fold(none, |problem, RefusedContext { context, reason }| {
            problem.and_field(format!("contexts[{context}]"), reason)
        }));
    }
    let message = format!("{} of {} contexts onboarded", clusters.len(), clusters.len() + refused.len());
    Ok((StatusCode::CREATED, Json(OnboardedContexts { clusters, refused, message })))
}

/// Why a context is not stored.
enum Refusal {
    Context(kubeconfig::RefusedContext),
    Cluster(StoredError),
    /// There is no place to ask it now.
    Busy,
}

impl Api {
    /// Checks the cluster of one context and asks it, if it is to be asked.
    async fn check_context(
        &self,
        caller: &Caller,
        context: Context,
        params: &KubeconfigParams,
    ) -> Result<Checked, Refusal> {
        let given = Given {
            cluster_name: params.cluster_name.clone().unwrap_or_else(|| context.name.clone()),
            server_url: context.server,
            token: context.token,
            context_name: Some(context.name),
            provider_name: params.provider_name.clone(),
            tags: params.tags.clone(),
            use_secure_tls: context.is_secure,
            ca_data: context.ca_data,
            public_ca: true,
            tls_server_name: context.tls_server_name,
            tls_cert: context.tls_cert,
            tls_key: context.tls_key,
        };
        let checked = self.check(given).map_err(Refusal::Cluster)?;
        if params.verify {
            let _place = self.in_flight.enter(&caller.user.id).map_err(|_| Refusal::Busy)?;
            self.clusters.verify(&checked.credentials).await.map_err(Refusal::Cluster)?;
        }
        Ok(checked)
    }
}

fn is_ours(error: &StoredError) -> bool {
    matches!(error, StoredError::Store(_) | StoredError::Seal(_))
}

/// What a kubeconfig calls otherwise than a request does.
const NAMES: [(&str, &str); 6] = [
    ("server_url", "server"),
    ("tls_server_name", "tls-server-name"),
    ("ca_data", "certificate-authority-data"),
    ("tls_cert", "client-certificate-data"),
    ("tls_key", "client-key-data"),
    ("use_secure_tls false", "insecure-skip-tls-verify true"),
];

/// The values of the only context, as its kubeconfig calls them.
fn of_context(error: StoredError) -> StoredError {
    let StoredError::Invalid(errors) = error else { return error };
    let renamed = errors.into_iter().map(|FieldError { field, message }| FieldError {
        field: in_words_of_kubeconfigs(field),
        message: in_words_of_kubeconfigs(message),
    });
    StoredError::Invalid(renamed.collect())
}

fn in_words_of_kubeconfigs(reason: String) -> String {
    NAMES.iter().fold(reason, |reason, (field, name)| reason.replace(field, name))
}

fn reason(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Context(reason) => reason.to_string(),
        Refusal::Cluster(StoredError::Invalid(errors)) => {
            let texts = errors.iter().map(|FieldError { field, message }| format!("{field} {message}"));
            in_words_of_kubeconfigs(texts.collect::<Vec<_>>().join("; "))
        }
        Refusal::Cluster(error) if is_ours(error) => {
            tracing::error!(%error, "a context cannot be stored");
            "it could not be stored right now; try again".to_owned()
        }
        Refusal::Cluster(error) => error.to_string(),
        Refusal::Busy => "too many requests are under way; try again".to_owned(),
    }
}

/// The file that was sent.
async fn file(request: Request) -> Result<String, Problem> {
    let sent_as = content_type(request.headers());
    let bytes = if sent_as == "multipart/form-data" {
        let unreadable = |error: MultipartError| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::bad_request("the form cannot be read"),
        };
        let mut form = Multipart::from_request(request, &())
            .await
            .map_err(|_| Problem::bad_request("the form has no boundary"))?;
        loop {
            let field = form.next_field().await.map_err(unreadable)?;
            let field = field.ok_or_else(|| {
                Problem::invalid("kubeconfig", "is required: a field of the form, with the file")
            })?;
            if matches!(field.name(), Some("kubeconfig" | "file")) {
                break field.bytes().await.map_err(unreadable)?;
            }
        }
    } else if YAML.contains(&sent_as.as_str()) {
        Bytes::from_request(request, &()).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::bad_request("the body could not be read to its end"),
        })?
    } else {
        let detail = "send the kubeconfig as application/yaml or as multipart/form-data";
        return Err(Problem::new(ErrorCode::UnsupportedMediaType, detail));
    };
    String::from_utf8(bytes.into()).map_err(|_| Problem::invalid("kubeconfig", "must be UTF-8"))
}

fn too_large() -> Problem {
    Problem::new(ErrorCode::TooLarge, "the body is larger than is accepted here")
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

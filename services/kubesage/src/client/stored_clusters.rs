//! `kubesage clusters add`, `update`, `use`, `remove`, `namespaces` and `credentials`: clusters by stored credentials.

use std::path::{Path, PathBuf};

use comfy_table::Table;
use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use web::FieldError;

use super::{
    ClientError,
    api::{Api, Service, segment},
    args::{AddArgs, CredentialArgs, Format, StoredCommand, UpdateArgs},
    input,
    output::{self, Output, age, fields, table, text},
};

const CLUSTERS: &str = "/clusters";

/// What a person knows by another name than the API does.
const FLAGS: [(&str, &str); 9] = [
    ("context", "--context"),
    ("cluster_name", "NAME"),
    ("server_url", "--server"),
    ("token", "--token-file"),
    ("ca_data", "--ca-file"),
    ("tls_server_name", "--tls-server-name"),
    ("tls_cert", "--cert-file"),
    ("tls_key", "--key-file"),
    ("provider_name", "--provider"),
];

/// A cluster by stored credentials, as far as the client itself needs to know it.
#[derive(Deserialize)]
pub(crate) struct StoredCluster {
    pub(crate) id: i64,
    pub(crate) cluster_name: String,
    server_url: String,
    is_active: bool,
    use_secure_tls: bool,
    ca_data: Option<String>,
    tls_server_name: Option<String>,
}

pub(crate) async fn list(api: &Api, out: &Output) -> Result<(), ClientError> {
    let answer: Value = api.get(Service::Cluster, CLUSTERS, &[]).await?;
    out.print(&answer, |answer| rows(answer["clusters"].as_array().into_iter().flatten()))
}

pub(crate) async fn run(api: &Api, out: &Output, command: StoredCommand) -> Result<(), ClientError> {
    match command {
        StoredCommand::Add(args) => match &args.kubeconfig {
            Some(path) => add_contexts(api, out, &args, path).await,
            None => add(api, out, &args).await,
        },
        StoredCommand::Update(args) => update(api, out, &args).await,
        StoredCommand::Use { cluster } => {
            let id = named(api, &cluster).await?.id;
            let path = format!("/select-cluster-and-get-namespaces/{id}");
            let answer: Value = api.post(Service::Cluster, &path, &Value::Null).await?;
            if out.format == Format::Json {
                return out.print_json(&answer);
            }
            let count = answer["namespaces"].as_array().map(Vec::len).unwrap_or_default();
            let name = text(&answer["cluster_info"]["cluster_name"]);
            output::tell(&format!("{name} is the active cluster; it has {count} namespaces."));
            Ok(())
        }
        StoredCommand::Remove { cluster, yes } => {
            let StoredCluster { id, cluster_name, server_url, .. } = named(api, &cluster).await?;
            if !yes
                && !input::confirmed(&format!("Remove {cluster_name} ({server_url}) with its credentials?"))?
            {
                output::tell("Nothing was removed.");
                return Ok(());
            }
            let path = format!("/remove-cluster/{id}");
            let removed: Value =
                api.send_with(Method::DELETE, Service::Cluster, &path, &[], |delete| delete).await?;
            if out.format == Format::Json {
                return out.print_json(&removed);
            }
            output::tell(&format!("Removed {cluster_name}."));
            Ok(())
        }
        StoredCommand::Namespaces { cluster } => {
            let id = named(api, &cluster).await?.id;
            let answer = api.get(Service::Cluster, &format!("/get-namespaces/{id}"), &[]).await?;
            out.print(&answer, namespaces)
        }
        StoredCommand::Credentials { cluster } => {
            let name = named(api, &cluster).await?.cluster_name;
            let path = format!("/cluster/{}/credentials", segment(&name));
            let answer = api.get(Service::Cluster, &path, &[]).await?;
            output::tell(&format!("This is secret: whoever has it can do in {name} what Kubesage can."));
            out.print(&answer, fields)
        }
    }
}

/// The cluster of this name or, when none is called so, of this id.
async fn named(api: &Api, name: &str) -> Result<StoredCluster, ClientError> {
    let mut clusters = known(api).await?;
    let by_name = clusters.iter().position(|cluster| cluster.cluster_name == name);
    let found = by_name.or_else(|| clusters.iter().position(|cluster| cluster.id.to_string() == name));
    found
        .map(|position| clusters.swap_remove(position))
        .ok_or_else(|| ClientError::NoSuchStoredCluster(name.to_owned()))
}

/// The cluster that is named, or the active one.
pub(crate) async fn chosen(api: &Api, name: Option<&str>) -> Result<StoredCluster, ClientError> {
    if let Some(name) = name {
        return named(api, name).await;
    }
    let clusters = known(api).await?;
    let why = if clusters.is_empty() {
        "you have added no cluster yet; see: kubesage clusters add --help"
    } else {
        "no cluster is active; make one so with: kubesage clusters use NAME, or name one with --cluster"
    };
    let active = clusters.into_iter().find(|cluster| cluster.is_active);
    active.ok_or_else(|| ClientError::Usage(why.to_owned()))
}

async fn known(api: &Api) -> Result<Vec<StoredCluster>, ClientError> {
    #[derive(Deserialize)]
    struct Clusters {
        clusters: Vec<StoredCluster>,
    }
    let known: Clusters = api.get(Service::Cluster, CLUSTERS, &[]).await?;
    Ok(known.clusters)
}

/// A warning, where it is due.
fn say_whether_checked(is_secure: bool) {
    if !is_secure {
        output::tell("The server's certificate is not checked: whoever answers there gets the credentials.");
    }
}

async fn add(api: &Api, out: &Output, args: &AddArgs) -> Result<(), ClientError> {
    say_whether_checked(!args.credentials.insecure);
    let mut request = asked_with(&args.credentials)?;
    request["cluster_name"] = json!(args.cluster_name);
    request["server_url"] = json!(args.server);
    request["provider_name"] = json!(args.provider);
    request["tags"] = json!(args.tags);
    request["use_secure_tls"] = json!(!args.credentials.insecure);
    let query = [("verify", args.verify.is_wanted().to_string())];
    let send = |post: RequestBuilder| post.json(&request);
    let added: Result<Value, _> = api.post_with(Service::Cluster, "/onboard-cluster", &query, send).await;
    let added = added.map_err(by_flags)?;
    out.print(&added, |added| rows([added]))?;
    if let Some(version) = added["kubernetes_version"].as_str() {
        let simulated = if added["simulated"] == true { ", simulated" } else { "" };
        output::tell(&format!("It answers: Kubernetes {version}{simulated}."));
    }
    say_next(&added);
    Ok(())
}

async fn update(api: &Api, out: &Output, args: &UpdateArgs) -> Result<(), ClientError> {
    let UpdateArgs { cluster, server, credentials, verify } = args;
    let cluster = named(api, cluster).await?;
    let mut request = asked_with(credentials)?;
    request["server_url"] = json!(server.as_ref().unwrap_or(&cluster.server_url));
    let is_secure = !credentials.insecure && (cluster.use_secure_tls || credentials.ca_file.is_some());
    say_whether_checked(is_secure);
    request["use_secure_tls"] = json!(is_secure);
    for (field, present) in [("ca_data", &cluster.ca_data), ("tls_server_name", &cluster.tls_server_name)] {
        if request[field].is_null() && is_secure {
            request[field] = json!(present);
        }
    }
    let query = [("verify", verify.is_wanted().to_string())];
    let path = format!("/cluster/{}/credentials", segment(&cluster.cluster_name));
    let updated: Result<Value, _> =
        api.send_with(Method::PUT, Service::Cluster, &path, &query, |put| put.json(&request)).await;
    out.print(&updated.map_err(by_flags)?, |updated| rows([updated]))?;
    let asked = if verify.is_wanted() { "it answers" } else { "it was not asked whether it takes them" };
    output::tell(&format!("The credentials of {} are replaced; {asked}.", cluster.cluster_name));
    Ok(())
}

/// The credentials and the TLS data that are given, by the names of the API.
fn asked_with(args: &CredentialArgs) -> Result<Value, ClientError> {
    let read = |path: &Option<PathBuf>| path.as_deref().map(input::file).transpose();
    Ok(json!({
        "token": token(args)?.as_ref().map(ExposeSecret::expose_secret),
        "ca_data": read(&args.ca_file)?,
        "tls_server_name": args.tls_server_name,
        "tls_cert": read(&args.cert_file)?,
        "tls_key": read(&args.key_file)?,
    }))
}

/// The token, if the cluster is to be asked with one.
fn token(args: &CredentialArgs) -> Result<Option<SecretString>, ClientError> {
    let token = match (&args.token_file, &args.cert_file) {
        (Some(path), _) => input::file(path)?.trim().into(),
        (None, None) => input::secret("Token: ")?,
        (None, Some(_)) => return Ok(None),
    };
    Ok(Some(token))
}

async fn add_contexts(api: &Api, out: &Output, args: &AddArgs, path: &Path) -> Result<(), ClientError> {
    let kubeconfig = input::file(path)?;
    let mut query = vec![("verify", args.verify.is_wanted().to_string())];
    for (name, value) in [
        ("context", &args.context),
        ("cluster_name", &args.cluster_name),
        ("provider_name", &args.provider),
        ("tags", &args.tags),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    let send = |post: RequestBuilder| post.header(CONTENT_TYPE, "application/yaml").body(kubeconfig.clone());
    let answer: Result<Value, _> =
        api.post_with(Service::Cluster, "/onboard-cluster/kubeconfig", &query, send).await;
    let answer = answer.map_err(by_flags)?;
    let contexts = |field: &str| answer[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let (added, refused) = (contexts("clusters"), contexts("refused"));
    out.print(&answer, |_| rows(added))?;
    for context in refused {
        output::tell(&format!("{} is not added: {}", text(&context["context"]), text(&context["reason"])));
    }
    if !refused.is_empty() {
        return Err(ClientError::Partly { left: refused.len(), all: added.len() + refused.len() });
    }
    if let [added] = added {
        say_next(added);
    }
    Ok(())
}

/// What comes next, for a person.
fn say_next(added: &Value) {
    let name = shlex::try_quote(added["cluster_name"].as_str().unwrap_or_default()).unwrap_or_default();
    output::tell(&format!("Make it the active one with: kubesage clusters use {name}"));
}

/// An error about values, by the names that they have on the command line.
fn by_flags(error: ClientError) -> ClientError {
    let ClientError::Problem(mut problem) = error else { return error };
    for FieldError { field, message } in &mut problem.errors {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| name == field) {
            (*flag).clone_into(field);
        }
        *message = message.replace("use_secure_tls false", "--insecure").replace("`context`", "--context");
        for (name, flag) in FLAGS.iter().filter(|(name, _)| name.contains('_')) {
            *message = message.replace(name, flag);
        }
    }
    ClientError::Problem(problem)
}

fn rows<'a>(clusters: impl IntoIterator<Item = &'a Value>) -> Table {
    let mut table = table(["ACTIVE", "NAME", "PROVIDER", "SERVER", "TLS", "CONTEXT", "AGE", "ID"]);
    for cluster in clusters {
        table.add_row([
            if cluster["is_active"] == true { "*".to_owned() } else { String::new() },
            text(&cluster["cluster_name"]),
            text(&cluster["provider_name"]),
            text(&cluster["server_url"]),
            if cluster["use_secure_tls"] == true { "checked".to_owned() } else { "unchecked".to_owned() },
            text(&cluster["context_name"]),
            age(&cluster["created_at"]),
            text(&cluster["id"]),
        ]);
    }
    table
}

fn namespaces(answer: &Value) -> Table {
    let mut table = table(["NAME"]);
    for namespace in answer["namespaces"].as_array().into_iter().flatten() {
        table.add_row([text(namespace)]);
    }
    table
}
